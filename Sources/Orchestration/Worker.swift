import Checkpoints
import Collectives
import Failpoints
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
  let heartbeat: Heartbeat
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
  var stepsDone = 0
  var best: RunState.Best?
  var lossRecord = LossRecord()
  /// The run was stopped where an evaluation was due.
  var owesEvaluation = false
  /// Rank 0 alone knows it, as it alone saves.
  var origin: String?
  /// Images of this rank that could not be decoded and were replaced.
  private var replacedCount = 0

  package init(
    plan: RunPlan, train: any Dataset, test: any Dataset, communicator: any Communicator,
    heartbeat: Heartbeat
  ) throws {
    self.plan = plan
    self.communicator = communicator
    self.heartbeat = heartbeat
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
    network.onBlock = { [heartbeat] in heartbeat.mark() }
    step.onPhase = { [heartbeat] in heartbeat.enter(Heartbeat.Phase($0)) }
  }

  /// How the loop over steps ended.
  package enum Ending: Equatable { case finished, stopped }

  /// Trains from where the worker stands to the last step, or until a rank wishes to stop.
  package func train(_ coordinator: Coordinator?) throws -> Ending {
    guard stepsDone < plan.totalSteps else { return .finished }
    let loader = try Agreement.all(communicator) { try makeLoader() }
    defer { loader.stop() }
    if owesEvaluation {
      owesEvaluation = false
      let evaluated = try evaluateWhenDue(coordinator)
      try saveWhenDue(coordinator, requested: false, evaluated: evaluated)
    }
    while stepsDone < plan.totalSteps {
      enterPhase(coordinator)
      let (outcome, waiting) = try runStep(loader, coordinator)
      if outcome.isApplied {
        lossRecord.accept(loss: outcome.totals.loss / outcome.totals.samples)
        average?.update(step: stepsDone)
        try reportingFailure(coordinator) {
          try $0.stepped(
            outcome, step: stepsDone, waiting: waiting, ownSeconds: step.ownSeconds)
        }
      } else {
        try skip(outcome, coordinator)
      }
      if outcome.stopRequested {
        // Who asks may not wait for an evaluation: it is made when the run goes on.
        owesEvaluation = isEvaluationDue
        try stop(coordinator)
        return .stopped
      }
      let evaluated = try evaluateWhenDue(coordinator)
      try saveWhenDue(coordinator, requested: outcome.saveRequested, evaluated: evaluated)
    }
    return .finished
  }

  /// Takes the next batch and trains on it; throws on every rank what any of them has failed by.
  private func runStep(
    _ loader: BatchLoader, _ coordinator: Coordinator?
  ) throws -> (StepOutcome, waiting: Double) {
    heartbeat.begin(step: stepsDone + 1)
    coordinator?.directory.attempts.begin(step: stepsDone + 1)
    var request = StepRequest(
      globalCount: shardPlan.batchCount(step: stepsDone % plan.stepsPerEpoch),
      learningRate: schedule.learningRate(step: stepsDone))
    request.lossLimit = lossRecord.limit(plan.config.numerics)
    try reportingFailure(coordinator) {
      // It may wait for the disk.
      heartbeat.enter(.saving)
      request.wishesToSave =
        try stepsDone + 1 < plan.totalSteps && $0.wishesToSave(afterStep: stepsDone + 1)
    }
    heartbeat.enter(.batch)
    let waitStart = monotonicSeconds()
    let (batch, failure) = take(loader)
    Failpoint.pass(.batchTaken)
    request.waitingSeconds = monotonicSeconds() - waitStart
    request.hasFailed = failure != nil
    request.wishesToStop = StopAgreement.isRequested
    let outcome = try step.run(batch, request)
    if outcome.hasFailure { try Agreement.settle(communicator, failure, ofOneRank: true) }
    stepsDone += 1
    return (outcome, request.waitingSeconds)
  }

  private func stop(_ coordinator: Coordinator?) throws {
    try requireSameState()
    heartbeat.enter(.saving)
    try Agreement.all(communicator) {
      try throwOwnFailure()
      try coordinator?.saveAndWait(copy)
      coordinator?.stopped(atStep: stepsDone)
    }
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

  /// After a step that was not applied: goes on without its batch, or ends the run.
  private func skip(_ outcome: StepOutcome, _ coordinator: Coordinator?) throws {
    let loss = outcome.totals.loss / outcome.totals.samples
    let reason =
      outcome.isFinite
      ? "the loss (\(loss)) is above \(plan.config.numerics.spike) times the mean of those before it"
      : "the loss (\(loss)), a gradient, a statistic or an updated weight is not finite"
    lossRecord.reject()
    let inRow = lossRecord.rejectedInRow
    let isOver = plan.config.numerics.policy == .stop || inRow >= plan.config.numerics.limit
    guard isOver else {
      let samples = StepSamples(plan: plan, dataset: dataset)
      try reportingFailure(coordinator) {
        try $0.skippedStep(stepsDone, because: reason, samples: samples.names(ofStep: stepsDone))
      }
      return
    }
    throw JobFailure(
      .numerics,
      "step \(stepsDone), epoch \((stepsDone - 1) / plan.stepsPerEpoch + 1): \(reason)"
        + (inRow > 1 ? ", for \(inRow) steps in a row (numerics.limit)" : "")
        + "; nothing of this step was applied or saved; start anew with another --output and a lower "
        + "schedule.learning_rate or a longer schedule.warmup_epochs"
        + (inRow > 1 ? "" : ", or let numerics.policy: rollback leave such batches out"))
  }
}

