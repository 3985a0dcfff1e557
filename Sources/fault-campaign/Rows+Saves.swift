import Checkpoints
import Failpoints
import Foundation
import Tensors
import _TestSupport

// Rows in which a save or the delivery is struck.

/// A place within a save, and its pass.
private struct SavePoint {
  var name: Failpoint.Name
  var pass: Int
  var text: String { "\(name.rawValue)@\(pass)#0" }

  /// Files of a checkpoint: weights, optimizer, state, manifest.
  private static let files = 4
  /// Files that a run writes the same way before its first step: plan and configuration.
  private static let earlier = 2

  /// Every place, at each of the first three saves.
  static let all: [SavePoint] = Failpoint.Name.allCases.flatMap { name -> [SavePoint] in
    if name.rawValue.hasPrefix("file.") {
      return (1...files * 3).map { SavePoint(name: name, pass: earlier + $0) }
    }
    if name == .midPrune { return [1, 2, 6].map { SavePoint(name: name, pass: $0) } }
    return name.rawValue.hasPrefix("ckpt.") ? (1...3).map { SavePoint(name: name, pass: $0) } : []
  }
}

extension Row {
  static let saves = [
    Row(
      3, "SIGKILL of rank 0 at each place of a save, on three saves", needs: [.mpirun],
      .trials(short: 4, long: SavePoint.all.count) { trial in
        try strike(trial, "\(trial.take(SavePoint.all).text):kill9", .killed())
      }),
    Row(
      4, "SIGKILL of another rank during a save", needs: [.mpirun],
      .trials(short: 1, long: 12) { try killBesideSave($0) }),
    Row(
      39, "SIGKILL while pruning, one checkpoint kept", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        // A run with these settings prunes five times.
        let name = [Failpoint.Name.beforePrune, .midPrune][trial.number % 2]
        try strike(
          trial, "\(name.rawValue)@\(1 + trial.number / 2)#0:kill9", .killed(),
          ["--set", "checkpoint.keep=1"])
      }),
    Row(
      11, "a signal at each stage of a job's begin and end", needs: [.mpirun],
      .trials(short: 2, long: 18) { try signalAtStage($0) }),
    Row(
      70, "SIGKILL during the delivery; nowhere to deliver to", needs: [.mpirun],
      .trials(short: 1, long: 6) { try killDelivery($0) }),
  ]

  private static func killBesideSave(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let (save, victim) = (1 + trial.number % 3, 1 + trial.number / 3 % 3)
    trial.note("rank \(victim) during save \(save)")
    let mpi = try job.start(failpoint: "ckpt.before_rename@\(save)#0:sleep=0.5")
    // By steps, by steps, and after the first evaluation.
    let step = [10, 20, 26][save - 1]
    job.await(
      entry: ".step-0000000\(step).", while: { mpi.launcher.isRunning })
    if let process = mpi.ranks.dropFirst(victim).first { kill(process, SIGKILL) }
    try trial.judgeAndContinue(
      job, try job.end(mpi), .killed(), ranks: trial.draw([1, 2, 4, 8]))
  }

  private static func signalAtStage(_ trial: Trial) throws {
    let names: [Failpoint.Name] = [
      .beforeMPI, .afterMPI, .dataScanned, .resumed, .fuse, .evaluation, .beforeExport, .midExport,
      .exported,
    ]
    let name = trial.take(names)
    let rank = trial.number < names.count ? 0 : trial.random.next(below: CampaignJob.ranks)
    trial.note("SIGTERM to rank \(rank) at \(name.rawValue)")
    let job = try trial.makeJob()
    let result = try job.run(failpoint: "\(name.rawValue)@1#\(rank):term")
    // Before the last step there is something to stop; after it the job is as good as done.
    let isEarly = trial.number % names.count < 4
    try trial.judge(job, result, Expectation(codes: [isEarly ? 75 : 0]))
    try requireWholeArtifacts(job, trial)
    try trial.requireContinuation(job, ranks: trial.draw([1, 2, 4, 8]))
  }

  private static func killDelivery(_ trial: Trial) throws {
    let names: [Failpoint.Name] = [.fuse, .evaluation, .beforeExport, .midExport, .exported]
    let job = try trial.makeJob()
    guard trial.number < names.count else {
      trial.note("a directory stands where the deploy weights go")
      let name = "out/artifacts/tiny-deploy.safetensors"
      let path = job.scratch.path(name)
      let mpi = try job.start(failpoint: slow)
      job.await(step: 20, while: { mpi.launcher.isRunning })
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true)
      try trial.judge(
        job, try job.end(mpi), Expectation(codes: [73], says: [name]), newest: CampaignJob.steps)
      try FileManager.default.removeItem(atPath: path)
      return try trial.requireContinuation(job)
    }
    let name = trial.take(names)
    trial.note("SIGKILL of rank 0 at \(name.rawValue)")
    let result = try job.run(failpoint: "\(name.rawValue)@1#0:kill9")
    try trial.judge(job, result, .killed())
    try requireWholeArtifacts(job, trial)
    try trial.requireContinuation(job, ranks: trial.draw([1, 2, 4, 8]))
  }

  /// What bears an artifact's name is whole, and a certificate lies beside what it speaks of.
  private static func requireWholeArtifacts(_ job: CampaignJob, _ trial: Trial) throws {
    let directory = "\(job.output)/artifacts"
    let names = try CampaignJob.names(directory).filter { !$0.hasPrefix(".") }
    for name in names where name.hasSuffix(".safetensors") {
      _ = try NamedTensors.readSafetensors(path: "\(directory)/\(name)")
    }
    if names.contains("certificate.json") {
      try require(CampaignJob.artifacts.isSubset(of: names), "a certificate beside \(names)")
    }
    trial.campaign.figures.tally("directories of artifacts looked at", of: trial.row)
  }
}
