import Checkpoints
import Failpoints
import Foundation
import _TestSupport

// Rows in which a process dies.

extension Row {
  static let undisturbed = [
    Row(
      0, "nothing is done to it", needs: [.mpirun],
      .trials(short: 1, long: 24) { trial in
        let job = try trial.makeJob()
        // Twenty times on the same ranks, and on each number of ranks.
        let ranks = trial.number < 20 ? CampaignJob.ranks : [1, 2, 4, 8][trial.number - 20]
        trial.note("\(ranks) ranks")
        try trial.requireContinuation(job, ranks: ranks)
        trial.campaign.figures.tally("runs with the same bits", of: 0)
      })
  ]

  static let kills = [
    Row(
      1, "SIGKILL of any rank at any time", needs: [.mpirun],
      .trials(short: 3, long: 300) { try killTwice($0) }),
    Row(
      2, "SIGKILL at each stage of a step", needs: [.mpirun],
      .trials(short: 2, long: 28) { trial in
        let name = trial.take(stages)
        let rank = trial.random.next(below: CampaignJob.ranks)
        // Those with a count of their own within a step come much later.
        let occurrence = 1 + trial.random.next(below: 50)
        try strike(
          trial, "\(name.rawValue)@\(occurrence)#\(rank):kill9", .killed())
      }),
    Row(
      5, "SIGKILL of mpirun", needs: [.mpirun], .trials(short: 1, long: 10) { try killLauncher($0) }
    ),
    Row(
      6, "SIGTERM to mpirun", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        try signalled(trial, [1, 75, 137, 143]) { job, _ in job.launcher.signal(SIGTERM) }
      }),
    Row(
      12, "less time than the save takes: SIGUSR1, then SIGKILL", needs: [.mpirun],
      .trials(short: 1, long: 20) { trial in
        let pause = trial.random.next(below: 120_000)
        trial.note("SIGKILL \(pause / 1000) ms after SIGUSR1")
        try signalled(trial, [75, 137], failpoint: "file.mid_data@1+#0:sleep=0.03") { job, _ in
          job.launcher.signal(SIGUSR1)
          usleep(UInt32(pause))
          job.launcher.signal(SIGKILL)
        }
      }),
    Row(
      13, "Ctrl-C twice", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        let pause = trial.random.next(below: 300_000)
        try signalled(trial, [1, 75, 130, 137]) { job, _ in
          job.launcher.signal(SIGINT)
          usleep(UInt32(pause))
          job.launcher.signal(SIGINT)
        }
      }),
    Row(
      22, "the same step crashes again and again", needs: [.mpirun],
      .trials(short: 1, long: 4) { try crashAgain($0) }),
    Row(
      17, "a rank leaves with code 0", needs: [.mpirun],
      .trials(short: 1, long: 8) { trial in
        let rank = trial.number % CampaignJob.ranks
        let step = 1 + trial.random.next(below: 50)
        // mpirun says 1 of a rank that left without MPI_Finalize, and kills the others.
        try strike(
          trial, "step.updated@\(step)#\(rank):exit0", Expectation(codes: [1]))
      }),
    Row(
      18, "a Swift trap in one rank", needs: [.mpirun],
      .trials(short: 1, long: 8) { trial in
        let rank = trial.number % CampaignJob.ranks
        let step = 1 + trial.random.next(below: 50)
        try strike(
          trial, "step.updated@\(step)#\(rank):trap",
          Expectation(codes: [132, 133, 134], traps: true))
      }),
  ]

  private static func crashAgain(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let rank = trial.number % CampaignJob.ranks
    trial.note("rank \(rank) dies in step 5, three times")
    for _ in 1...3 {
      let result = try job.run(failpoint: "step.forward_done@5#\(rank):kill9")
      try trial.judge(job, result, .killed())
    }
    // Named before training, with its samples.
    try trial.judge(
      job, try job.run(), Expectation(codes: [70], says: ["3 attempts", "step 5", "attempts.json"]))
    try remove("\(job.output)/attempts.json")
    try trial.requireContinuation(job)
  }

  private static let stages: [Failpoint.Name] = [
    .batchTaken, .statistics, .forwardDone, .bucketPosted, .backwardDone, .optimizerHalf, .updated,
  ]

  /// Steps of a few milliseconds would be over before a signal comes.
  static let slow = "step.updated@1+#0:sleep=0.01"

  /// A job with this failpoint, and the oracle; goes on on any number of ranks.
  static func strike(
    _ trial: Trial, _ failpoint: String, _ expected: Expectation, _ more: [String] = []
  ) throws {
    let ranks = trial.draw([1, 2, 4, 8])
    trial.note("\(failpoint), going on on \(ranks) ranks")
    let job = try trial.makeJob()
    try trial.judgeAndContinue(
      job, try job.run(failpoint: failpoint, more), expected, ranks: ranks)
    trial.campaign.figures.tally("failpoints struck", of: trial.row)
  }

  /// Something is done to a job that has reached a random step.
  static func signalled(
    _ trial: Trial, _ codes: Set<Int>, failpoint: String = "",
    _ deed: (MPIJob, CampaignJob) throws -> Void
  ) throws {
    let job = try trial.makeJob()
    let step = 1 + trial.random.next(below: CampaignJob.steps * 2 / 3)
    let pause = trial.random.next(below: 15_000)
    trial.note("at step \(step) + \(pause) µs")
    let mpi = try job.start(
      failpoint: ([slow] + [failpoint].filter { !$0.isEmpty }).joined(separator: ";"))
    job.await(step: step, while: { mpi.launcher.isRunning })
    usleep(UInt32(pause))
    let start = monotonicSeconds()
    try deed(mpi, job)
    let result = try job.end(mpi)
    let seconds = monotonicSeconds() - start
    trial.campaign.figures.measure("signal to the end of the job, s", seconds, of: trial.row)
    try require(seconds < 5, "the job ended \(seconds) s after the signal")
    try trial.judgeAndContinue(
      job, result, Expectation(codes: codes), ranks: trial.draw([1, 2, 4, 8]))
  }
}

