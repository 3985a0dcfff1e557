import Collectives
import ImageData
import Kernels
import RepVGGModel
import RunPlanning
import Tensors

/// The samples of one shard: images, and one label for each, or two where images are mixtures.
package struct ShardSamples {
  package var images: ShardImages
  package var labels: [Int32]
  package var mixture: LabelMixture?

  package init(images: ShardImages, labels: [Int32], mixture: LabelMixture? = nil) {
    self.images = images
    self.labels = labels
    self.mixture = mixture
  }
}

/// What one step did, the same on every rank but for the times.
package struct StepOutcome: Sendable {
  package var totals: Loss.Totals
  package var learningRate: Double
  /// False when a loss, gradient or statistic was not finite: nothing was updated then.
  package var isFinite: Bool
  /// Whether a rank said that it had failed: nothing was updated then.
  package var hasFailure: Bool
  /// Whether a rank wished to stop after this step.
  package var stopRequested: Bool
  package var collectives: Int
  package var collectiveBytes: Int
  /// Seconds of this rank, in all and in collectives.
  package var seconds: Double
  package var collectiveSeconds: Double
}

/// One rank's training step: forward, loss, backward, check, update.
///
/// Every rank runs it with its own shards of the same global batch; see docs/numerics.md for why
/// the result does not depend on how many ranks there are.
package final class Step {
  package let network: TrainingNetwork
  package let optimizer: SGD
  private let communicator: any Communicator
  private let reduction: GradientReduction
  private let loss: Loss
  private let batchNorm: RunConfig.BatchNormMode
  private let logitGradients: Arena
  private var shardTotals: [Loss.Totals]
  /// Images of the batch at hand, and where the gradients of every shard's logits lie: kept, so that
  /// a step allocates nothing.
  private var images: [ShardImages] = []
  private let shardLogitGradients: [UnsafePointer<Float>]
  private let summary: UnsafeMutableBufferPointer<Double>
  private var statisticsCollectives = 0
  private var statisticsBytes = 0
  private var statisticsSeconds = 0.0

  package init(
    network: TrainingNetwork, optimizer: SGD, communicator: any Communicator,
    buckets: [Range<Int>], labelSmoothing: Double
  ) {
    self.network = network
    self.optimizer = optimizer
    self.communicator = communicator
    let shape = network.shape
    batchNorm = shape.batchNorm
    reduction = GradientReduction(
      communicator: communicator, gradients: network.gradients, layout: network.layout,
      buckets: buckets, batchNorm: batchNorm)
    loss = Loss(labelSmoothing: labelSmoothing)
    let logitGradients = Arena(count: shape.imageCapacity * shape.classes)
    self.logitGradients = logitGradients
    shardLogitGradients = (0..<shape.shards).map {
      UnsafePointer(logitGradients.base + $0 * shape.shardCapacity * shape.classes)
    }
    images.reserveCapacity(shape.shards)
    shardTotals = Array(repeating: Loss.Totals(), count: shape.shards)
    summary = .allocate(capacity: 6)
    summary.initialize(repeating: 0)
  }

  deinit { summary.deallocate() }

  /// Gradients of the last step, summed over all ranks.
  package var reducedGradients: Arena { reduction.reduced }

  /// Trains on one global batch of `globalCount` samples, of which `batch` are this rank's shards.
  ///
  /// A rank that `hasFailed` takes part with what it has, so that no other waits for it, and the step
  /// is rejected by all.
  package func run(
    _ batch: [ShardSamples], globalCount: Int, learningRate: Double, wishesToStop: Bool = false,
    hasFailed: Bool = false
  ) throws -> StepOutcome {
    let start = monotonicSeconds()
    (statisticsCollectives, statisticsBytes, statisticsSeconds) = (0, 0, 0)
    images.removeAll(keepingCapacity: true)
    for samples in batch { images.append(samples.images) }
    try network.forward(images, reduceStatistics: reduceStatistics)
    evaluateLoss(batch, globalCount: globalCount)
    reduction.begin()
    try network.backward(
      logitGradients: shardLogitGradients,
      reduceStatistics: reduceStatistics, gradientsReady: reduction.gradientsReady)
    try reduction.finish()
    let totals = try exchangeSummary(wishesToStop: wishesToStop, hasFailed: hasFailed)
    let isFinite = totals.loss.isFinite && network.hasFiniteStatistics && hasFiniteGradients
    let hasFailure = summary[5] > 0
    if isFinite && !hasFailure { update(learningRate: learningRate) }
    let costs = reduction.statistics
    return StepOutcome(
      totals: totals, learningRate: learningRate, isFinite: isFinite,
      hasFailure: hasFailure, stopRequested: summary[4] > 0,
      collectives: costs.collectives + statisticsCollectives,
      collectiveBytes: costs.bytes + statisticsBytes, seconds: monotonicSeconds() - start,
      collectiveSeconds: costs.exposedSeconds + statisticsSeconds)
  }

  /// With local BatchNorm the running statistics kept are shard 0's, which rank 0 has: brings them
  /// to every rank, before they are read or hashed.
  package func synchroniseRunningStatistics() throws {
    guard batchNorm == .local else { return }
    try communicator.broadcast(
      UnsafeMutableRawBufferPointer(network.runningStatistics), from: 0)
  }

  private func logitGradient(shard: Int) -> UnsafeMutablePointer<Float> {
    logitGradients.base + shard * network.shape.shardCapacity * network.shape.classes
  }

  private func reduceStatistics(_ message: UnsafeMutableBufferPointer<Double>) throws {
    guard communicator.size > 1 else { return }
    let start = monotonicSeconds()
    try communicator.sum(message)
    statisticsSeconds += monotonicSeconds() - start
    statisticsCollectives += 1
    statisticsBytes += message.count * MemoryLayout<Double>.stride
  }

  private func evaluateLoss(_ batch: [ShardSamples], globalCount: Int) {
    for (shard, samples) in batch.enumerated() {
      shardTotals[shard] = loss.evaluate(
        logits: network.logits(shard: shard), labels: samples.labels,
        count: samples.images.count, classes: network.shape.classes, globalCount: globalCount,
        gradient: logitGradient(shard: shard), mixture: samples.mixture)
    }
  }

  /// Loss, hits, the wish to stop and failures in one small message.
  private func exchangeSummary(wishesToStop: Bool, hasFailed: Bool) throws -> Loss.Totals {
    foldShards(shardTotals.count) { shardTotals[$0] += shardTotals[$1] }
    let own = shardTotals[0]
    summary[0] = own.loss
    summary[1] = own.top1
    summary[2] = own.top5
    summary[3] = own.samples
    summary[4] = wishesToStop ? 1 : 0
    summary[5] = hasFailed ? 1 : 0
    try reduceStatistics(summary)
    var totals = Loss.Totals()
    (totals.loss, totals.top1) = (summary[0], summary[1])
    (totals.top5, totals.samples) = (summary[2], summary[3])
    return totals
  }

  /// Reads what is the same on all ranks, so that all come to the same answer.
  private var hasFiniteGradients: Bool {
    allFinite(reduction.reduced.base, count: reduction.reduced.count)
  }

  private func update(learningRate: Double) {
    optimizer.update(
      network.parameters, gradients: reduction.reduced, learningRate: learningRate,
      pool: network.pool)
    network.updateRunningStatistics()
  }
}
