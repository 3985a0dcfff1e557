import Collectives
import Tensors
import Training

/// `repvgg bench collectives`: what sums over the ranks at hand cost, by kind and size.
package struct CollectivesBenchmark {
  package struct Row: Sendable {
    /// `float64` blocking, as statistics; `float32` started, as gradient buckets.
    package var kind: String
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

  /// 1 KiB to `largest` bytes, a factor of 8 between sizes.
  package func run(largest: Int = 33_554_432) throws -> [Row] {
    var rows: [Row] = []
    for bytes in sequence(first: 1024, next: { $0 * 8 <= largest ? $0 * 8 : nil }) {
      let values = UnsafeMutableBufferPointer<Double>.allocate(capacity: bytes / 8)
      defer { values.deallocate() }
      values.initialize(repeating: 0)
      rows.append(try measure("float64", bytes) { try communicator.sum(values) })
      let (source, target) = (Arena(count: bytes / 4), Arena(count: bytes / 4))
      rows.append(
        try measure("float32", bytes) {
          let reduction = try communicator.startSum(
            UnsafeBufferPointer(source.all), into: target.all)
          try reduction.wait()
        })
    }
    return rows
  }

  private func measure(_ kind: String, _ bytes: Int, _ body: () throws -> Void) throws -> Row {
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
