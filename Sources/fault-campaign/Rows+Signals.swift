import Foundation
import _TestSupport

// Rows in which a job is asked to stop, or a rank does not get on.

extension Row {
  static let signals = [
    Row(
      7, "SIGUSR1 to mpirun", needs: [.mpirun],
      .trials(short: 1, long: 22) { trial in
        if trial.number == 20 { return try stoppedBeforeEvaluation(trial) }
        if trial.number == 21 { return try stoppedOnSlowDisk(trial) }
        try stopped(trial) { mpi, _ in mpi.launcher.signal(SIGUSR1) }
      }),
    Row(
      8, "SIGTERM or SIGUSR1 to one rank", needs: [.mpirun],
      .trials(short: 2, long: 20) { trial in
        let rank = trial.number % CampaignJob.ranks
        let signal = trial.draw([SIGTERM, SIGUSR1])
        try stopped(trial) { mpi, _ in
          if let process = mpi.ranks.dropFirst(rank).first { kill(process, signal) }
        }
      }),
    Row(
      9, "SIGTERM to all ranks at once", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        try stopped(trial) { mpi, _ in mpi.ranks.forEach { kill($0, SIGTERM) } }
      }),
    Row(
      10, "a second signal during the save", needs: [.mpirun],
      .trials(short: 1, long: 12) { trial in
        let second = trial.take([SIGUSR1, SIGTERM])
        try signalled(
          trial, second == SIGUSR1 ? [75] : [1, 75, 137, 143],
          failpoint: "ckpt.before_rename@1+#0:sleep=0.1"
        ) { mpi, _ in
          mpi.launcher.signal(SIGUSR1)
          usleep(50_000)
          mpi.launcher.signal(second)
        }
      }),
    Row(
      14, "a rank, or all of them, stopped for a while", needs: [.mpirun],
      .trials(short: 1, long: 5) { trial in
        if trial.number == CampaignJob.ranks { return try allStopped(trial) }
        let job = try trial.makeJob()
        let rank = trial.number % CampaignJob.ranks
        let mpi = try job.start(failpoint: slow, more(warn: 4, abort: 60))
        job.await(step: 15, while: { mpi.launcher.isRunning })
        let process = try stoppedRank(mpi, rank)
        sleep(8)
        kill(process, SIGCONT)
        trial.note("rank \(rank) stopped for 8 s")
        let result = try job.end(mpi)
        try trial.judge(
          job, result, Expectation(codes: [0], says: ["watchdog", "rank \(rank) (pid"]))
        try trial.requireContinuation(job)
      }),
    Row(
      15, "a rank stopped for ever", needs: [.mpirun],
      .trials(short: 1, long: 14) { trial in
        if trial.number >= 3 * CampaignJob.ranks { return try stoppedBeforeMPI(trial) }
        if trial.number >= CampaignJob.ranks { return try stoppedOutsideSteps(trial) }
        let job = try trial.makeJob()
        let rank = trial.number % CampaignJob.ranks
        let mpi = try job.start(failpoint: slow, more(warn: 2, abort: 6))
        job.await(step: 15, while: { mpi.launcher.isRunning })
        let start = monotonicSeconds()
        _ = try stoppedRank(mpi, rank)
        trial.note("rank \(rank) stopped")
        let result = try job.end(mpi)
        let seconds = monotonicSeconds() - start
        try require(seconds < 20, "the job ended after \(Int(seconds)) s")
        try trial.judgeAndContinue(
          job, result, Expectation(codes: [70], says: ["no progress", "waits for rank \(rank)"]))
      }),
    Row(
      16, "a rank that is slower than the others", needs: [.mpirun],
      .trials(short: 1, long: 4) { trial in
        let job = try trial.makeJob()
        let rank = trial.number % CampaignJob.ranks
        let result = try job.run(failpoint: "step.forward_done@1+#\(rank):sleep=0.05")
        try trial.judge(job, result, .done)
        let stragglers = job.log.lines.last?.members["stragglers"] as? [String: Int] ?? [:]
        let worst = stragglers.max { $0.value < $1.value }
        try require(
          worst?.key == "\(rank)" && (worst?.value ?? 0) > CampaignJob.steps / 2,
          "slow rank \(rank) among \(stragglers)")
        try trial.requireContinuation(job)
      }),
  ]

  /// Asked in the last step of an epoch: the evaluation is owed, and made when the run goes on.
  private static func stoppedBeforeEvaluation(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let step = 2 * CampaignJob.stepsPerEpoch
    trial.note("asked to stop in step \(step), after which an evaluation is due")
    let result = try job.run(failpoint: "step.updated@\(step - 1)#1:term")
    try trial.judge(job, result, .stopped)
    func evaluations() -> [Int] { job.log.lines.filter { $0.event == "evaluation" }.map(\.step) }
    try require(
      job.checkpoints.max() == step && evaluations().isEmpty,
      "stopped after \(job.checkpoints), evaluated after \(evaluations())")
    try trial.requireContinuation(job)
    try require(evaluations().first == step, "evaluated after \(evaluations())")
  }

  /// All ranks, as a batch system suspends a job: it goes on where it was, however long that took.
  private static func allStopped(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let mpi = try job.start(failpoint: slow, more(warn: 2, abort: 4))
    job.await(step: 15, while: { mpi.launcher.isRunning })
    let processes = mpi.ranks
    for process in processes { kill(process, SIGSTOP) }
    sleep(8)
    for process in processes { kill(process, SIGCONT) }
    trial.note("all ranks stopped for 8 s, beyond watchdog.abort_seconds")
    try trial.judge(job, try job.end(mpi), .done)
    try require(try job.hash() == trial.campaign.hash, "other bits")
  }

  /// Before MPI_Init: the others wait in it, where no watchdog sees them yet.
  private static func stoppedBeforeMPI(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let rank = trial.number % 2 == 0 ? 0 : 2
    trial.note("rank \(rank) stopped before MPI_Init")
    let start = monotonicSeconds()
    let result = try job.run(
      failpoint: "init.before_mpi@1#\(rank):stop", environment: ["REPVGG_START_SECONDS": "5"])
    let seconds = monotonicSeconds() - start
    try require(seconds < 20, "the job ended after \(Int(seconds)) s")
    try trial.judge(
      job, result,
      Expectation(codes: [70], says: ["watchdog", "MPI_Init has not come back in 5 s"]))
    try trial.requireContinuation(job)
  }

  /// Where the data have been read, and before MPI ends: no step tells of it.
  private static func stoppedOutsideSteps(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let rank = trial.number / 2 % CampaignJob.ranks
    let (place, phase) = trial.take([
      ("init.data_scanned", "reading the configuration and the data"),
      ("end.finalize", "waiting for the end of MPI"),
    ])
    trial.note("rank \(rank) stopped at \(place)")
    let start = monotonicSeconds()
    let result = try job.run(failpoint: "\(place)@1#\(rank):stop", more(warn: 2, abort: 6))
    let seconds = monotonicSeconds() - start
    try require(seconds < 25, "the job ended after \(Int(seconds)) s")
    try trial.judge(
      job, result,
      Expectation(codes: [70], says: ["no progress", "waits for rank \(rank)", phase]))
    try trial.requireContinuation(job)
  }

  /// A disk that is slower than the watchdog's limit, but gets on: the save of a stop is not a hang.
  private static func stoppedOnSlowDisk(_ trial: Trial) throws {
    let job = try trial.makeJob()
    trial.note("asked to stop in step 20; every fsync of two saves takes 2 s, the limit is 10 s")
    let result = try job.run(
      failpoint: "step.updated@19#1:term;file.before_fsync@1+#0:sleep=2", more(warn: 5, abort: 10))
    try trial.judge(job, result, .stopped)
    try trial.requireContinuation(job)
  }

  private static func more(warn: Int, abort: Int) -> [String] {
    ["--set", "watchdog.warn_seconds=\(warn)", "--set", "watchdog.abort_seconds=\(abort)"]
  }

  private static func stoppedRank(_ mpi: MPIJob, _ rank: Int) throws -> Int32 {
    guard let process = mpi.ranks.dropFirst(rank).first else {
      throw Unexpected("no rank \(rank) runs")
    }
    kill(process, SIGSTOP)
    return process
  }

  /// Asked at a random step: one save, code 75, and not a step lost.
  private static func stopped(
    _ trial: Trial, _ deed: (MPIJob, CampaignJob) throws -> Void
  ) throws {
    let job = try trial.makeJob()
    let step = 1 + trial.random.next(below: CampaignJob.steps * 2 / 3)
    trial.note("at step \(step)")
    let mpi = try job.start(failpoint: slow)
    job.await(step: step, while: { mpi.launcher.isRunning })
    try deed(mpi, job)
    try trial.judge(job, try job.end(mpi), .stopped)
    guard let part = job.log.parts.last else { throw Unexpected("no step was trained") }
    let saves = part.lines.filter { $0.event == "checkpoint" && $0.step == part.last }.count
    try require(saves == 1, "\(saves) saves after the last step \(part.last)")
    try require(job.checkpoints.max() == part.last, "the last step, \(part.last), is not saved")
    trial.campaign.figures.measure(
      "steps lost to a request to stop", Double(part.last - (job.checkpoints.max() ?? 0)),
      of: trial.row)
    let ranks = trial.draw([1, 2, 4, 8])
    trial.note("going on on \(ranks) ranks")
    try trial.requireContinuation(job, ranks: ranks)
    try require(job.log.parts.last?.start == part.last, "went on from another step")
    trial.campaign.figures.tally("requests to stop", of: trial.row)
  }
}
