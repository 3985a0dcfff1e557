import Checkpoints
import Reporting
import RunPlanning
import Training

/// Rank 0's part of a run beside its work as a rank: the run directory, metrics, progress, and when
/// to save.
package final class Coordinator {
  /// Before the directory, whose lock must outlive a save that is still being written.
  private let writer: CheckpointWriter
  package let directory: RunDirectory
  private let plan: RunPlan
  private let metrics: MetricsLog
  private let progress: Progress
  private let clock: () -> Double
  private var lastSave: Double
  /// A save was due while another was being written.
  private var hasPassedOver = false
  /// Seconds for which the save that is being written has held training up.
  private var stallSeconds = 0.0
  /// Of the time, that saves may hold training up.
  private let stallShare = 0.01
  private let begin: Double
  /// Sums over the steps of this job, for the closing summary.
  private var steps = 0
  private var samples = 0.0
  private var stepSeconds = 0.0
  private var collectiveSeconds = 0.0
  private var waitingSeconds = 0.0
  /// By rank: steps in which its own work took much longer than the others'.
  private var straggles: [Int: Int] = [:]
  private var skipped = 0

  /// `progress`: resolved, `none` when quiet; `lineWidth`: columns of a live line.
  package convenience init(
    directory: RunDirectory, progress mode: ProgressMode, lineWidth: Int,
    output: TextOutput = .standardOutput()
  ) throws {
    try self.init(
      directory: directory, progress: mode, lineWidth: lineWidth, output: output,
      writer: CheckpointWriter(directory.store))
  }

  /// `clock`: seconds since any moment.
  init(
    directory: RunDirectory, progress mode: ProgressMode, lineWidth: Int, output: TextOutput,
    writer: CheckpointWriter, clock: @escaping () -> Double = monotonicSeconds
  ) throws {
    self.directory = directory
    self.writer = writer
    self.clock = clock
    begin = clock()
    lastSave = begin
    plan = directory.plan
    metrics = try MetricsLog(path: plan.paths.metrics)
    progress = Progress(
      mode: mode, epochs: plan.config.training.epochs, totalSteps: plan.totalSteps,
      width: lineWidth, output: output, clock: monotonicSeconds)
  }

  /// A line for people: on the screen and in `log.txt`.
  package func note(_ line: String) {
    progress.note(line)
    directory.log(line)
  }

  /// The first line of every part of a run. `bits`: `proved`, `not proved` or why not expected.
  package func started(
    atStep step: Int, backend: String, placement: Placement, bits: String
  ) throws {
    note(
      "\(plan.config.name): \(plan.config.model.architecture.name), "
        + "\(Quantity.count(plan.trainingTable.parameterCount)) parameters, \(plan.worldSize) ranks "
        + "x \(plan.threads) threads over \(backend), global batch \(plan.globalBatch), "
        + "\(plan.totalSteps) steps; bit invariance over ranks: \(bits)")
    for line in placement.lines where plan.worldSize > 1 || placement.isBound { note(line) }
    for line in plan.notes { note(line) }
    if step > 0 { note(continuation(after: step)) }
    try metrics.append([
      ("event", "start"), ("step", .int(step)), ("name", .string(plan.config.name)),
      ("architecture", .string(plan.config.model.architecture.name)),
      ("world_size", .int(plan.worldSize)), ("threads", .int(plan.threads)),
      ("placement", .array(placement.lines.map { .string($0) })),
      ("backend", .string(backend)), ("bit_invariance", .string(bits)),
      ("global_batch", .int(plan.globalBatch)), ("total_steps", .int(plan.totalSteps)),
      ("cpu", .string(plan.machine.cpu)), ("blas_kernel", .string(plan.machine.blasKernel)),
      (
        "blas_environment",
        .object(
          plan.machine.blasEnvironment.sorted { $0.key < $1.key }.map {
            ($0.key, .string($0.value))
          })
      ),
      ("mpi_version", .string(plan.machine.mpiVersion)),
      ("program_version", .string(plan.machine.programVersion)),
      ("seed", .string(String(plan.seed))), ("data", .string(plan.data.fingerprint)),
    ])
  }

  /// The run begins with the weights of a file.
  package func initialised(from weights: InitialWeights) throws {
    note(weights.summary)
    try metrics.append([
      ("event", "initialised"), ("step", .int(0)), ("file", .string(weights.path)),
      ("names", .string(weights.scheme.rawValue)),
      ("weights_sha256", .string(weights.weightsSHA256)),
      ("classifier", .string(weights.classifier == .kept ? "kept" : "new")),
    ])
  }

  /// A run may be told to end before where it stands.
  private func continuation(after step: Int) -> String {
    guard step >= plan.totalSteps else { return "going on after step \(step)" }
    let key = plan.totalSteps < plan.scheduleSteps ? "training.max_steps" : "training.epochs"
    let relation = step > plan.totalSteps ? "beyond" : "the last of"
    return "going on after step \(step), \(relation) the \(plan.totalSteps) that \(key) asks for: "
      + "nothing more is trained, the weights of step \(step) are evaluated and written"
  }

  /// The images of the next steps are of another size than those before.
  package func entered(_ phase: RunPlan.Phase, afterStep step: Int) {
    let (first, last) = (step / plan.stepsPerEpoch + 1, phase.epochs.upperBound)
    note(
      (first == last ? "epoch \(first)" : "epochs \(first) to \(last)")
        + ": images of \(phase.height) x \(phase.width)")
  }

  /// `step` counts from 1. `waiting`: seconds that this rank waited for its batch. `ownSeconds`: of
  /// every rank's own work.
  package func stepped(
    _ outcome: StepOutcome, step: Int, waiting: Double, ownSeconds: UnsafeBufferPointer<Double>
  ) throws {
    let totals = outcome.totals
    let seconds = outcome.seconds + waiting
    let epoch = (step - 1) / plan.stepsPerEpoch + 1
    steps += 1
    samples += totals.samples
    stepSeconds += seconds
    collectiveSeconds += outcome.collectiveSeconds
    waitingSeconds += waiting
    progress.report(
      Progress.Step(
        epoch: epoch, step: step, samples: Int(totals.samples), loss: totals.loss / totals.samples,
        correct: Int(totals.top1), seconds: seconds, collectiveSeconds: outcome.collectiveSeconds,
        waitingSeconds: waiting, stepsLeft: plan.costLeft(after: step)))
    let size =
      plan.hasPhases ? [("resolution", JSONValue.int(plan.phase(epoch: epoch - 1).height))] : []
    try metrics.append(
      [
        ("event", "step"), ("step", .int(step)), ("epoch", .int(epoch)),
        ("loss", .double(totals.loss / totals.samples)),
        ("top1", .double(totals.top1 / totals.samples)),
        ("learning_rate", .double(outcome.learningRate)), ("samples", .int(Int(totals.samples))),
        ("seconds", .double(seconds)), ("images_per_second", .double(totals.samples / seconds)),
        ("collective_seconds", .double(outcome.collectiveSeconds)),
        ("gradient_seconds", .double(outcome.exposedSeconds)),
        ("waiting_seconds", .double(waiting)), ("collectives", .int(outcome.collectives)),
        ("collective_bytes", .int(outcome.collectiveBytes)),
      ] + size + stragglers(ownSeconds))
  }

  /// Ranks whose own work took `watchdog.straggler_factor` times the median, for the step's line.
  private func stragglers(_ ownSeconds: UnsafeBufferPointer<Double>) -> [(String, JSONValue)] {
    let factor = plan.config.watchdog.stragglerFactor
    guard factor > 0, ownSeconds.count > 1 else { return [] }
    let median = ownSeconds.sorted()[(ownSeconds.count - 1) / 2]
    let slow = ownSeconds.indices.filter { ownSeconds[$0] > factor * median }
    guard !slow.isEmpty else { return [] }
    for rank in slow { straggles[rank, default: 0] += 1 }
    let ranks = slow.map {
      JSONValue.object([("rank", .int($0)), ("own_seconds", .double(ownSeconds[$0]))])
    }
    return [("stragglers", .array(ranks)), ("median_own_seconds", .double(median))]
  }

  /// A step was rejected and its batch is left out. `samples`: names of the whole batch.
  package func skippedStep(_ step: Int, because reason: String, samples: [String]) throws {
    skipped += 1
    note(
      "step \(step): \(reason); nothing of it was applied, its batch of "
        + "\(Quantity.count(samples.count)) samples is skipped (numerics.policy: rollback); "
        + "their names are in log.txt")
    directory.log("step \(step) skipped: " + samples.joined(separator: " "))
    try metrics.append([
      ("event", "skipped"), ("step", .int(step)), ("reason", .string(reason)),
      ("samples", .array(samples.map { .string($0) })),
    ])
  }

  package func evaluated(
    _ result: Evaluation.Result, step: Int, split: String, form: String
  ) throws {
    note(
      "step \(step), \(split), \(form) form: top-1 \(Quantity.percent(result.top1, decimals: 2)), "
        + "top-5 \(Quantity.percent(result.top5, decimals: 2)), loss "
        + "\(Quantity.fixed(result.loss, decimals: 4)) over \(Quantity.count(result.count)) images")
    try metrics.append([
      ("event", "evaluation"), ("step", .int(step)), ("split", .string(split)),
      ("form", .string(form)), ("top1", .double(result.top1)), ("top5", .double(result.top5)),
      ("loss", .double(result.loss)), ("count", .int(result.count)),
    ])
  }

  /// Whether all should save after `step`: the interval in steps or in minutes is over then, and the
  /// disk is ready. A save that is still being written is waited for only a little, for what it has not
  /// used yet of a hundredth of the time since it began, and `checkpoint.patience_seconds`, and once:
  /// the next then comes as soon as it is done.
  package func wishesToSave(afterStep step: Int) throws -> Bool {
    try reportSave()
    guard isSaveDue(afterStep: step) || hasPassedOver else { return false }
    if writer.isBusy {
      let start = clock()
      let patience =
        plan.config.checkpoint.patienceSeconds
        + max(0, stallShare * (start - lastSave) - stallSeconds)
      hasPassedOver = !writer.wait(atMost: hasPassedOver ? 0 : patience)
      stallSeconds += clock() - start
      if hasPassedOver { return false }
    }
    hasPassedOver = false
    return true
  }

  private func isSaveDue(afterStep step: Int) -> Bool {
    let checkpoint = plan.config.checkpoint
    if checkpoint.everySteps > 0 && step % checkpoint.everySteps == 0 { return true }
    // Saves by time hold training up for a hundredth of it at most.
    let interval = max(checkpoint.everyMinutes * 60, stallSeconds / stallShare)
    return checkpoint.everyMinutes > 0 && clock() - lastSave >= interval
  }

  /// Begins to save what `copy` makes; the thread that writes it marks the best checkpoint and
  /// removes old ones. `start`: when training stopped for it, by the same clock. Throws what became of
  /// the save before.
  package func save(since start: Double, _ copy: () -> RunCopy) throws {
    _ = writer.wait()
    try reportSave()
    writer.begin(copy())
    lastSave = clock()
    stallSeconds = lastSave - start
  }

  /// The same, and returns when the checkpoint is committed.
  package func saveAndWait(_ copy: () -> RunCopy) throws {
    try save(since: clock(), copy)
    try finishSaving()
  }

  /// Waits for a save that is still being written.
  package func finishSaving() throws {
    _ = writer.wait()
    try reportSave()
  }

  /// At the end of a run that failed by something else: what became of a save under way is said.
  package func settleSaves() {
    do { try finishSaving() } catch { note("\(error)") }
  }

  /// Says what became of a save that is done; throws what it failed by.
  private func reportSave() throws {
    guard let outcome = try writer.take() else { return }
    outcome.notes.forEach(note)
    try metrics.append([
      ("event", "checkpoint"), ("step", .int(outcome.step)), ("seconds", .double(outcome.seconds)),
      ("stall_seconds", .double(stallSeconds)),
      ("removed", .array(outcome.removed.map { .int($0) })),
    ])
    directory.log("step \(outcome.step): checkpoint in \(directory.store.directory)")
  }

  package func stopped(atStep step: Int) {
    progress.finish()
    note("stopped on request after step \(step); state saved: the same command goes on")
  }

  /// The last line of a run, and the closing summary. `replaced`: images that could not be decoded,
  /// each as often as it was to be used. `rows`: what the delivery adds.
  package func finished(
    step: Int, weightsSHA256: String, replaced: Int, rows: [(String, String)]
  ) throws {
    progress.finish()
    let seconds = clock() - begin
    let rate = stepSeconds > 0 ? samples / stepSeconds : 0
    try metrics.append([
      ("event", "end"), ("step", .int(step)), ("weights_sha256", .string(weightsSHA256)),
      ("seconds", .double(seconds)), ("steps", .int(steps)),
      ("images_per_second", .double(rate)),
      ("collective_share", .double(collectiveSeconds / max(stepSeconds, 1e-9))),
      ("waiting_share", .double(waitingSeconds / max(stepSeconds, 1e-9))),
      ("replaced", .int(replaced)), ("skipped", .int(skipped)),
      (
        "stragglers",
        .object(straggles.sorted { $0.key < $1.key }.map { ("\($0.key)", .int($0.value)) })
      ),
    ])
    var summary = Summary(title: "\(plan.config.name): done")
    summary.append("steps", "\(step) (\(steps) of them now)")
    summary.append("time", Quantity.duration(seconds: seconds))
    if steps > 0 {
      summary.append("images/s", Quantity.fixed(rate, decimals: 0))
      summary.append("in collectives", Quantity.percent(collectiveSeconds / stepSeconds))
      summary.append("waiting for data", Quantity.percent(waitingSeconds / stepSeconds))
    }
    if skipped > 0 { summary.append("steps skipped", "\(skipped) (not finite, named in log.txt)") }
    let slow = straggles.filter { $0.value * 10 > steps }.keys.sorted()
    if !slow.isEmpty {
      summary.append("slow ranks", slow.map(String.init).joined(separator: ", "))
    }
    if replaced > 0 { summary.append("damaged, replaced", "\(replaced) (named above)") }
    for (name, value) in rows { summary.append(name, value) }
    summary.append("weights", "sha256 \(weightsSHA256)")
    note(String(summary.text.dropLast()))
  }
}
