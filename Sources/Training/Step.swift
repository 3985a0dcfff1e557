import Collectives
import Failpoints
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
  /// Whether the loss was above the limit: nothing was updated then.
  package var isSpike: Bool
  /// Whether a rank wished to stop after this step.
  package var stopRequested: Bool
  /// Whether a rank, rank 0 then, wished to save after this step.
  package var saveRequested: Bool
  package var collectives: Int
  package var collectiveBytes: Int
  /// Seconds of this rank, in all and in collectives.
  package var seconds: Double
  package var collectiveSeconds: Double
  /// Of these, those for gradients: `GradientReduction.Statistics.exposedSeconds`.
  package var exposedSeconds: Double

  /// Whether the step was applied.
  package var isApplied: Bool { isFinite && !isSpike && !hasFailure }
}

/// What a rank brings to a step beside its samples.
package struct StepRequest: Sendable {
  package var globalCount: Int
  package var learningRate: Double
  /// A step whose mean loss is above it is rejected.
  package var lossLimit = Double.infinity
  package var wishesToStop = false
  package var wishesToSave = false
  /// The rank takes part with what it has, so that no other waits for it, and the step is rejected
  /// by all.
  package var hasFailed = false
  /// Seconds that the rank has worked for this step before it.
  package var waitingSeconds = 0.0

  package init(globalCount: Int, learningRate: Double) {
    self.globalCount = globalCount
    self.learningRate = learningRate
  }
}

