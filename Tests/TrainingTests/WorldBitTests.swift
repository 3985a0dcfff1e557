import Collectives
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

@testable import Training

/// Three steps on ranks that are threads: weights, momentum and running statistics are the same bits
/// for 1, 2 and 4 ranks, and each block takes one collective each way.
@Suite struct WorldBitTests {
  static let architecture = Architecture(
    stemWidth: 16, depths: [2, 1], widths: [32, 50], groups: [2: 2], squeezeExcitation: true)

  private struct Outcome: Sendable, Equatable {
    var state: NamedTensors
    var momentum: NamedTensors
  }

  /// The outcome, the same on every rank, and the collectives of the last step.
  private func train(
    ranks: Int, threads: Int, batchNorm: RunConfig.BatchNormMode
  ) throws -> (outcome: Outcome, collectives: Int) {
    let results = try InProcessCommunicator.run(ranks: ranks) { communicator in
      let job = try Job(communicator, threads: threads, batchNorm: batchNorm)
      let collectives = try job.run(steps: 3)
      return (
        Outcome(
          state: job.network.tensors(),
          momentum: job.network.trainableTensors(of: job.optimizer.momentum)), collectives
      )
    }
    let first = try #require(results.first)
    #expect(results.allSatisfy { $0.0 == first.0 })
    return (first.0, first.1)
  }

  @Test(arguments: [RunConfig.BatchNormMode.sync, .local])
  func ranksDoNotChangeBits(batchNorm: RunConfig.BatchNormMode) throws {
    let alone = try train(ranks: 1, threads: 2, batchNorm: batchNorm)
    for ranks in [2, 4] {
      let world = try train(ranks: ranks, threads: 1, batchNorm: batchNorm)
      #expect(world.outcome == alone.outcome, "\(ranks) ranks")
      // Statistics forward and backward, one bucket of gradients, and the step's summary.
      let blocks = 1 + Self.architecture.depths.reduce(0, +)
      #expect(world.collectives == (batchNorm == .sync ? 2 * blocks + 2 : 3))
    }
    // Biases do not decay: what moves them is their gradient.
    for member in ["se.down.bias", "se.up.bias"] {
      let biases = alone.outcome.momentum.filter { $0.0.hasSuffix(member) }
      #expect(biases.count == 4)
      #expect(biases.contains { $0.1.floats?.contains { $0 != 0 } == true }, "\(member)")
    }
  }
}

/// One rank of a job on seven images in four shards, of which the last ones are smaller.
private final class Job {
  let network: TrainingNetwork
  let optimizer: SGD
  private let step: Step
  private let images: Arena
  private var batch: [ShardSamples] = []

  init(
    _ communicator: any Communicator, threads: Int, batchNorm: RunConfig.BatchNormMode
  ) throws {
    let (classes, total, cut) = (5, 7, EvenCut(7, into: 4).ranges)
    let owned = EvenCut(4, into: communicator.size)[communicator.rank]
    let shape = NetworkShape(
      blocks: WorldBitTests.architecture.blocks(inputChannels: 3, height: 20, width: 17),
      classes: classes, shards: owned.count, shardCapacity: 2, batchNorm: batchNorm)
    network = TrainingNetwork(shape: shape, pool: WorkerPool(threads: threads))
    try network.initialise(seed: 5)
    optimizer = SGD(RunConfig.Optimizer(), layout: network.layout)
    step = Step(
      network: network, optimizer: optimizer, communicator: communicator,
      buckets: network.layout.buckets(bytes: 1 << 30), labelSmoothing: 0)
    images = Arena(count: total * shape.imageCount)
    for (place, value) in testValues(images.count).enumerated() { images.base[place] = value }
    for samples in cut[owned] {
      let first = images.base + samples.lowerBound * shape.imageCount
      batch.append(
        ShardSamples(
          images: ShardImages(pixels: UnsafePointer(first), count: samples.count),
          labels: samples.map { Int32($0 * 3 % classes) }))
    }
  }

  /// The collectives of the last step.
  func run(steps: Int) throws -> Int {
    var collectives = 0
    for _ in 0..<steps {
      collectives = try step.run(
        batch, StepRequest(globalCount: 7, learningRate: 0.1)
      ).collectives
    }
    try step.synchroniseRunningStatistics()
    return collectives
  }
}
