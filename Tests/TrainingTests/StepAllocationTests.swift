import CAllocationCounter
import Collectives
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing

@testable import Training

/// A step's memory is there before the step: with one rank its thread asks the C library for none, but
/// for the closure of every run that threads share. (Workers' tasks are seen where one thread runs
/// them. With more ranks every bucket of gradients is an object besides, and MPI has memory of its own.)
@Suite struct StepAllocationTests {
  @Test(
    .enabled(if: allocation_counter_works(), "sanitizers have allocation functions of their own"),
    arguments: [1, 2], [(RunConfig.BatchNormMode.sync, false), (.local, false), (.sync, true)])
  func aStepAllocatesOnlyClosures(
    threads: Int, network: (batchNorm: RunConfig.BatchNormMode, excites: Bool)
  ) throws {
    let fixture = try Fixture(
      threads: threads, batchNorm: network.batchNorm, squeezeExcitation: network.excites)
    // The first steps make what later ones keep.
    for _ in 0..<2 { _ = try fixture.run() }
    let (calls, runs) = (allocation_counter_calls(), fixture.pool.sharedRuns)
    let outcome = try fixture.run()
    let allocations = Int(allocation_counter_calls() - calls)
    let closures = fixture.pool.sharedRuns - runs
    #expect(allocations == closures)
    #expect((closures > 0) == (threads > 1))
    #expect(outcome.isFinite)
  }

  /// The counter sees what Swift allocates, or the test above could not fail.
  @Test(.enabled(if: allocation_counter_works())) func theCounterCounts() {
    let before = allocation_counter_calls()
    let values = (0..<1000).map { $0 }
    #expect(allocation_counter_calls() > before)
    #expect(values.count == 1000)
  }
}

/// A small network with a stem, direct and Winograd layers of both tile sizes, and a batch of two
/// shards.
private final class Fixture {
  private let step: Step
  private let batch: [ShardSamples]
  private let pixels: Arena
  let pool: WorkerPool

  init(threads: Int, batchNorm: RunConfig.BatchNormMode, squeezeExcitation: Bool) throws {
    let architecture = Architecture(
      stemWidth: 16, depths: [2, 2, 1], widths: [16, 32, 48], groups: [2: 2],
      squeezeExcitation: squeezeExcitation)
    let shape = NetworkShape(
      blocks: architecture.blocks(inputChannels: 3, height: 56, width: 56), classes: 10,
      shards: 2, shardCapacity: 4, batchNorm: batchNorm)
    pool = WorkerPool(threads: threads)
    let network = TrainingNetwork(shape: shape, pool: pool)
    try network.initialise(seed: 1)
    step = Step(
      network: network, optimizer: SGD(RunConfig.Optimizer(), layout: network.layout),
      communicator: SoloCommunicator(), buckets: network.layout.buckets(bytes: 65_536),
      labelSmoothing: 0.1)
    pixels = Arena(count: 7 * shape.imageCount)
    for place in 0..<pixels.count { pixels.base[place] = Float(place % 17) / 8 - 1 }
    let second = pixels.base + 4 * shape.imageCount
    batch = [
      ShardSamples(images: ShardImages(pixels: pixels.base, count: 4), labels: [0, 3, 9, 1]),
      ShardSamples(images: ShardImages(pixels: second, count: 3), labels: [2, 2, 7]),
    ]
  }

  func run() throws -> StepOutcome {
    try step.run(
      batch, StepRequest(globalCount: 7, learningRate: 0.1))
  }
}
