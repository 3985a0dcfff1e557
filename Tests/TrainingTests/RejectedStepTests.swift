import Collectives
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

@testable import Training

/// A step that is rejected leaves nothing behind, and all ranks reject it.
@Suite struct RejectedStepTests {
  /// What makes a step bad.
  enum Fault: String, Sendable, CaseIterable {
    case none, imageOfOneRank, weight, hugeRate, loss, failureOfOneRank
  }

  private struct Result: Sendable {
    var isApplied: Bool
    var isFinite: Bool
    var isUnchanged: Bool
  }

  @Test(arguments: Fault.allCases, [RunConfig.BatchNormMode.sync, .local])
  func nothingOfItStays(fault: Fault, batchNorm: RunConfig.BatchNormMode) throws {
    let results = try InProcessCommunicator.run(ranks: 2) { communicator in
      let job = try SmallJob(communicator, batchNorm: batchNorm)
      #expect(try job.run(.none).isApplied)
      let before = job.state()
      let outcome = try job.run(fault)
      return Result(
        isApplied: outcome.isApplied, isFinite: outcome.isFinite,
        isUnchanged: job.state() == before)
    }
    for result in results {
      #expect(result.isApplied == (fault == .none))
      #expect(result.isUnchanged == (fault != .none))
      #expect(result.isFinite == [.none, .loss, .failureOfOneRank].contains(fault))
    }
  }

  /// What bounds say from step to step is what the arenas say.
  @Test func overflowIsSeenBeforeItHappens() {
    let layout = ArenaLayout(
      ParameterTable.training(
        blocks: SmallJob.architecture.blocks(inputChannels: 3, height: 12, width: 12), classes: 5))
    var configuration = RunConfig.Optimizer()
    configuration.weightDecay = 0
    let optimizer = SGD(configuration, layout: layout)
    let parameters = Arena(count: layout.count)
    parameters.base[3] = 1e38
    #expect(optimizer.staysFinite(parameters, largestGradient: 1, learningRate: 0.1))
    #expect(!optimizer.staysFinite(parameters, largestGradient: 3e38, learningRate: 1))
    #expect(!optimizer.staysFinite(parameters, largestGradient: .infinity, learningRate: 0))
    #expect(optimizer.staysFinite(parameters, largestGradient: 1e3, learningRate: 0.1))
    parameters.base[5] = .nan
    optimizer.forgetBounds()
    #expect(!optimizer.staysFinite(parameters, largestGradient: 1, learningRate: 0.1))
  }
}

/// One rank's step over two shards of a small network.
private final class SmallJob {
  static let architecture = Architecture(stemWidth: 8, depths: [1, 1], widths: [8, 16])

  private let network: TrainingNetwork
  private let optimizer: SGD
  private let step: Step
  private let images: Arena
  private let rank: Int

  init(_ communicator: any Communicator, batchNorm: RunConfig.BatchNormMode) throws {
    rank = communicator.rank
    let shape = NetworkShape(
      blocks: Self.architecture.blocks(inputChannels: 3, height: 12, width: 12), classes: 5,
      shards: 2, shardCapacity: 2, batchNorm: batchNorm)
    network = TrainingNetwork(shape: shape, pool: WorkerPool(threads: 1))
    try network.initialise(seed: 5)
    optimizer = SGD(RunConfig.Optimizer(), layout: network.layout)
    step = Step(
      network: network, optimizer: optimizer, communicator: communicator,
      buckets: network.layout.buckets(bytes: 4096), labelSmoothing: 0)
    images = Arena(count: 4 * shape.imageCount)
    for (place, value) in testValues(images.count, seed: UInt64(rank + 1)).enumerated() {
      images.base[place] = value
    }
  }

  func run(_ fault: RejectedStepTests.Fault) throws -> StepOutcome {
    var request = StepRequest(globalCount: 8, learningRate: fault == .hugeRate ? 1e40 : 0.1)
    if fault == .loss { request.lossLimit = 1e-3 }
    request.hasFailed = fault == .failureOfOneRank && rank == 1
    let weight = network.parameters.base[20]
    if fault == .weight { network.parameters.base[20] = .infinity }
    if fault == .imageOfOneRank && rank == 1 { images.base[7] = .nan }
    defer { if fault == .weight { network.parameters.base[20] = weight } }
    let batch = (0..<2).map { shard in
      ShardSamples(
        images: ShardImages(
          pixels: UnsafePointer(images.base + shard * 2 * network.shape.imageCount), count: 2),
        labels: [Int32(shard), 3])
    }
    return try step.run(batch, request)
  }

  /// Everything that an update changes.
  func state() -> [UInt32] {
    let counts = network.batchCounts.sorted { $0.key < $1.key }.map { UInt32($0.value) }
    return
      (Array(network.parameters.all) + Array(optimizer.momentum.all)
      + Array(network.runningStatistics)).map(\.bitPattern) + counts
  }
}
