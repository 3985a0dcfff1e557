import Collectives
import Tensors

/// A communicator whose blocking calls the watchdog sees; and, where the configuration asks for it,
/// compares before each call what the ranks are about to do.
///
/// Messages in another order, or of another size, on one rank would be sums of garbage, or a hang
/// that says nothing.
final class WatchedCommunicator: Communicator {
  let rank: Int
  let size: Int
  let backend: String
  private let base: any Communicator
  private let heartbeat: Heartbeat
  private let checksOrder: Bool

  init(_ base: any Communicator, _ heartbeat: Heartbeat, checksOrder: Bool) {
    self.base = base
    self.heartbeat = heartbeat
    self.checksOrder = checksOrder
    (rank, size, backend) = (base.rank, base.size, base.backend)
  }

  func use(_ algorithm: ReductionAlgorithm) { base.use(algorithm) }

  func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
    try call("sum of Float64", values.count) { try base.sum(values) }
  }

  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
    try call("sum of Float32", values.count) { try base.sum(values) }
  }

  func maximum(_ values: UnsafeMutableBufferPointer<Int64>) throws {
    try call("maximum", values.count) { try base.maximum(values) }
  }

  func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws -> any PendingReduction {
    if checksOrder { try check("bucket of Float32", source.count) }
    return try base.startSum(source, into: destination)
  }

  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
    try call("broadcast from rank \(root)", bytes.count) { try base.broadcast(bytes, from: root) }
  }

  func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer) throws {
    try call("gather", bytes.count) { try base.gather(bytes, into: all) }
  }

  func barrier() throws { try call("barrier", 0) { try base.barrier() } }

  private func call(
    _ operation: @autoclosure () -> String, _ count: Int, _ body: () throws -> Void
  ) throws {
    try heartbeat.collective {
      if checksOrder { try check(operation(), count) }
      try body()
    }
  }

  /// Throws on every rank unless all are about to do the same.
  private func check(_ operation: String, _ count: Int) throws {
    var hash = StateHash()
    Array("\(operation), \(count)".utf8).withUnsafeBytes { hash.combine($0) }
    let own = Int64(hash.value >> 1)
    // All are the same where the largest is the smallest.
    var extremes = [own, -own]
    try extremes.withUnsafeMutableBufferPointer { try base.maximum($0) }
    guard extremes[0] != -extremes[1] else { return }
    let ranks = try RankComparison([hash.value], over: base).difference?.ranks ?? []
    throw JobFailure(
      .ownFault,
      "rank \(ranks.map(String.init).joined(separator: ", ")) is about to call another collective than "
        + "the others, which call: \(operation) of \(count) elements (as rank \(rank) sees it; "
        + "communication.check_order); please report it with the configuration")
  }
}
