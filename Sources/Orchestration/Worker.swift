import Checkpoints
import Collectives
import Glibc
import ImageData
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// One rank of a run: its network, its data, and the loop over steps.
package final class Worker {
  let plan: RunPlan
  let communicator: any Communicator
  let network: TrainingNetwork
  let optimizer: SGD
  let step: Step
  let evaluation: Evaluation
  /// Of the weights, where the configuration asks for it; then it is what is evaluated and delivered.
  let average: WeightAverage?
  private let schedule: Schedule
  private let dataset: any Dataset
  private let transform: SampleTransform
  private let shardPlan: ShardPlan
  /// Steps done, and the best evaluation so far: the same on every rank.
  private(set) var stepsDone = 0
  private(set) var best: RunState.Best?
  /// Rank 0 alone knows it, as it alone saves.
  private var origin: String?
  /// Images of this rank that could not be decoded and were replaced.
  private var replacedCount = 0

  package init(
    plan: RunPlan, train: any Dataset, test: any Dataset, communicator: any Communicator
  ) throws {
    self.plan = plan
    self.communicator = communicator
    dataset = train
    let config = plan.config
    let shape = NetworkShape(
      blocks: plan.blocks, classes: plan.classes,
      shards: plan.ranksShards[communicator.rank].count, shardCapacity: plan.maximumShardSize,
      batchNorm: config.training.batchNorm)
    network = TrainingNetwork(
      shape: shape, otherSizes: plan.phases.dropLast().map(\.blocks),
      pool: Machine.pool(threads: plan.threads))
    optimizer = SGD(config.optimizer, layout: network.layout)
    step = Step(
      network: network, optimizer: optimizer, communicator: communicator, buckets: plan.buckets,
      labelSmoothing: config.training.labelSmoothing)
    transform = try SampleTransform(config: config, form: train.form)
    evaluation = Evaluation(
      dataset: test, transform: try SampleTransform(config: config, form: test.form).deterministic,
      shape: shape, communicator: communicator)
    average =
      config.training.averageDecay > 0
      ? WeightAverage(network, decay: config.training.averageDecay) : nil
    schedule = Schedule(
      config.schedule, stepsPerEpoch: plan.stepsPerEpoch, epochs: config.training.epochs)
    shardPlan = ShardPlan(
      sampleCount: train.count, globalBatch: plan.globalBatch, shards: plan.shards,
      seed: config.training.seed, shuffle: config.training.shuffle)
  }

  /// How the loop over steps ended.
  package enum Ending: Equatable { case finished, stopped }

  /// Trains from where the worker stands to the last step, or until a rank wishes to stop.
  package func train(_ coordinator: Coordinator?) throws -> Ending {
    guard stepsDone < plan.totalSteps else { return .finished }
    let loader = try Agreement.all(communicator) { try makeLoader() }
    defer { loader.stop() }
    while stepsDone < plan.totalSteps {
      enterPhase(coordinator)
      coordinator?.directory.attempts.begin(step: stepsDone + 1)
      let waitStart = monotonicSeconds()
      let (batch, failure) = take(loader)
      let waiting = monotonicSeconds() - waitStart
      let outcome = try step.run(
        batch, globalCount: shardPlan.batchCount(step: stepsDone % plan.stepsPerEpoch),
        learningRate: schedule.learningRate(step: stepsDone),
        wishesToStop: StopAgreement.isRequested, hasFailed: failure != nil)
      if outcome.hasFailure { try Agreement.settle(communicator, failure, ofOneRank: true) }
      try requireFinite(outcome)
      stepsDone += 1
      average?.update(step: stepsDone)
      try reportingFailure(coordinator) {
        try $0.stepped(outcome, step: stepsDone, waiting: waiting)
      }
      let evaluated = try evaluateWhenDue(coordinator)
      if outcome.stopRequested {
        try Agreement.all(communicator) {
          try coordinator?.save(snapshot())
          coordinator?.stopped(atStep: stepsDone)
        }
        return .stopped
      }
      try saveWhenDue(coordinator, evaluated: evaluated)
    }
    return .finished
  }

  /// First epoch of the phase that was entered last.
  private var phaseStart: Int?

  /// Brings the network to the size of the next step's images, which an evaluation may have changed
  /// too.
  private func enterPhase(_ coordinator: Coordinator?) {
    let phase = plan.phase(epoch: stepsDone / plan.stepsPerEpoch)
    network.resize(to: phase.blocks)
    guard phaseStart != phase.epochs.lowerBound else { return }
    phaseStart = phase.epochs.lowerBound
    if plan.hasPhases { coordinator?.entered(phase, afterStep: stepsDone) }
  }

  /// What rank 0 could not write, to be agreed on in the next step's summary.
  private var ownFailure: (any Error)?

  private func reportingFailure(
    _ coordinator: Coordinator?, _ body: (Coordinator) throws -> Void
  ) rethrows {
    guard let coordinator, ownFailure == nil else { return }
    do { try body(coordinator) } catch { ownFailure = error }
  }

  /// After the last step failures are settled by the caller's next agreement.
  package func throwOwnFailure() throws {
    if let ownFailure { throw ownFailure }
  }

  private func makeLoader() throws -> BatchLoader {
    try BatchLoader(
      dataset: dataset, plan: shardPlan, ownedShards: plan.ranksShards[communicator.rank],
      transform: transform, depth: plan.config.data.prefetch,
      threads: plan.config.data.threads, damaged: plan.config.data.damaged,
      startEpoch: stepsDone / plan.stepsPerEpoch, startStep: stepsDone % plan.stepsPerEpoch,
      epochs: plan.config.training.epochs)
  }

  /// This rank's shards of the next step. A rank whose data fail takes part with empty shards, so
  /// that the others do not wait for it; the step is then rejected by all.
  private func take(_ loader: BatchLoader) -> ([ShardSamples], (any Error)?) {
    do {
      if let failure = ownFailure { throw failure }
      guard let batch = try loader.next() else {
        throw JobFailure(.ownFault, "the loader ended before step \(stepsDone + 1)")
      }
      batch.replaced.forEach(sayReplaced)
      replacedCount += batch.replaced.count
      let shards = batch.shards.map {
        ShardSamples(
          images: ShardImages(pixels: $0.pixels, count: $0.count), labels: $0.labels,
          mixture: $0.mixture)
      }
      return (shards, nil)
    } catch {
      let empty = ShardSamples(
        images: ShardImages(pixels: UnsafePointer(network.parameters.base), count: 0), labels: [])
      return (Array(repeating: empty, count: network.shape.shards), error)
    }
  }

  /// Over the steps of this job. Every rank calls it.
  func replacedOnAllRanks() throws -> Int {
    var count = [Double(replacedCount)]
    try count.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    return Int(count[0])
  }

  /// By the rank itself: no other knows of it.
  private func sayReplaced(_ damage: DataError) {
    let line = "repvgg: rank \(communicator.rank): \(damage); another image takes its place\n"
    _ = Array(line.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  private func requireFinite(_ outcome: StepOutcome) throws {
    guard !outcome.isFinite else { return }
    let epoch = stepsDone / plan.stepsPerEpoch + 1
    throw JobFailure(
      .numerics,
      "step \(stepsDone + 1), epoch \(epoch): the loss (\(outcome.totals.loss / outcome.totals.samples)), "
        + "a gradient or a statistic is not finite; nothing of this step was applied or saved; start anew "
        + "with another --output and a lower schedule.learning_rate or a longer schedule.warmup_epochs"
    )
  }
}

// MARK: - Evaluating and saving

extension Worker {
  private var isEpochEnd: Bool { stepsDone % plan.stepsPerEpoch == 0 }

  /// Evaluates after every n-th epoch; the last evaluation is the delivery's.
  private func evaluateWhenDue(_ coordinator: Coordinator?) throws -> Bool {
    let every = plan.config.evaluation.everyEpochs
    guard every > 0, isEpochEnd, stepsDone / plan.stepsPerEpoch % every == 0,
      stepsDone < plan.totalSteps
    else { return false }
    try synchroniseRunningStatistics()
    let result = try whileEvaluating { try evaluation.run(Evaluation.Form(network)) }
    try reportingFailure(coordinator) {
      try $0.evaluated(result, step: stepsDone, split: "test", form: "training")
    }
    noteResult(result)
    return true
  }

  /// Before they are read or hashed: with local BatchNorm they are rank 0's.
  func synchroniseRunningStatistics() throws {
    try step.synchroniseRunningStatistics()
    guard let average, network.shape.batchNorm == .local else { return }
    try communicator.broadcast(average.bytes[1], from: 0)
  }

  /// Runs `body` with the network as it is evaluated and delivered: on images of `data.resolution`,
  /// and with the average as its weights, where there is one.
  func whileEvaluating<Result>(_ body: () throws -> Result) rethrows -> Result {
    network.resize(to: plan.blocks)
    guard let average else { return try body() }
    return try average.whileInUse(body)
  }

  /// Keeps the best top-1; the earlier of equals.
  func noteResult(_ result: Evaluation.Result) {
    if best.map({ result.top1 > $0.top1 }) ?? true {
      best = RunState.Best(step: stepsDone, top1: result.top1)
    }
  }

  /// Saves by steps, by minutes, and whenever an evaluation was the best so far. Rank 0 alone: all
  /// ranks have the same weights. The last step is the delivery's to save, which evaluates it first:
  /// a checkpoint that is there already would be kept, without that evaluation in its state.
  private func saveWhenDue(_ coordinator: Coordinator?, evaluated: Bool) throws {
    guard stepsDone < plan.totalSteps else { return }
    try reportingFailure(coordinator) { coordinator in
      let isBest = evaluated && best?.step == stepsDone
      if isBest || coordinator.isSaveDue(afterStep: stepsDone) {
        try coordinator.save(snapshot())
      }
    }
  }

  func snapshot() -> RunSnapshot {
    RunSnapshot(
      state: RunState(plan: plan, step: stepsDone, best: best, origin: origin), network: network,
      optimizer: optimizer, average: average)
  }
}

// MARK: - Beginning and resuming

extension Worker {
  /// Initial values from the seed, the same on every rank.
  package func initialise() throws {
    try network.initialise(seed: plan.seed)
    average?.begin()
  }

  /// Takes up `snapshot`, which rank 0 has read and checked; the others get it from there.
  package func resume(_ snapshot: RunSnapshot?) throws {
    try Agreement.all(communicator) {
      guard let snapshot else { return }
      if let average, let tensors = snapshot.average {
        try network.load(tensors)
        average.begin()
      }
      try network.load(snapshot.model)
      try network.setTrainable(snapshot.optimizer, in: optimizer.momentum)
      stepsDone = snapshot.state.step
      best = snapshot.state.best
      origin = snapshot.state.origin
    }
    try communicator.broadcast(UnsafeMutableRawBufferPointer(network.parameters.all), from: 0)
    try communicator.broadcast(UnsafeMutableRawBufferPointer(optimizer.momentum.all), from: 0)
    try communicator.broadcast(
      UnsafeMutableRawBufferPointer(network.runningStatistics), from: 0)
    for bytes in average?.bytes ?? [] { try communicator.broadcast(bytes, from: 0) }
    try broadcastCounters()
  }

  private func broadcastCounters() throws {
    let names = network.batchCounts.keys.sorted()
    var numbers = [
      Int64(stepsDone), Int64(best?.step ?? -1), Int64(bitPattern: (best?.top1 ?? 0).bitPattern),
    ]
    numbers += names.map { network.batchCounts[$0] ?? 0 }
    try numbers.withUnsafeMutableBytes { try communicator.broadcast($0, from: 0) }
    stepsDone = Int(numbers[0])
    best =
      numbers[1] < 0
      ? nil
      : RunState.Best(
        step: Int(numbers[1]), top1: Double(bitPattern: UInt64(bitPattern: numbers[2])))
    for (name, count) in zip(names, numbers.dropFirst(3)) {
      network.setBatchCount(count, of: name)
    }
  }
}