// MARK: - At any time

extension Row {
  /// Two kills of one run, then its end.
  private static func killTwice(_ trial: Trial) throws {
    let job = try trial.makeJob()
    // Every second run is as one that says nothing of it: then a save may be passed over for the disk,
    // and what is trained while it is written, at 2 ms a step, is many steps.
    let waits = trial.number % 2 == 0
    let more = waits ? [] : ["--set", "checkpoint.patience_seconds=0"]
    var reached = 0
    for part in 1...2 {
      let ranks = trial.draw([2, 4, 8])
      let victim = trial.random.next(below: ranks)
      let mpi = try job.start(
        ranks: ranks, more, environment: ["REPVGG_START_SECONDS": "5"])
      if trial.random.next(below: 4) == 0 {
        // By the clock: also before the first step and after the last.
        let pause = trial.random.uniformDouble() * trial.campaign.seconds
        trial.note("rank \(victim) of \(ranks) after \(Int(pause * 1000)) ms")
        usleep(UInt32(pause * 1e6))
      } else {
        let left = max(1, CampaignJob.steps - reached)
        let step = reached + 1 + trial.random.next(below: left)
        let pause = trial.random.next(below: 15_000)
        trial.note("rank \(victim) of \(ranks) at step \(step) + \(pause) µs")
        job.await(step: step, part: job.log.parts.count + 1, while: { mpi.launcher.isRunning })
        usleep(UInt32(pause))
      }
      let processes = mpi.ranks
      let start = monotonicSeconds()
      if processes.count == ranks { kill(processes[victim], SIGKILL) }
      let result = try job.end(mpi)
      // Too early or too late for it: mpirun has no ranks, or none any more.
      var codes: Set<Int> = processes.count == ranks ? [0, 137] : [0]
      // mpirun may lose sight of a rank that dies before it has joined; the others then end themselves.
      if result.status == 70, result.stderr.contains("MPI_Init has not come back") {
        trial.campaign.figures.tally("kills that mpirun did not notice", of: 1)
        codes.insert(70)
      }
      if job.wasLockedUp { trial.campaign.figures.tally("times mpirun locked itself up", of: 1) }
      if result.status == 137, !job.wasLockedUp {
        let seconds = monotonicSeconds() - start
        trial.campaign.figures.measure("dead rank to the end of the job, s", seconds, of: 1)
        try require(seconds < 5, "the job ended \(seconds) s after a rank was dead")
        trial.campaign.figures.tally("kills", of: 1)
      }
      let known = max(reached, job.log.parts.count >= part ? job.log.parts.last?.last ?? 0 : 0)
      try trial.judge(
        job, result, Expectation(codes: codes), newest: reached > 0 ? reached : nil)
      reached = job.checkpoints.max() ?? 0
      let figure = "steps lost, at most" + (waits ? "" : ", of 2 ms, without patience for the disk")
      trial.campaign.figures.measure(figure, Double(known - reached), of: 1)
      try require(
        !waits || reached >= known - 2 * CampaignJob.saveInterval,
        "lost steps \(reached) to \(known)")
    }
    try trial.requireContinuation(job, ranks: trial.draw([1, 2, 4, 8]))
  }

  private static func killLauncher(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let step = 1 + trial.random.next(below: CampaignJob.steps * 2 / 3)
    trial.note("at step \(step)")
    // Where Open MPI leaves its segments, the next start finds them.
    let place = "/dev/shm/repvgg-campaign-\(getpid())-\(trial.number)"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: place) }
    job.environment = ["OMPI_MCA_btl_vader_backing_directory": place]
    let mpi = try job.start(failpoint: slow)
    job.await(step: step, while: { mpi.launcher.isRunning })
    let start = monotonicSeconds()
    mpi.launcher.signal(SIGKILL)
    let result = try job.end(mpi)
    let seconds = monotonicSeconds() - start
    trial.campaign.figures.measure("SIGKILL of mpirun to the last rank's end, s", seconds, of: 5)
    try require(seconds < 5, "the job ended \(seconds) s after mpirun")
    let left = try CampaignJob.names(place).count
    trial.campaign.figures.tally("segments of Open MPI left behind", of: 5, left)
    try trial.judgeAndContinue(job, result, .killed(), ranks: trial.draw([1, 2, 4, 8]))
  }
}
