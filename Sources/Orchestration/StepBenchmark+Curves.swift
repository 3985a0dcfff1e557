import Collectives
import RepVGGModel
import RunPlanning
import Training

extension StepBenchmark {
  /// Shards of a rank in the two series of a measurement: what does not depend on them is told from what
  /// does by their difference.
  private static let curveShards = [1, 4]

  /// What a step takes each of the ranks at hand when all compute at the same time and none waits for
  /// another: every rank trains networks of its own, on one shard of the batch and on four in turn, so
  /// that a machine that becomes slower does so for both. Means over ranks of the medians over steps; the
  /// same on every rank.
  ///
  /// Throws `JobFailure` on all ranks where the steps do not fit in memory.
  package static func curves(
    _ settings: Settings, communicator: any Communicator
  ) throws -> [MachineCurves.Step] {
    let series = try Agreement.all(communicator) {
      try curveShards.map { try CurveSeries(settings, shards: $0, rank: communicator.rank) }
    }
    // The first step touches all memory for the first time.
    for index in 0..<settings.steps + 1 {
      for series in series {
        try communicator.barrier()
        try series.takeStep(counts: index > 0)
      }
    }
    return try series.map { try $0.curve(communicator) }
  }
}

/// Steps of one rank alone, and what their parts took.
private final class CurveSeries {
  private let settings: StepBenchmark.Settings
  private let shards: Int
  private let step: Step
  private let batch: SyntheticShards
  private let clock: StepClock
  private var parts: [[Double]] = []

  init(_ settings: StepBenchmark.Settings, shards: Int, rank: Int) throws {
    (self.settings, self.shards) = (settings, shards)
    step = try StepBenchmark(settings, communicator: SoloCommunicator())
      .makeStep(globalBatch: shards * settings.batch, shards: shards)
    batch = try SyntheticShards(
      shape: step.network.shape, counts: Array(repeating: settings.batch, count: shards),
      rank: rank)
    clock = StepClock(step)
  }

  func takeStep(counts: Bool) throws {
    clock.begin()
    _ = try step.run(
      batch.samples,
      StepRequest(globalCount: shards * settings.batch, learningRate: 0.01))
    if counts { parts.append(clock.parts()) }
  }

  /// Of a step, what ranks that wait for each other behind each part lose: the slowest rank's part less
  /// the mean of all. The median over steps; a collective operation.
  private func waiting(_ communicator: any Communicator) throws -> Double? {
    guard communicator.size > 1 else { return nil }
    var slowest = parts.flatMap { $0.map { Int64($0 * 1e9) } }
    var mean = slowest.map { Double($0) / Double(communicator.size) }
    try slowest.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    try mean.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    let lost = zip(slowest, mean).map { (Double($0) - $1) * 1e-9 }
    let steps = parts.indices.map { step in
      lost[step * parts[0].count..<(step + 1) * parts[0].count].reduce(0, +)
    }
    return max(0, steps.sorted()[steps.count / 2])
  }

  /// Over all ranks.
  func curve(_ communicator: any Communicator) throws -> MachineCurves.Step {
    var typical = Self.middle(parts)
    try typical.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    for place in typical.indices { typical[place] /= Double(communicator.size) }
    let blocks = step.network.shape.blocks
    return MachineCurves.Step(
      model: settings.architecture.name, classes: settings.classes,
      parameters: step.network.layout.count, ranks: communicator.size,
      threads: settings.threads, shards: shards, shardImages: settings.batch,
      blocks: blocks.enumerated().map { index, shape in
        MachineCurves.Block(
          shape: shape, forward: typical[index], backward: typical[blocks.count + index])
      },
      head: typical[2 * blocks.count], update: typical[2 * blocks.count + 1],
      waiting: try waiting(communicator))
  }

  /// The medians of all parts, stretched to the median of the steps.
  private static func middle(_ steps: [[Double]]) -> [Double] {
    func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    let medians = steps[0].indices.map { part in median(steps.map { $0[part] }) }
    let (whole, sum) = (median(steps.map { $0.reduce(0, +) }), medians.reduce(0, +))
    return medians.map { $0 * (sum > 0 ? whole / sum : 1) }
  }
}

/// Takes the time of the parts of a step with synchronised BatchNorm: forward of each block, backward of
/// each, the classifier, and what follows the backward pass.
private final class StepClock {
  private enum Mark: Equatable {
    case block
    case phase(StepPhase)
  }

  private let blocks: Int
  private var marks: [(mark: Mark, time: Double)] = []

  init(_ step: Step) {
    blocks = step.network.shape.blocks.count
    step.network.onBlock = { [self] in marks.append((.block, monotonicSeconds())) }
    step.onPhase = { [self] in marks.append((.phase($0), monotonicSeconds())) }
  }

  func begin() { marks.removeAll(keepingCapacity: true) }

  /// To be called right after the step.
  func parts() -> [Double] {
    let end = monotonicSeconds()
    let starts = marks.indices.filter { marks[$0].mark == .block }
    precondition(starts.count == 2 * blocks, "a mark for each block and pass")
    guard let update = marks.first(where: { $0.mark == .phase(.gradients) })?.time else {
      preconditionFailure("a step comes to its gradients")
    }
    let times = starts.map { marks[$0].time }
    // The mark behind the last block's is that of its statistics; the classifier follows.
    let classifier = marks[starts[blocks - 1] + 1].time
    let forward = (0..<blocks).map { ($0 + 1 < blocks ? times[$0 + 1] : classifier) - times[$0] }
    let backward = (0..<blocks).map { block in
      let place = 2 * blocks - 1 - block
      return (place + 1 < 2 * blocks ? times[place + 1] : update) - times[place]
    }
    return forward + backward + [times[blocks] - classifier, end - update]
  }
}