// MARK: - Evaluating and saving

extension Worker {
  private var isEvaluationDue: Bool {
    let every = plan.config.evaluation.everyEpochs
    return every > 0 && stepsDone % plan.stepsPerEpoch == 0
      && stepsDone / plan.stepsPerEpoch % every == 0 && stepsDone < plan.totalSteps
  }

  /// Evaluates after every n-th epoch; the last evaluation is the delivery's.
  private func evaluateWhenDue(_ coordinator: Coordinator?) throws -> Bool {
    guard isEvaluationDue else { return false }
    try synchroniseRunningStatistics()
    let result = try whileEvaluating { try evaluation.run(watched(Evaluation.Form(network))) }
    try Agreement.settle(communicator, evaluation.failure, ofOneRank: true)
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

  /// The form, whose passes the watchdog sees.
  func watched(_ form: Evaluation.Form) -> Evaluation.Form {
    heartbeat.enter(.evaluating)
    return Evaluation.Form(
      evaluate: { [heartbeat] chunks in
        heartbeat.mark()
        form.evaluate(chunks)
      }, logits: form.logits)
  }

  /// Keeps the best top-1; the earlier of equals.
  func noteResult(_ result: Evaluation.Result) {
    if best.map({ result.top1 > $0.top1 }) ?? true {
      best = RunState.Best(step: stepsDone, top1: result.top1)
    }
  }

  /// Saves where rank 0 has asked for it, by steps or by minutes, and whenever an evaluation was the
  /// best so far. Rank 0 alone writes: all ranks have the same weights, which is looked at before. The
  /// last step is the delivery's to save, which evaluates it first: a checkpoint that is there
  /// already would be kept, without that evaluation in its state.
  private func saveWhenDue(_ coordinator: Coordinator?, requested: Bool, evaluated: Bool) throws {
    guard stepsDone < plan.totalSteps, requested || (evaluated && best?.step == stepsDone) else {
      return
    }
    let start = monotonicSeconds()
    try requireSameState()
    heartbeat.enter(.saving)
    try reportingFailure(coordinator) { try $0.save(since: start, copy) }
  }

  func copy() -> RunCopy {
    RunCopy(
      state: RunState(
        plan: plan, step: stepsDone, best: best, lossRecord: lossRecord,
        owesEvaluation: owesEvaluation, origin: origin),
      network: network, optimizer: optimizer, average: average)
  }
}
