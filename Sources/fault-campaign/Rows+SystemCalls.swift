import Checkpoints
import Foundation
import _TestSupport

// Rows in which calls of the system fail, come late or do half.

extension Row {
  static let systemCalls = [
    Row(
      25, "each system call of a save fails", needs: [.strace],
      .trials(short: 2, long: 4 + wholeRuns) { trial in
        let variants = [("EIO", ""), ("ENOSPC", ""), ("EIO", "+"), ("ENOSPC", "+")]
        if trial.number < variants.count {
          let (error, sticky) = variants[trial.number]
          return try failEachCall(trial, error: error, sticky: sticky)
        }
        try failCallOfRun(trial, trial.number - variants.count)
      }),
    Row(
      26, "fsync fails once", needs: [.strace],
      .trials(short: 1, long: 6) { trial in
        // The last before the name is given: the whole hidden directory's.
        let occurrence = 1 + trial.number % 5
        trial.note("fsync \(occurrence) of each thread fails")
        let job = try trial.makeJob()
        let result = try job.runAlone(
          wrapper: inject("fsync:error=EIO:when=\(occurrence)"))
        try trial.judge(
          job, result, Expectation(codes: [74], says: ["Input/output error", "fsync"]))
        try require(job.checkpoints.isEmpty, "a checkpoint whose fsync failed: \(job.checkpoints)")
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      27, "writes that are interrupted, and that do less than they say", needs: [.strace],
      .trials(short: 1, long: 12) { trial in
        let job = try trial.makeJob()
        if trial.number % 2 == 0 {
          trial.note("every second write: EINTR")
          let result = try job.runAlone(wrapper: inject("write:error=EINTR:when=2+2"))
          try trial.judge(job, result, .done)
        } else {
          let occurrence = 1 + trial.number
          trial.note(
            "write \(occurrence) of each thread is said to have done one byte, and did none")
          let result = try job.runAlone(
            wrapper: inject("write:retval=1:when=\(occurrence)"))
          try trial.judge(job, result, Expectation(codes: [0, 74]))
        }
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      30, "a disk whose fsync takes long", needs: [.strace],
      .trials(short: 1, long: 3) { trial in
        let job = try trial.makeJob()
        let result = try job.runAlone(
          wrapper: inject("fsync:delay_enter=300000"), ["--set", "checkpoint.patience_seconds=0"],
          timeout: 120)
        try trial.judge(job, result, .done)
        let saves = job.log.lines.filter { $0.event == "checkpoint" }
        // Eight saves are due; with two seconds each they cannot all be made in time.
        try require(saves.count < 8, "\(saves.count) saves of a slow disk")
        let stalls = saves.dropLast().map { ($0.step, $0.members["stall_seconds"] as? Double ?? 0) }
        // A save that is due by steps waits a hundredth of the time and passes; the best of the
        // evaluations, after epochs 2 and 4, waits for the save before it.
        let byStep = stalls.filter { $0.0 % 26 != 0 }.map(\.1).max() ?? 0
        try require(byStep < 0.5, "a save has held training up for \(byStep) s")
        let longest = saves.compactMap { $0.members["seconds"] as? Double }.max() ?? 0
        try require(stalls.allSatisfy { $0.1 < longest + 1 }, "waited for more than one save")
        trial.campaign.figures.measure("stall by a save of 2 s, s", byStep, of: 30)
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      31, "loss of power at each moment of a save", needs: [.strace],
      .trials(short: 1, long: 1) { try PowerLoss.tryEveryState($0) }),
  ]

  private static func inject(_ fault: String) -> [String] {
    let call = fault.prefix { $0 != ":" }
    return [
      "strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=\(call)", "-e",
      "inject=\(fault)",
    ]
  }
}

// MARK: - Each call of one save

extension Row {
  /// Fails the Nth call of every kind, for each N that the save comes to.
  private static func failEachCall(_ trial: Trial, error: String, sticky: String) throws {
    let scratch = try ScratchDirectory()
    let sample = scratch.path("sample")
    _ = try StoreProcess.prepare(sample)
    let (calls, before) = try SystemCall.ofSave(sample)
    var seen: [String: Int] = [:]
    var failures: [String] = []
    for call in calls {
      seen[call.name, default: 0] += 1
      let count = (before[call.name] ?? 0) + (seen[call.name] ?? 0)
      let fault = "\(call.name):error=\(error):when=\(count)\(sticky)"
      do {
        try failOneCall(trial, fault, call: call, error: error, in: scratch)
      } catch {
        failures.append("\(fault) (\(call.arguments.prefix(100))): \(error)")
      }
      trial.campaign.figures.tally("faults in one save", of: 25)
    }
    try require(
      failures.isEmpty,
      "\(failures.count) of \(calls.count): \(failures.prefix(3).joined(separator: "; "))")
  }

  private static func failOneCall(
    _ trial: Trial, _ fault: String, call: SystemCall, error: String, in scratch: ScratchDirectory
  ) throws {
    let directory = scratch.path("store")
    try? FileManager.default.removeItem(atPath: directory)
    let store = try StoreProcess.prepare(directory)
    let result = try StoreProcess.trace(
      directory, ["-o", "/dev/null", "-e", "trace=\(call.name)", "-e", "inject=\(fault)"])
    try require(!result.timedOut && [0, 74].contains(result.status), "exit \(result.status)")
    let steps = try store.list()
    for step in steps { try store.verify(step: step) }
    if result.status == 0 {
      try require(steps.contains(StoreProcess.step), "said to be saved, and is not: \(steps)")
    } else {
      let text = error == "EIO" ? "Input/output error" : "No space left on device"
      try require(
        result.stderr.contains(scratch.path)
          && (result.stderr.contains(text) || result.stderr.contains("not a regular file")
            || result.stderr.contains("exist") || result.stderr.contains("empty")),
        "names neither place nor reason: \(result.stderr)")
      try require(
        steps.contains(20) || steps.contains(StoreProcess.step), "older ones are gone: \(steps)")
    }
    // Once the fault is over, the same save goes through, and nothing of the other is left.
    try store.prepare()
    try store.commit(step: StoreProcess.step, files: StoreProcess.files(of: StoreProcess.step))
    try store.prune()
    let rest = try store.list()
    try require(rest == [20, StoreProcess.step], "after it: \(rest)")
    let hidden = try CampaignJob.names(directory).filter { $0.hasPrefix(".") }
    try require(hidden.isEmpty, "left behind: \(hidden)")
  }

  // MARK: - Calls of whole runs

  private static let names = ["fsync", "renameat", "mkdirat", "unlinkat", "write"]
  private static let occurrences = 10
  private static let wholeRuns = names.count * occurrences * 2

  /// Fails the Nth call of a kind in each thread of a run, and it ends with code 74 or goes on.
  private static func failCallOfRun(_ trial: Trial, _ number: Int) throws {
    let name = names[number % names.count]
    let occurrence = 1 + number / names.count % occurrences
    let error = number < wholeRuns / 2 ? "EIO" : "ENOSPC"
    let sticky = trial.draw(["", "+"])
    let fault = "\(name):error=\(error):when=\(occurrence)\(sticky)"
    trial.note(fault)
    let job = try trial.makeJob()
    let result = try job.runAlone(wrapper: inject(fault))
    try trial.judge(job, result, Expectation(codes: [0, 73, 74]))
    if result.status != 0 && !(name == "write" && sticky == "+") {
      let text = error == "EIO" ? "Input/output error" : "No space left on device"
      try require(
        result.complaints.contains { $0.contains(text) }, "says not why: \(result.stderr)")
    }
    try trial.requireContinuation(job, ranks: nil)
    trial.campaign.figures.tally("faults in whole runs", of: 25)
  }
}
