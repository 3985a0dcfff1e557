import Collectives
import RunPlanning

/// The size of the messages in which gradients are summed, found by measurement.
enum BucketChoice {
  /// Bytes that are tried.
  static let sizes = (0..<5).map { 1 << (20 + $0) }
  private static let repetitions = 3
  /// Share of the best throughput that is as good as the best.
  private static let enough = 0.9

  /// The same on every rank, which all call it; nothing about the sums depends on it.
  ///
  /// - Parameter gradientBytes: of a whole step: larger messages are not tried.
  static func measure(over communicator: any Communicator, gradientBytes: Int) throws -> Int {
    let sizes = sizes.filter { $0 <= gradientBytes }
    guard communicator.size > 1, sizes.count > 1 else {
      return RunConfig.Communication.usualBucketBytes
    }
    let benchmark = CollectivesBenchmark(communicator: communicator, repetitions: repetitions)
    let rows = try benchmark.run(sizes: sizes, kinds: [.startedFloat])
    // A sum is as slow as its slowest rank.
    var nanoseconds = rows.map { Int64($0.medianSeconds * 1e9) }
    try nanoseconds.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    return choose(zip(sizes, nanoseconds).map { (bytes: $0, seconds: Double($1) * 1e-9) })
  }

  /// The smallest size with nearly the best throughput: the larger the messages, the later the first
  /// leaves, and the more is left to wait for when the backward pass is over.
  static func choose(_ measured: [(bytes: Int, seconds: Double)]) -> Int {
    let throughputs = measured.map { Double($0.bytes) / max($0.seconds, 1e-9) }
    let best = throughputs.max() ?? 0
    let choice = zip(measured, throughputs).first { $1 >= enough * best }
    return choice?.0.bytes ?? RunConfig.Communication.usualBucketBytes
  }
}
