import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// Jobs that end before their end, and go on by the same command.
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(20)))
  struct ResumeTests {}
}

/// The job of these tests: 120 steps, a save every 5.
private func makeJob() throws -> TinyJob {
  try TinyJob(TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 12"))
}

private let totalSteps = 120
private let saveInterval = 5

/// The hash of the job that nothing has disturbed.
private let undisturbed = Result {
  let job = try makeJob()
  guard try job.train(output: "out").status == 0 else {
    throw ProgramRunError(description: "the undisturbed job failed")
  }
  return try job.hash(of: "out")
}

/// What the part of a run that has begun last says of its steps.
private struct Part {
  /// From the `start` line; nil before there is one.
  var start: Int?
  var last: Int?

  init(of job: TinyJob, output: String, part: Int) {
    let text = (try? job.scratch.text(of: "\(output)/metrics.jsonl")) ?? ""
    var starts = 0
    // What follows the last newline is being written, or torn.
    for line in text[..<(text.lastIndex(of: "\n") ?? text.startIndex)].split(separator: "\n") {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)),
        let members = object as? [String: Any]
      else { continue }
      let line = MetricsLine(members: members)
      if line.event == "start" { starts += 1 }
      guard starts == part else { continue }
      if line.event == "start" { start = line.step }
      if line.event == "step" { last = line.step }
    }
  }
}

/// Waits until part number `part` of a run has done step `step`; false when `isRunning` says that it
/// ended before, or after two minutes.
private func awaitStep(
  _ step: Int, of job: TinyJob, output: String, part: Int = 1, while isRunning: () -> Bool
) -> Bool {
  for _ in 0..<24_000 {
    if let last = Part(of: job, output: output, part: part).last, last >= step { return true }
    if !isRunning() { return false }
    usleep(5_000)
  }
  return false
}

// MARK: - Killed

/// Who dies.
enum Victim: String, Sendable, CaseIterable {
  case processAlone, firstRank, lastRank, mpirun
}

