import Checkpoints
import Foundation
import _TestSupport

// Rows about where a run lies: disks that are full, places that cannot be written, other jobs.

extension Row {
  static let places = [
    Row(
      23, "the disk is full during a save", needs: [.mount],
      .trials(short: 1, long: 6) { trial in
        // From less than the first save to more than the third.
        try onSmallDisk(trial, "size=\(96 + 24 * trial.number)k", ["No space left"])
      }),
    Row(
      29, "no inodes are left", needs: [.mount],
      .trials(short: 1, long: 4) { trial in
        try onSmallDisk(trial, "nr_inodes=\(13 + 3 * trial.number)", ["No space left"])
      }),
    Row(
      24, "files may not become large",
      .trials(short: 1, long: 5) { trial in
        let limit = [1000, 4096, 5000, 16384, 20000][trial.number]
        trial.note("files of at most \(limit) bytes")
        let job = try trial.makeJob()
        let result = try job.runAlone(wrapper: ["prlimit", "--fsize=\(limit)"])
        try trial.judge(
          job, result, Expectation(codes: [74], says: ["File too large"]))
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      28, "the run's directory cannot be written, is a file, or vanishes", needs: [.root],
      .trials(short: 2, long: 6) { try withoutPlace($0) }),
    Row(
      37, "two jobs in one directory", needs: [.mpirun],
      .trials(short: 1, long: 3) { trial in
        let job = try trial.makeJob()
        let mpi = try job.start(failpoint: "step.updated@1+#0:sleep=0.15")
        job.await(step: 1, while: { mpi.launcher.isRunning })
        let holder = mpi.ranks.first ?? -1
        let second = try job.runAlone()
        try require(
          second.status == 77 && second.stderr.contains("process \(holder) on"),
          "the second job: exit \(second.status), \(second.stderr)")
        try trial.judge(job, try job.end(mpi), .done)
        try require(try job.hash() == trial.campaign.hash, "the first was disturbed")
      }),
    Row(
      38, "a lock of a job that is no more, or of another host",
      .trials(short: 1, long: 4) { trial in
        let job = try trial.campaign.interruptedJob(trial)
        let text = trial.take([
          "\(hostName()) 999999\n", "elsewhere 1\n", "", "gar bage of a lock\n",
        ])
        trial.note("lock: \(text)")
        try put(text, "\(job.output)/.lock")
        try trial.requireContinuation(job, ranks: nil)
      }),
  ]

  private static func hostName() -> String { ProcessInfo.processInfo.hostName }

  /// On a file system of its own, copied to where there is room afterwards.
  private static func onSmallDisk(_ trial: Trial, _ option: String, _ says: [String]) throws {
    let job = try trial.makeJob()
    trial.note(option)
    let line = """
      mkdir small && mount -t tmpfs -o \(option) none small || exit 99
      mkdir small/out; "$0" "$@"; code=$?; cp -a small/out out; exit $code
      """
    let result = try job.runAlone(
      wrapper: ["unshare", "-m", "sh", "-c", line], output: "small/out")
    // The larger ones hold the whole run.
    try trial.judge(
      job, result, Expectation(codes: [0, 73, 74], says: result.status == 0 ? [] : says))
    if result.status != 0 { trial.campaign.figures.tally("full disks", of: trial.row) }
    let hidden = try CampaignJob.names("\(job.output)/checkpoints").filter { $0.hasPrefix(".") }
    try require(hidden.isEmpty, "left on the full disk: \(hidden)")
    try trial.requireContinuation(job, ranks: nil)
  }

  private static func withoutPlace(_ trial: Trial) throws {
    let job = try trial.makeJob()
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    switch trial.number {
    case 0:
      trial.note("the directory's parent belongs to another user")
      try trial.judge(
        job, try job.runAlone(wrapper: nobody),
        Expectation(codes: [77], says: ["out", "Permission denied"]))
    case 1:
      trial.note("the directory belongs to another user")
      let begun = try trial.campaign.interruptedJob(trial)
      try trial.judge(
        begun, try begun.runAlone(wrapper: nobody), Expectation(codes: [77], says: ["out"]))
      return try trial.requireContinuation(begun, ranks: nil)
    case 2:
      trial.note("a file stands there")
      try put("of great value", job.output)
      try trial.judge(job, try job.runAlone(), Expectation(codes: [73], says: ["out"]))
      try require(
        try job.scratch.text(of: "out") == "of great value", "the file is not what it was")
      try remove(job.output)
    case 3, 4:
      let below = trial.number == 3 ? "" : "/checkpoints"
      trial.note("out\(below) is removed while the job runs")
      let program = try job.startAlone(failpoint: "step.updated@1+:sleep=0.02")
      job.await(step: 12, while: { program.isRunning })
      // What is being written there holds a single attempt up.
      for _ in 0..<100 where FileManager.default.fileExists(atPath: job.output + below) {
        try? remove(job.output + below)
      }
      // The directory of checkpoints is made again by the next save, and nothing is lost but the past.
      let result = try program.wait()
      let mayGoOn = trial.number == 4 && result.status == 0
      try trial.judge(
        job, result,
        Expectation(codes: mayGoOn ? [0] : [66, 73, 74], says: mayGoOn ? [] : ["out"]))
    default:
      trial.note("a read-only file system")
      let line =
        "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && exec \"$0\" \"$@\""
      try trial.judge(
        job, try job.runAlone(wrapper: ["unshare", "-m", "sh", "-c", line]),
        Expectation(codes: [77], says: ["Read-only file system"]))
    }
    try trial.requireContinuation(job, ranks: nil)
  }
}

extension Campaign {
  /// A job that was stopped after step 30, with the checkpoints 30 and the one before it; made once,
  /// then copied.
  func interruptedJob(_ trial: Trial) throws -> CampaignJob {
    let job = try trial.makeJob()
    if interrupted == nil {
      let first = try CampaignJob(self)
      // The signal of step 29 is seen at the end of step 30.
      let result = try first.runAlone(failpoint: "step.updated@29:term")
      try require(
        result.status == 75 && first.checkpoints.last == 30,
        "a job to be spoilt: exit \(result.status): \(result.stderr)")
      interrupted = first
    }
    if let interrupted {
      try FileManager.default.copyItem(atPath: interrupted.output, toPath: job.output)
    }
    return job
  }
}
