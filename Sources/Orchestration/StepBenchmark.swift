import Collectives
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// `repvgg bench step`: the training step alone, on random images that lie in memory.
package struct StepBenchmark {
  package struct Settings: Sendable {
    package var architecture: Architecture
    /// Images of one rank.
    package var batch = 32
    package var inputChannels = 3
    package var height = 224
    package var width = 224
    package var threads = 1
    package var batchNorm = RunConfig.BatchNormMode.sync
    package var steps = 10
    package var classes = 1000

    package init(architecture: Architecture) { self.architecture = architecture }
  }

  package struct Report: Sendable {
    /// Over all ranks, from the median step.
    package var imagesPerSecond: Double
    package var secondsPerStep: Double
    package var fastestStep: Double
    package var slowestStep: Double
    /// Of the largest rank.
    package var peakResidentBytes: Int
    /// Shares of the step's time on rank 0.
    package var computeShare: Double
    package var collectivesShare: Double
    /// Seconds of a step for sums of gradients (`StepOutcome.exposedSeconds`): the mean over ranks of the
    /// medians over steps.
    package var exposedSeconds: Double
    package var waitingShare: Double
    package var collectivesPerStep: Int
    package var bytesPerStep: Int
    package var globalBatch: Int
    package var shards: Int
  }

  let settings: Settings
  let communicator: any Communicator

  package init(_ settings: Settings, communicator: any Communicator) {
    self.settings = settings
    self.communicator = communicator
  }

  /// Images of a shard, as in training with the default global batch.
  private static let shardSize = 32

  package func run() throws -> Report {
    BLAS.useOneThread()
    let globalBatch = settings.batch * communicator.size
    let shards = max(communicator.size, (globalBatch + Self.shardSize - 1) / Self.shardSize)
    let step = try Agreement.all(communicator) {
      try makeStep(globalBatch: globalBatch, shards: shards)
    }
    let batch = try SyntheticShards(
      shape: step.network.shape,
      counts: counts(globalBatch: globalBatch, shards: shards), rank: communicator.rank)
    var outcomes: [StepOutcome] = []
    // The first step touches all memory for the first time.
    for index in 0..<settings.steps + 1 {
      try communicator.barrier()
      let outcome = try step.run(
        batch.samples, StepRequest(globalCount: globalBatch, learningRate: 0.01))
      if index > 0 { outcomes.append(outcome) }
    }
    return try report(outcomes, globalBatch: globalBatch, shards: shards)
  }

  private func counts(globalBatch: Int, shards: Int) -> [Int] {
    let sizes = EvenCut(globalBatch, into: shards).ranges.map(\.count)
    return Array(sizes[EvenCut(shards, into: communicator.size)[communicator.rank]])
  }

  func makeStep(globalBatch: Int, shards: Int) throws -> Step {
    let blocks = settings.architecture.blocks(
      inputChannels: settings.inputChannels, height: settings.height, width: settings.width)
    let owned = EvenCut(shards, into: communicator.size)[communicator.rank]
    let shardSize = (globalBatch + shards - 1) / shards
    try MemoryLimit.require(
      .steps, of: CostModel(blocks: blocks, classes: settings.classes),
      load: CostModel.Load(
        shards: owned.count, shardSize: shardSize, threads: settings.threads, prefetch: 0,
        datasetBytes: 0, panelWidth: KernelBuild.panelWidth),
      subject: "\(settings.architecture.name) on \(settings.batch) images of "
        + "\(settings.height) x \(settings.width)")
    let network = TrainingNetwork(
      shape: NetworkShape(
        blocks: blocks, classes: settings.classes, shards: owned.count,
        shardCapacity: shardSize, batchNorm: settings.batchNorm),
      pool: Machine.pool(threads: settings.threads))
    try network.initialise(seed: 1)
    return Step(
      network: network, optimizer: SGD(RunConfig.Optimizer(), layout: network.layout),
      communicator: communicator,
      buckets: network.layout.buckets(bytes: RunConfig.Communication().bucketBytes),
      labelSmoothing: 0)
  }

  private func report(
    _ outcomes: [StepOutcome], globalBatch: Int, shards: Int
  ) throws -> Report {
    let seconds = outcomes.map(\.seconds).sorted()
    let median = seconds[seconds.count / 2]
    let total = seconds.reduce(0, +)
    let collectives = outcomes.map(\.collectiveSeconds).reduce(0, +) / total
    var peak = [Int64(Machine.peakResidentBytes)]
    try peak.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    var exposed = [outcomes.map(\.exposedSeconds).sorted()[outcomes.count / 2]]
    try exposed.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    return Report(
      imagesPerSecond: Double(globalBatch) / median, secondsPerStep: median,
      fastestStep: seconds[0], slowestStep: seconds[seconds.count - 1],
      peakResidentBytes: Int(peak[0]), computeShare: 1 - collectives,
      collectivesShare: collectives,
      exposedSeconds: exposed[0] / Double(communicator.size), waitingShare: 0,
      collectivesPerStep: outcomes[0].collectives, bytesPerStep: outcomes[0].collectiveBytes,
      globalBatch: globalBatch, shards: shards)
  }
}

/// Random images and labels of a rank's shards.
final class SyntheticShards {
  let samples: [ShardSamples]
  private let arena: Arena

  init(shape: NetworkShape, counts: [Int], rank: Int) throws {
    arena = Arena(count: counts.reduce(0, +) * shape.imageCount)
    var random = CounterRandom(seed: 1, epoch: 0, sample: rank, purpose: .synthetic)
    for place in 0..<arena.count { arena.base[place] = 2 * random.uniform() - 1 }
    var first = 0
    var samples: [ShardSamples] = []
    for count in counts {
      samples.append(
        ShardSamples(
          images: ShardImages(
            pixels: UnsafePointer(arena.base + first * shape.imageCount), count: count),
          labels: (0..<count).map { _ in Int32(random.next(below: shape.classes)) }))
      first += count
    }
    self.samples = samples
  }
}
