import Collectives
import Tensors
import Training

/// `repvgg bench collectives`: what sums over the ranks at hand cost, by kind and size.
package struct CollectivesBenchmark {
  package enum Kind: String, Sendable, CaseIterable {
    /// As statistics.
    case blockingDouble = "float64"
    /// As gradient buckets.
    case startedFloat = "float32"
  }

  package struct Row: Sendable {
    package var kind: Kind
    package var bytes: Int
    package var medianSeconds: Double
    package var fastestSeconds: Double
  }

  private let communicator: any Communicator
  private let repetitions: Int

  package init(communicator: any Communicator, repetitions: Int) {
    self.communicator = communicator
    self.repetitions = repetitions
  }

  /// 1 KiB to 32 MiB, a factor of 8 between them.
  package static let sizes = (0..<6).map { 1024 << (3 * $0) }

  /// - Parameter sizes: bytes of the messages, multiples of 8.
  package func run(sizes: [Int] = sizes, kinds: [Kind] = Kind.allCases) throws -> [Row] {
    var rows: [Row] = []
    for bytes in sizes {
      for kind in kinds {
        rows.append(try kind == .blockingDouble ? blocking(bytes) : started(bytes))
      }
    }
    return rows
  }

  private func blocking(_ bytes: Int) throws -> Row {
    let values = UnsafeMutableBufferPointer<Double>.allocate(capacity: bytes / 8)
    defer { values.deallocate() }
    values.initialize(repeating: 0)
    return try measure(.blockingDouble, bytes) { try communicator.sum(values) }
  }

  private func started(_ bytes: Int) throws -> Row {
    let (source, target) = (Arena(count: bytes / 4), Arena(count: bytes / 4))
    return try measure(.startedFloat, bytes) {
      try communicator.startSum(UnsafeBufferPointer(source.all), into: target.all).wait()
    }
  }

  private func measure(_ kind: Kind, _ bytes: Int, _ body: () throws -> Void) throws -> Row {
    var seconds: [Double] = []
    for index in 0..<repetitions + 1 {
      try communicator.barrier()
      let start = monotonicSeconds()
      try body()
      if index > 0 { seconds.append(monotonicSeconds() - start) }
    }
    seconds.sort()
    return Row(
      kind: kind, bytes: bytes, medianSeconds: seconds[seconds.count / 2],
      fastestSeconds: seconds[0])
  }
}