extension ProgramTests.ResumeTests {
  /// REPVGG_KILLS: how many in all; REPVGG_SEED: draws the same moments again.
  private static let environment = ProcessInfo.processInfo.environment
  private static let kills = environment["REPVGG_KILLS"].flatMap { Int($0) } ?? 8
  private static let seed =
    environment["REPVGG_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)

  @Test(arguments: Array(Victim.allCases.enumerated()))
  func killedJobsEndWithTheSameHash(index: Int, victim: Victim) throws {
    let comment = Comment("REPVGG_SEED=\(Self.seed), \(victim)")
    print("kills of \(victim): REPVGG_SEED=\(Self.seed)")
    var random = CounterRandom(
      seed: Self.seed, epoch: 0, sample: index, purpose: .synthetic)
    // Two kills a run: after them little is left to be killed in.
    var left = (Self.kills + Victim.allCases.count - 1 - index) / Victim.allCases.count
    var struck = 0
    while left > 0 {
      struck += try endedByKills(of: victim, count: min(left, 2), &random, comment)
      left -= 2
    }
    print("kills of \(victim): \(struck) struck")
  }

  /// One run with so many kills, and what must come of it; how many kills have struck.
  private func endedByKills(
    of victim: Victim, count: Int, _ random: inout CounterRandom, _ comment: Comment
  ) throws -> Int {
    let job = try makeJob()
    var struck = 0
    var reached = 0
    for part in 1...count {
      // Some time within what is left, a few milliseconds behind a step: in it, or in a save.
      let left = totalSteps - reached
      let step = reached + 1 + Int(random.next()) % max(1, left * 2 / 3)
      let hasStruck = try kill(
        victim, of: job, part: part, atStep: step, delay: random.next() % 8_000)
      // The second may come when the little that was left is done.
      if part == 1 { #expect(hasStruck, comment) }
      if hasStruck { struck += 1 }
      let end = Part(of: job, output: "out", part: part)
      let known = max(reached, end.last ?? 0)
      let next = try checkpoints(of: job).max() ?? 0
      // A save is written while the steps after it are trained: of steps as short as these, as many
      // again may be done before it is committed.
      #expect(
        next >= known - 2 * saveInterval, "kill \(part) lost steps \(next)…\(known); \(comment)")
      if let start = end.start { #expect(start >= reached, comment) }
      reached = next
    }
    let result = try job.train(
      victim == .processAlone ? .alone() : .ranks(4), output: "out")
    #expect(result.status == 0, "\(result.stderr) \(comment)")
    #expect(try job.hash(of: "out") == undisturbed.get(), comment)
    #expect(Part(of: job, output: "out", part: count + 1).start ?? -1 >= reached, comment)
    let leftovers = try FileManager.default.contentsOfDirectory(
      atPath: job.scratch.path("out/checkpoints")
    ).filter { $0.hasPrefix(".") }
    #expect(leftovers == [], comment)
    return struck
  }

  /// Steps of the checkpoints that bear their names.
  private func checkpoints(of job: TinyJob) throws -> [Int] {
    try FileManager.default.contentsOfDirectory(atPath: job.scratch.path("out/checkpoints"))
      .compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }
  }

  /// Starts the job and kills; whether the job ended by that.
  private func kill(
    _ victim: Victim, of job: TinyJob, part: Int, atStep step: Int, delay: UInt32
  ) throws -> Bool {
    func strike(_ process: () -> Int32?, while isRunning: () -> Bool) {
      _ = awaitStep(step, of: job, output: "out", part: part, while: isRunning)
      usleep(delay)
      if isRunning(), let process = process() { Glibc.kill(process, SIGKILL) }
    }
    if victim == .processAlone {
      let program = try job.start(output: "out")
      strike({ program.processID }, while: { program.isRunning })
      let result = try program.wait()
      #expect(result.status == 137 || result.status == 0, "\(result.stderr)")
      #expect(result.stderr.isEmpty && !result.timedOut)
      return result.status != 0
    }
    let mpi = try job.start(ranks: 4, output: "out")
    var ranks: [Int32] = []
    strike(
      {
        ranks = mpi.ranks
        return switch victim {
        case .firstRank: ranks.first
        case .lastRank: ranks.last
        default: mpi.launcher.processID
        }
      }, while: { mpi.launcher.isRunning })
    let result = try mpi.wait()
    #expect([0, 1, 137].contains(result.status) && !result.timedOut, "\(result.stderr)")
    // The run's lock is free when all ranks are gone.
    #expect(MPIJob.areGone(ranks, within: 60))
    return result.status != 0
  }
}

// MARK: - Asked to stop

/// A request to stop, and to whom.
enum StopRequest: String, Sendable, CaseIterable {
  case interruptAlone, terminateAlone, userSignalToMPIRun, terminateOneRank
}

extension ProgramTests.ResumeTests {
  @Test(arguments: StopRequest.allCases) func stoppedJobsLoseNothing(request: StopRequest) throws {
    let job = try makeJob()
    let result: ProgramResult
    switch request {
    case .interruptAlone, .terminateAlone:
      let program = try job.start(output: "out")
      #expect(awaitStep(3, of: job, output: "out", while: { program.isRunning }))
      program.signal(request == .interruptAlone ? SIGINT : SIGTERM)
      result = try program.wait()
    case .userSignalToMPIRun, .terminateOneRank:
      let mpi = try job.start(ranks: 4, output: "out")
      #expect(awaitStep(3, of: job, output: "out", while: { mpi.launcher.isRunning }))
      if request == .userSignalToMPIRun {
        mpi.launcher.signal(SIGUSR1)
      } else {
        Glibc.kill(try #require(mpi.ranks.last), SIGTERM)
      }
      result = try mpi.wait()
    }
    #expect(result.status == 75, "\(result.stderr)")
    #expect(result.complaints.isEmpty, "\(result.stderr)")
    let stopped = try #require(Part(of: job, output: "out", part: 1).last)
    #expect(stopped < totalSteps)
    #expect(result.stdout.contains("stopped on request after step \(stopped)"))

    // On another number of ranks than before.
    let alone = request == .interruptAlone || request == .userSignalToMPIRun
    let resumed = try job.train(alone ? .alone(threads: 2) : .ranks(8), output: "out")
    #expect(resumed.status == 0, "\(resumed.stderr)")
    #expect(Part(of: job, output: "out", part: 2).start == stopped)
    #expect(try job.hash(of: "out") == undisturbed.get())
  }

  /// A signal as soon as one is listened to, long before the first step, and another behind it.
  @Test func earlyAndRepeatedSignalsEndInOrder() throws {
    let job = try makeJob()
    for _ in 1...3 {
      let program = try job.start(output: "out")
      while program.isRunning && !program.catches(SIGUSR1) { usleep(100) }
      program.signal(SIGUSR1)
      program.signal(SIGTERM)
      let result = try program.wait()
      #expect(result.status == 75, "\(result.stderr)")
    }
    #expect(try job.train(output: "out").status == 0)
    #expect(try job.hash(of: "out") == undisturbed.get())
  }

  /// A rank that never comes to MPI would keep the others in its start.
  @Test func whoWaitsForOthersToStartCanBeStopped() throws {
    let job = try makeJob()
    let onlyOne = #"if [ "$OMPI_COMM_WORLD_RANK" = 0 ]; then exec "$@"; fi; exec sleep 60"#
    let mpi = try MPIJob(
      ranks: 2, wrapper: ["sh", "-c", onlyOne, "sh"],
      ["train", TinyJob.configuration, "--output", "out"],
      environment: ["REPVGG_START_SECONDS": "30"], directory: job.scratch.path)
    // Behind the handlers, and perhaps before MPI: both must do.
    var rank: Int32?
    while mpi.launcher.isRunning, rank == nil {
      usleep(1_000)
      rank = mpi.ranks.first { RunningProgram.catches(SIGUSR1, process: $0) }
    }
    Glibc.kill(try #require(rank), SIGUSR1)
    let result = try mpi.wait()
    #expect(result.status == 75, "\(result.stderr)")
    #expect(result.stderr.contains("rank 0: asked to stop while MPI_Init has not come back"))
  }

  @Test func aRunCutShortIsExtendedIdentically() throws {
    let job = try makeJob()
    for (steps, ranks) in [(23, 2), (50, 1)] {
      let result = try job.train(
        .ranks(ranks), output: "out", ["--set", "training.max_steps=\(steps)"])
      #expect(result.status == 0, "\(result.stderr)")
      #expect(try job.metrics(of: "out").last?.step == steps)
      #expect(try job.hash(of: "out") != undisturbed.get())
    }
    #expect(try job.train(output: "out", ["--set", "checkpoint.every_steps=7"]).status == 0)
    #expect(Part(of: job, output: "out", part: 3).start == 50)
    #expect(try job.hash(of: "out") == undisturbed.get())
  }

  @Test func anyCheckpointIsAStart() throws {
    let job = try makeJob()
    #expect(
      try job.train(output: "out", ["--set", "training.max_steps=30"]).status == 0)
    let checkpoint = "out/checkpoints/step-000000025"
    let result = try job.train(output: "other", ["--resume", checkpoint])
    #expect(result.status == 0, "\(result.stderr)")
    #expect(Part(of: job, output: "other", part: 1).start == 25)
    #expect(try job.hash(of: "other") == undisturbed.get())
  }
}