/// What a rank does within a step: for whoever watches over it.
package enum StepPhase: Sendable, CaseIterable {
  case forward, backward, gradients, summary, update
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
  /// Told whenever the rank comes to another phase, and of every block whose statistics it has.
  package var onPhase: (StepPhase) -> Void = { _ in }
  private var phase = StepPhase.forward
  private var statisticsCollectives = 0
  private var statisticsBytes = 0
  private var statisticsSeconds = 0.0

  package init(
    network: TrainingNetwork, optimizer: SGD, communicator: any Communicator,
    buckets: [Range<Int>], labelSmoothing: Double,
    pollInterval: Double? = nil
  ) {
    self.network = network
    self.optimizer = optimizer
    self.communicator = communicator
    let shape = network.shape
    batchNorm = shape.batchNorm
    reduction = GradientReduction(
      communicator: communicator, gradients: network.gradients, layout: network.layout,
      buckets: buckets, batchNorm: batchNorm,
      pollInterval: pollInterval
        ?? GradientReduction.pollInterval(ownCores: network.pool.ownCores))
    loss = Loss(labelSmoothing: labelSmoothing)
    let logitGradients = Arena(count: shape.imageCapacity * shape.classes)
    self.logitGradients = logitGradients
    shardLogitGradients = (0..<shape.shards).map {
      UnsafePointer(logitGradients.base + $0 * shape.shardCapacity * shape.classes)
    }
    images.reserveCapacity(shape.shards)
    shardTotals = Array(repeating: Loss.Totals(), count: shape.shards)
    summary = .allocate(capacity: Summary.ownSeconds + communicator.size)
    summary.initialize(repeating: 0)
    if communicator.size > 1 {
      network.pool.betweenTasks = { [unowned reduction] in reduction.makeProgress() }
    }
  }

  deinit {
    network.pool.betweenTasks = {}
    summary.deallocate()
  }

  /// Seconds between two looks for messages of gradients' sums within the backward pass.
  package var pollInterval: Double { reduction.pollInterval }

  /// Gradients of the last step, summed over all ranks.
  package var reducedGradients: Arena { reduction.reduced }

  /// Of every rank in the last step: seconds of its own work, outside collectives.
  package var ownSeconds: UnsafeBufferPointer<Double> {
    UnsafeBufferPointer(rebasing: summary[Summary.ownSeconds...])
  }

  /// Trains on one global batch, of which `batch` are this rank's shards.
  package func run(_ batch: [ShardSamples], _ request: StepRequest) throws -> StepOutcome {
    let start = monotonicSeconds()
    (statisticsCollectives, statisticsBytes, statisticsSeconds) = (0, 0, 0)
    images.removeAll(keepingCapacity: true)
    for samples in batch { images.append(samples.images) }
    enter(.forward)
    try network.forward(images, reduceStatistics: reduceStatistics)
    Failpoint.pass(.forwardDone)
    evaluateLoss(batch, globalCount: request.globalCount)
    reduction.begin()
    enter(.backward)
    try network.backward(
      logitGradients: shardLogitGradients,
      reduceStatistics: reduceStatistics, gradientsReady: gradientsReady)
    Failpoint.pass(.backwardDone)
    enter(.gradients)
    try reduction.finish()
    let learningRate = request.learningRate * (Failpoint.value(.learningRate) ?? 1)
    let staysFinite = staysFinite(learningRate: learningRate)
    let costs = reduction.statistics
    let ownSeconds =
      request.waitingSeconds + monotonicSeconds() - start - costs.exposedSeconds
      - statisticsSeconds
    enter(.summary)
    let totals = try exchangeSummary(request, staysFinite: staysFinite, ownSeconds: ownSeconds)
    var outcome = StepOutcome(
      totals: totals, learningRate: request.learningRate,
      isFinite: totals.loss.isFinite && summary[Summary.isNotFinite] == 0,
      hasFailure: summary[Summary.hasFailed] > 0,
      isSpike: totals.loss > request.lossLimit * totals.samples,
      stopRequested: summary[Summary.wishesToStop] > 0,
      saveRequested: summary[Summary.wishesToSave] > 0,
      collectives: costs.collectives + statisticsCollectives,
      collectiveBytes: costs.bytes + statisticsBytes, seconds: 0,
      collectiveSeconds: costs.exposedSeconds + statisticsSeconds,
      exposedSeconds: costs.exposedSeconds)
    enter(.update)
    if outcome.isApplied { update(learningRate: learningRate) }
    outcome.seconds = monotonicSeconds() - start
    return outcome
  }

  private func enter(_ phase: StepPhase) {
    self.phase = phase
    onPhase(phase)
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
    Failpoint.pass(.statistics)
    // Once a block: a whole pass of a large network may take minutes.
    onPhase(phase)
    guard communicator.size > 1 else { return }
    try reduction.rethrow()
    let start = monotonicSeconds()
    try communicator.sum(message)
    statisticsSeconds += monotonicSeconds() - start
    statisticsCollectives += 1
    statisticsBytes += message.count * MemoryLayout<Double>.stride
  }

  private func gradientsReady(_ end: Int) throws {
    onPhase(phase)
    try reduction.gradientsReady(end)
  }

  private func evaluateLoss(_ batch: [ShardSamples], globalCount: Int) {
    for (shard, samples) in batch.enumerated() {
      shardTotals[shard] = loss.evaluate(
        logits: network.logits(shard: shard), labels: samples.labels,
        count: samples.images.count, classes: network.shape.classes, globalCount: globalCount,
        gradient: logitGradient(shard: shard), mixture: samples.mixture)
    }
  }

  /// Places of the summary's values, all of them summed over ranks.
  private enum Summary {
    static let (loss, top1, top5, samples) = (0, 1, 2, 3)
    static let (wishesToStop, wishesToSave, hasFailed, isNotFinite) = (4, 5, 6, 7)
    /// One for each rank, 0 on all others.
    static let ownSeconds = RunPlan.summaryCount
  }

  /// Loss, hits, wishes and failures in one small message.
  private func exchangeSummary(
    _ request: StepRequest, staysFinite: Bool, ownSeconds: Double
  ) throws -> Loss.Totals {
    foldShards(shardTotals.count) { shardTotals[$0] += shardTotals[$1] }
    let own = shardTotals[0]
    summary.update(repeating: 0)
    summary[Summary.loss] = own.loss
    summary[Summary.top1] = own.top1
    summary[Summary.top5] = own.top5
    summary[Summary.samples] = own.samples
    summary[Summary.wishesToStop] = request.wishesToStop ? 1 : 0
    summary[Summary.wishesToSave] = request.wishesToSave ? 1 : 0
    summary[Summary.hasFailed] = request.hasFailed ? 1 : 0
    summary[Summary.isNotFinite] = staysFinite ? 0 : 1
    summary[Summary.ownSeconds + communicator.rank] = ownSeconds
    try reduceStatistics(summary)
    var totals = Loss.Totals()
    (totals.loss, totals.top1) = (summary[Summary.loss], summary[Summary.top1])
    (totals.top5, totals.samples) = (summary[Summary.top5], summary[Summary.samples])
    return totals
  }

  /// Whether statistics and gradients are finite, and what they would make of the weights. Asked
  /// before the summary: with local BatchNorm, or where a bit has flipped, it is one rank's own
  /// answer, and all must come to the same.
  private func staysFinite(learningRate: Double) -> Bool {
    if let bit = Failpoint.value(.gradientBit) { flip(bit, in: reduction.reduced) }
    let largest = largestMagnitude(reduction.reduced.base, count: reduction.reduced.count)
    return largest.isFinite && network.hasFiniteStatistics
      && optimizer.staysFinite(
        network.parameters, largestGradient: largest, learningRate: learningRate)
  }

  private func update(learningRate: Double) {
    optimizer.update(
      network.parameters, gradients: reduction.reduced, learningRate: learningRate,
      pool: network.pool)
    network.updateRunningStatistics()
    if let bit = Failpoint.value(.weightBit) { flip(bit, in: network.parameters) }
    Failpoint.pass(.updated)
  }

  /// Flips a bit, counted over the arena and around its end.
  private func flip(_ bit: Double, in arena: Arena) {
    let (place, bit) = (Int(bit) / 32 % arena.count, UInt32(Int(bit) % 32))
    arena.base[place] = Float(bitPattern: arena.base[place].bitPattern ^ (1 << bit))
  }
}
