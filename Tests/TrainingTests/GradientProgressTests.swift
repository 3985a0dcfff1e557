import Collectives
import Glibc
import Kernels
import RepVGGModel
import RunPlanning
import Synchronization
import Tensors
import Testing

@testable import Training

/// Who pushes sums of gradients on, and when.
@Suite struct GradientProgressTests {
  private let layout: ArenaLayout
  private let communicator = CountingCommunicator()

  init() {
    layout = ArenaLayout(ParameterTable.training(blocks: Self.blocks, classes: 10))
  }

  private static let blocks = Architecture(stemWidth: 16, depths: [1, 2], widths: [16, 32])
    .blocks(inputChannels: 3, height: 64, width: 64)

  private func makeReduction() -> GradientReduction {
    GradientReduction(
      communicator: communicator, gradients: Arena(count: layout.count), layout: layout,
      buckets: layout.buckets(bytes: 1024), batchNorm: .sync,
      pollInterval: 0)
  }

  @Test func nothingIsAskedForBeforeItIsUnderWay() throws {
    let reduction = makeReduction()
    reduction.begin()
    reduction.makeProgress()
    #expect(communicator.polls == 0)
    try reduction.gradientsReady(layout.weightCount)
    let before = communicator.polls
    reduction.makeProgress()
    #expect(communicator.polls > before)
  }

  /// A kernel cannot throw: the step does at its next call.
  @Test(arguments: [false, true]) func anErrorIsNotLost(atTheEnd: Bool) throws {
    let reduction = makeReduction()
    reduction.begin()
    try reduction.gradientsReady(layout.weightCount / 2)
    communicator.fails = true
    reduction.makeProgress()
    communicator.fails = false
    #expect(throws: CountingCommunicator.Broken.self) {
      if atTheEnd {
        try reduction.finish()
      } else {
        try reduction.gradientsReady(layout.weightCount)
      }
    }
  }

  private func makeStep(
    _ communicator: any Communicator, interval: Double?, ownCores: Bool
  ) throws -> Step {
    let network = TrainingNetwork(
      shape: NetworkShape(
        blocks: Self.blocks, classes: 10, shards: 1, shardCapacity: 16, batchNorm: .sync),
      pool: WorkerPool(threads: 1, ownCores: ownCores))
    try network.initialise(seed: 1)
    return Step(
      network: network, optimizer: SGD(RunConfig.Optimizer(), layout: network.layout),
      communicator: communicator, buckets: network.layout.buckets(bytes: 1024),
      labelSmoothing: 0, pollInterval: interval)
  }

  /// Polls of a step that asks whenever `interval` has passed.
  private func polls(interval: Double, ownCores: Bool) throws -> Int {
    let communicator = CountingCommunicator()
    let step = try makeStep(communicator, interval: interval, ownCores: ownCores)
    let pixels = Arena(count: 16 * step.network.shape.imageCount)
    for place in 0..<pixels.count { pixels.base[place] = Float(place % 17) / 8 - 1 }
    let samples = ShardSamples(
      images: ShardImages(pixels: pixels.base, count: 16), labels: Array(repeating: 1, count: 16))
    _ = try step.run([samples], StepRequest(globalCount: 16, learningRate: 0.01))
    return communicator.polls
  }

  /// In each of several kernels of a block, not only once a block and for the classifier.
  @Test(arguments: [false, true]) func kernelsPushOn(ownCores: Bool) throws {
    #expect(try polls(interval: 0, ownCores: ownCores) > Self.blocks.count + 1)
  }

  /// Where threads share cores a poll gives the core away.
  @Test func notMoreOftenThanAskedFor() throws {
    #expect(try polls(interval: .infinity, ownCores: false) == 0)
    let intervals = try [false, true].map {
      try makeStep(communicator, interval: nil, ownCores: $0).pollInterval
    }
    #expect(intervals == [5e-3, 200e-6])
  }

  @Test(arguments: [1, 3]) func theOwnerIsCalledBetweenItsTasks(threads: Int) {
    let pool = WorkerPool(threads: threads)
    let owner = pthread_self()
    let own = Atomic<Int>(0)
    let calls = Atomic<Int>(0)
    let strangers = Atomic<Int>(0)
    pool.betweenTasks = {
      if pthread_equal(pthread_self(), owner) == 0 { strangers.add(1, ordering: .relaxed) }
      calls.add(1, ordering: .relaxed)
    }
    pool.run(100) { _, worker in
      if worker == 0 { own.add(1, ordering: .relaxed) }
      usleep(10)
    }
    #expect(calls.load(ordering: .relaxed) == own.load(ordering: .relaxed))
    #expect(strangers.load(ordering: .relaxed) == 0)
    if threads == 1 { #expect(own.load(ordering: .relaxed) == 100) }
  }
}

/// One of two ranks whose sums never end before they are waited for, and are what went in.
private final class CountingCommunicator: Communicator {
  struct Broken: Error {}

  let rank = 0
  let size = 2
  let backend = "counting"
  var polls = 0
  var fails = false

  func sum(_ values: UnsafeMutableBufferPointer<Double>) {}
  func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
  func maximum(_ values: UnsafeMutableBufferPointer<Int64>) {}

  func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) -> any PendingReduction {
    _ = destination.update(from: source)
    return Pending(self)
  }

  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {}
  func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer) {}
  func barrier() {}

  private final class Pending: PendingReduction {
    private unowned let communicator: CountingCommunicator

    init(_ communicator: CountingCommunicator) { self.communicator = communicator }

    func poll() throws -> Bool {
      communicator.polls += 1
      if communicator.fails { throw Broken() }
      return false
    }

    func wait() throws {}
  }
}
