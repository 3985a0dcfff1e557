import Checkpoints
import Glibc
import RunPlanning

/// Where a run begins: which checkpoint it goes on from, if any. Rank 0's matter.
struct ResumePoint {
  private let plan: RunPlan
  private let store: CheckpointStore
  /// Takes what a person should know.
  private let note: (String) -> Void

  init(plan: RunPlan, store: CheckpointStore, note: @escaping (String) -> Void) {
    self.plan = plan
    self.store = store
    self.note = note
  }

  /// Reads and checks the checkpoint to go on from; nil where the run begins.
  func snapshot(_ resume: TrainingJob.Resume) throws -> RunSnapshot? {
    switch resume {
    case .never:
      guard try store.list().isEmpty else {
        throw JobFailure(
          .cannotCreate,
          "\(store.directory): holds checkpoints of an earlier run; choose another --output, remove "
            + "them, or go on with --resume auto")
      }
      return nil
    case .automatic: return try newest()
    case .path(let path): return try snapshot(at: path)
    }
  }

  private func newest() throws -> RunSnapshot? {
    let (newest, notes) = try store.newestGood()
    notes.forEach(note)
    if newest == nil && !notes.isEmpty {
      throw JobFailure(
        .badData,
        "\(store.directory): no checkpoint is intact (\(notes[0])); start anew with another "
          + "--output, or remove them")
    }
    return try newest.map(read)
  }

  /// The checkpoint at `path`, of whichever run. Newer ones in this run's own directory would be
  /// taken for the continuation next time, and older ones be removed: it must hold none but `path`
  /// itself, or those that came from it, and then the same command goes on with the newest of them.
  private func snapshot(at path: String) throws -> RunSnapshot {
    try requireNoFile(path)
    let asked = try Checkpoint(verifying: path)
    let (newest, notes) = try store.newestGood()
    notes.forEach(note)
    if let newest, newest.identity != asked.identity {
      let snapshot = try RunSnapshot(reading: newest)
      guard snapshot.state.origin == asked.identity else {
        throw JobFailure(
          .cannotCreate,
          "\(store.directory): holds checkpoints up to step \(newest.step) that do not come from "
            + "\(path), step \(asked.step), and would be lost; choose another --output, or go on with "
            + "the newest by --resume auto")
      }
      note("\(path) has been gone on from: taking the newest checkpoint since, step \(newest.step)")
      return try checked(snapshot, path: newest.directory)
    }
    var snapshot = try read(asked)
    snapshot.state.origin = asked.identity
    return snapshot
  }

  /// Whoever names a file of weights wants something else than to go on with a run.
  private func requireNoFile(_ path: String) throws {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
    throw JobFailure(
      .missingInput,
      "\(path): is a file, and a checkpoint is a directory; name that, or begin a run with these "
        + "weights by --set model.initialize_from=\(path)")
  }

  private func read(_ checkpoint: Checkpoint) throws -> RunSnapshot {
    try checked(RunSnapshot(reading: checkpoint), path: checkpoint.directory)
  }

  private func checked(_ snapshot: RunSnapshot, path: String) throws -> RunSnapshot {
    try snapshot.check(against: plan, path: path).forEach(note)
    try restoreMark(snapshot.state)
    return snapshot
  }

  /// A job that died between a checkpoint's commit and its mark left the mark behind. One on the
  /// checkpoint itself is younger than its state: it was evaluated after it had been saved.
  private func restoreMark(_ state: RunState) throws {
    let mark = store.best
    guard let best = state.best?.step, mark != best, mark != state.step,
      try store.list().contains(best)
    else { return }
    try store.setBest(step: best)
  }
}
