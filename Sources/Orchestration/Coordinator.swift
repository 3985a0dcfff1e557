import Checkpoints
import Reporting
import RunPlanning
import Training

/// Rank 0's part of a run beside its work as a rank: the run directory, metrics, progress, and when
/// to save.
package final class Coordinator {
  package let directory: RunDirectory
  private let plan: RunPlan
  private let metrics: MetricsLog
  private let progress: Progress
  private var lastSave = monotonicSeconds()
  private let begin = monotonicSeconds()
  /// Sums over the steps of this job, for the closing summary.
  private var steps = 0
  private var samples = 0.0
  private var stepSeconds = 0.0
  private var collectiveSeconds = 0.0
  private var waitingSeconds = 0.0

  /// `progress`: resolved, `none` when quiet; `lineWidth`: columns of a live line.
  package init(
    directory: RunDirectory, progress mode: ProgressMode, lineWidth: Int,
    output: TextOutput = .standardOutput()
  ) throws {
    self.directory = directory
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
  package func started(atStep step: Int, backend: String, bits: String) throws {
    note(
      "\(plan.config.name): \(plan.config.model.architecture.name), "
        + "\(Quantity.count(plan.trainingTable.parameterCount)) parameters, \(plan.worldSize) ranks "
        + "x \(plan.threads) threads over \(backend), global batch \(plan.globalBatch), "
        + "\(plan.totalSteps) steps; bit invariance over ranks: \(bits)")
    for line in plan.notes { note(line) }
    if step > 0 { note(continuation(after: step)) }
    try metrics.append([
      ("event", "start"), ("step", .int(step)), ("name", .string(plan.config.name)),
      ("architecture", .string(plan.config.model.architecture.name)),
      ("world_size", .int(plan.worldSize)), ("threads", .int(plan.threads)),
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

  /// `step` counts from 1. `waiting`: seconds that this rank waited for its batch.
  package func stepped(_ outcome: StepOutcome, step: Int, waiting: Double) throws {
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
        ("waiting_seconds", .double(waiting)), ("collectives", .int(outcome.collectives)),
        ("collective_bytes", .int(outcome.collectiveBytes)),
      ] + size)
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

  /// Whether the interval in steps or in minutes is over.
  package func isSaveDue(afterStep step: Int) -> Bool {
    let checkpoint = plan.config.checkpoint
    if checkpoint.everySteps > 0 && step % checkpoint.everySteps == 0 { return true }
    return checkpoint.everyMinutes > 0
      && monotonicSeconds() - lastSave >= checkpoint.everyMinutes * 60
  }

  /// Commits a checkpoint, marks the best one and removes old ones.
  package func save(_ snapshot: RunSnapshot) throws {
    let start = monotonicSeconds()
    let step = snapshot.state.step
    try directory.store.commit(step: step, files: try snapshot.files()).forEach(note)
    if snapshot.state.best?.step == step { try directory.store.setBest(step: step) }
    let removed = try directory.store.prune()
    lastSave = monotonicSeconds()
    try metrics.append([
      ("event", "checkpoint"), ("step", .int(step)), ("seconds", .double(lastSave - start)),
      ("removed", .array(removed.map { .int($0) })),
    ])
    directory.log("step \(step): checkpoint in \(directory.store.directory)")
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
    let seconds = monotonicSeconds() - begin
    let rate = stepSeconds > 0 ? samples / stepSeconds : 0
    try metrics.append([
      ("event", "end"), ("step", .int(step)), ("weights_sha256", .string(weightsSHA256)),
      ("seconds", .double(seconds)), ("steps", .int(steps)),
      ("images_per_second", .double(rate)),
      ("collective_share", .double(collectiveSeconds / max(stepSeconds, 1e-9))),
      ("waiting_share", .double(waitingSeconds / max(stepSeconds, 1e-9))),
      ("replaced", .int(replaced)),
    ])
    var summary = Summary(title: "\(plan.config.name): done")
    summary.append("steps", "\(step) (\(steps) of them now)")
    summary.append("time", Quantity.duration(seconds: seconds))
    if steps > 0 {
      summary.append("images/s", Quantity.fixed(rate, decimals: 0))
      summary.append("in collectives", Quantity.percent(collectiveSeconds / stepSeconds))
      summary.append("waiting for data", Quantity.percent(waitingSeconds / stepSeconds))
    }
    if replaced > 0 { summary.append("damaged, replaced", "\(replaced) (named above)") }
    for (name, value) in rows { summary.append(name, value) }
    summary.append("weights", "sha256 \(weightsSHA256)")
    note(String(summary.text.dropLast()))
  }
}
