import Checkpoints
import Foundation
import _TestSupport

/// How a job that a fault was done to may end.
struct Expectation {
  /// Exit codes of mpirun, or of the program alone.
  var codes: Set<Int>
  /// Texts that one line beginning `repvgg:` must hold; no such line is asked for where there are none.
  var says: [String] = []
  /// The fault itself is a trap of Swift.
  var traps = false
  /// Steps that may be lost: those since the last save was due, and, as it is written beside the
  /// training, those done until it was committed.
  var lost = 2 * CampaignJob.saveInterval

  static func killed(by signals: [Int32] = [SIGKILL]) -> Expectation {
    Expectation(codes: Set(signals.map { 128 + Int($0) }))
  }

  /// Saved and stopped on request: nothing is lost.
  static let stopped = Expectation(codes: [75], lost: 0)
  static let done = Expectation(codes: [0])
}

// The oracle that every fault is held against.

extension Trial {
  /// Points 1 to 4 and 6: it ended by itself, with a documented code, said why, left every
  /// checkpoint as it was written, none but those of before, and no process.
  ///
  /// - Parameter newest: step of the newest checkpoint known to have been committed before.
  func judge(
    _ job: CampaignJob, _ result: ProgramResult, _ expected: Expectation, newest: Int? = nil
  ) throws {
    let told = "exit \(result.status): \(Self.excerpt(result.stderr))"
    try require(!result.timedOut && result.status != 110, "did not end by itself; \(told)")
    try require(
      expected.codes.contains(result.status), "exit code not in \(expected.codes.sorted()); \(told)"
    )
    if !expected.traps {
      for signal in [SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV, SIGBUS] {
        try require(result.status != 128 + Int(signal), "died of a signal of its own; \(told)")
      }
      for sign in ["Fatal error", "Program crashed", "exited on signal 4", "exited on signal 11"] {
        try require(!result.stderr.contains(sign), "\(sign): \(told)")
      }
    }
    if !expected.says.isEmpty {
      try require(
        result.complaints.contains { line in expected.says.allSatisfy { line.contains($0) } },
        "no line says \(expected.says); \(told)")
    }
    campaign.figures.measure("ranks outlive mpirun, s", job.afterlife.seconds, of: row)
    try require(job.afterlife.isOver, "ranks outlived mpirun by 5 s")
    try requireNoProcess(job)
    try requireSoundCheckpoints(job, newest: newest)
  }

  /// Points 5 and 6: the same command again ends with the hash of the undisturbed run.
  ///
  /// - Parameter ranks: to go on with; nil: one process without mpirun.
  func requireContinuation(
    _ job: CampaignJob, ranks: Int? = CampaignJob.ranks, _ more: [String] = []
  ) throws {
    let result = try ranks.map { try goOn(job, ranks: $0, more) } ?? job.runAlone(more)
    try require(
      result.status == 0,
      "the same command again: exit \(result.status): \(Self.excerpt(result.stderr))")
    let hash = try job.hash()
    try require(hash == campaign.hash, "ended with other bits: \(hash), not \(campaign.hash)")
    let hidden = try CampaignJob.names("\(job.output)/checkpoints").filter { $0.hasPrefix(".") }
    try require(hidden.isEmpty, "left behind: \(hidden)")
    try requireNoProcess(job)
    try requireSoundCheckpoints(job, newest: CampaignJob.steps)
  }

  /// From a start to the first new step, on as many ranks as before.
  private static let mostSecondsToStart = 3.0

  /// Starts it again and sees how long its first new step takes to come.
  private func goOn(_ job: CampaignJob, ranks: Int, _ more: [String]) throws -> ProgramResult {
    let (parts, newest) = (job.log.parts.count, job.checkpoints.max() ?? 0)
    let mpi = try job.start(ranks: ranks, more)
    // Not before: it waits for its turn.
    let start = monotonicSeconds()
    if parts > 0, newest < CampaignJob.steps,
      job.await(step: newest + 1, part: parts + 1, while: { mpi.launcher.isRunning })
    {
      let seconds = monotonicSeconds() - start
      campaign.figures.measure("start again to the first new step, s", seconds, of: row)
      try require(
        seconds < Self.mostSecondsToStart || ranks > CampaignJob.ranks,
        "\(seconds) s from the start to the first new step")
    }
    return try job.end(mpi)
  }

  /// Both.
  func judgeAndContinue(
    _ job: CampaignJob, _ result: ProgramResult, _ expected: Expectation,
    ranks: Int? = CampaignJob.ranks
  ) throws {
    let known = job.log.parts.last?.last ?? 0
    try judge(job, result, expected)
    let newest = job.checkpoints.max() ?? 0
    try require(
      newest >= known - expected.lost,
      "lost steps \(newest) to \(known), more than \(expected.lost)"
    )
    campaign.figures.measure("steps lost, at most", Double(known - newest), of: row)
    try requireContinuation(job, ranks: ranks)
  }

  /// A rank may outlive mpirun by a second or two.
  func requireNoProcess(_ job: CampaignJob, within seconds: Double = 5) throws {
    let processes = job.processes
    let areGone = MPIJob.areGone(processes, within: seconds)
    for process in processes where !areGone { kill(process, SIGKILL) }
    try require(areGone, "processes \(processes) live on after \(seconds) s")
  }

  private func requireSoundCheckpoints(_ job: CampaignJob, newest: Int?) throws {
    let steps = try job.store.list()
    for step in steps {
      do { try job.store.verify(step: step) } catch {
        throw Unexpected("a committed checkpoint is not good: \(error)")
      }
    }
    if let newest {
      try require(steps.contains { $0 >= newest }, "checkpoint \(newest) is gone: \(steps)")
    }
  }

  static func excerpt(_ text: String) -> String {
    let lines = text.split(whereSeparator: \.isNewline).filter { !$0.allSatisfy { $0 == "-" } }
    let own = lines.filter { $0.hasPrefix("repvgg") || $0.contains("rror") }
    return (own.isEmpty ? lines : own).suffix(4).joined(separator: " | ")
  }
}

func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
