import Collectives

/// A communicator with one fault, for tests of what finds faults.
final class FaultyCommunicator: Communicator {
  enum Fault: String, CaseIterable, Sendable {
    /// Sums in the order of ranks instead of the tree.
    case rankOrder, rankOrderOnLastRank
    case changedSource, lostMaximum, wrongRoot, shiftedGather, wrongRank
  }

  private let base: any Communicator
  private let fault: Fault

  init(_ base: any Communicator, _ fault: Fault) {
    self.base = base
    self.fault = fault
  }

  var rank: Int { fault == .wrongRank ? 0 : base.rank }
  var size: Int { base.size }
  var backend: String { base.backend }

  private var sumsInRankOrder: Bool {
    fault == .rankOrder || (fault == .rankOrderOnLastRank && base.rank == base.size - 1)
  }

  private func sumAll<Element: FloatingPoint>(
    _ values: UnsafeMutableBufferPointer<Element>
  ) throws {
    var all = [Element](repeating: 0, count: values.count * size)
    try all.withUnsafeMutableBytes { try base.gather(UnsafeRawBufferPointer(values), into: $0) }
    var parts = (0..<size).map { Array(all[$0 * values.count..<($0 + 1) * values.count]) }
    if !sumsInRankOrder, size == 4 {
      parts = [add(parts[0], parts[1]), add(parts[2], parts[3])]
    }
    _ = values.update(from: parts.dropFirst().reduce(parts[0], add))
  }

  private func add<Element: FloatingPoint>(_ first: [Element], _ second: [Element]) -> [Element] {
    zip(first, second).map { $0 + $1 }
  }

  func sum(_ values: UnsafeMutableBufferPointer<Double>) throws { try sumAll(values) }
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws { try sumAll(values) }

  func maximum(_ values: UnsafeMutableBufferPointer<Int64>) throws {
    try base.maximum(values)
    // Messages of one element are the suite's own agreement.
    if fault == .lostMaximum, values.count > 1 { values[values.count - 1] -= 1 }
  }

  func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws -> any PendingReduction {
    _ = destination.update(from: source)
    try sumAll(destination)
    if fault == .changedSource, source.count > 1 {
      UnsafeMutableBufferPointer(mutating: source)[1] += 1
    }
    return Finished()
  }

  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
    try base.broadcast(bytes, from: fault == .wrongRoot ? 0 : root)
  }

  func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer) throws {
    try base.gather(bytes, into: all)
    // Messages of one word are the suite's own comparisons.
    if fault == .shiftedGather, bytes.count > 8 { all[0] ^= 1 }
  }

  func barrier() throws { try base.barrier() }

  private final class Finished: PendingReduction {
    func poll() -> Bool { true }
    func wait() {}
  }
}
