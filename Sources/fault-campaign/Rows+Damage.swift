import Checkpoints
import Foundation
import _TestSupport

// Rows in which checkpoints are not as they were written, or are gone on from elsewhere.

extension Row {
  static let damage = [
    Row(
      32, "the newest checkpoint is cut short", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        if trial.number == 0 { try cutEverywhere(trial) }
        try resumeDamaged(trial) { path, size in
          let length = trial.random.next(below: size)
          trial.note("\(path) cut to \(length) of \(size) bytes")
          truncate(path, length)
        }
      }),
    Row(
      33, "a bit of the newest checkpoint is flipped", needs: [.mpirun],
      .trials(short: 1, long: 10) { trial in
        if trial.number == 0 { try flipEverywhere(trial, count: 200) }
        try resumeDamaged(trial) { path, size in
          let bit = trial.random.next(below: size * 8)
          trial.note("bit \(bit) of \(path)")
          try flip(bit, of: path)
        }
      }),
    Row(
      34, "files are missing, empty or too many; names point nowhere", needs: [.mpirun],
      .trials(short: 2, long: strays.count) { trial in
        let (name, isNamed, deed) = trial.take(strays)
        trial.note(name)
        let job = try trial.campaign.interruptedJob(trial)
        try deed("\(job.output)/checkpoints")
        let result = try job.runAlone()
        try trial.judge(job, result, .done)
        let says = result.stdout.contains("passed over step-000000030")
        try require(says == isNamed, "passed over in words: \(says); \(result.stdout)")
        try trial.requireContinuation(job, ranks: nil)
      }),
    Row(
      36, "gone on from on another number of ranks", needs: [.mpirun],
      .trials(short: 2, long: 16) { trial in
        let ranks = [1, 2, 8, 4]
        let (first, second) = (ranks[trial.number % 4], ranks[trial.number / 4 % 4])
        let step = 11 + trial.random.next(below: 40)
        trial.note("\(first) ranks, stopped at step \(step), then \(second)")
        let job = try trial.makeJob()
        let result = try job.run(ranks: first, failpoint: "step.updated@\(step)#0:term")
        try trial.judge(job, result, .stopped)
        try trial.requireContinuation(job, ranks: second)
        let steps = job.log.lines.filter { $0.event == "step" }.map(\.step)
        try require(steps == Array(1...CampaignJob.steps), "steps trained: \(steps)")
      }),
  ]

  /// What lies about, whether the newest checkpoint must be passed over for it, and how it is done.
  private static let strays: [(String, Bool, @Sendable (String) throws -> Void)] = [
    ("a file is missing", true, { try remove("\($0)/step-000000030/model.safetensors") }),
    ("the manifest is missing", true, { try remove("\($0)/step-000000030/MANIFEST.json") }),
    ("a file is empty", true, { truncate("\($0)/step-000000030/state.json", 0) }),
    (
      "all files are missing", true,
      { directory in
        for name in try CampaignJob.names("\(directory)/step-000000030") {
          try remove("\(directory)/step-000000030/\(name)")
        }
      }
    ),
    ("a file too many", false, { try put("stray", "\($0)/step-000000030/notes.txt") }),
    (
      "a temporary of a save", false,
      { directory in
        let path = "\(directory)/.step-000000040.0123456789abcdef"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try put("half", "\(path)/model.safetensors")
      }
    ),
    ("a temporary of the mark", false, { try put("{", "\($0)/.best.json.0123456789abcdef.tmp") }),
    ("the mark is empty", false, { try put("", "\($0)/best.json") }),
    ("the mark points nowhere", false, { try put("{\"step\": 999}\n", "\($0)/best.json") }),
    (
      "the mark is a link to nowhere", false,
      { directory in
        try? remove("\(directory)/best.json")
        symlink("/no-such-place", "\(directory)/best.json")
      }
    ),
  ]

  /// The newest checkpoint is spoilt by `deed`; the run says so and goes on from the one before.
  private static func resumeDamaged(
    _ trial: Trial, _ deed: (_ path: String, _ size: Int) throws -> Void
  ) throws {
    let job = try trial.campaign.interruptedJob(trial)
    let directory = "\(job.output)/checkpoints/step-000000030"
    let name = trial.draw(try CampaignJob.names(directory))
    let path = "\(directory)/\(name)"
    try deed(path, try Data(contentsOf: URL(fileURLWithPath: path)).count)
    let result = try job.runAlone()
    try trial.judge(job, result, .done)
    // The line names the directory; without a manifest none of its files is known.
    try require(
      result.stdout.contains("passed over step-000000030: ") && result.stdout.contains(name),
      "the damage is not named: \(result.stdout)")
    try require(job.log.parts.last?.start ?? 30 < 30, "went on from the damaged checkpoint")
    try trial.requireContinuation(job, ranks: nil)
    trial.campaign.figures.tally("whole resumes", of: trial.row)
  }
}

// MARK: - Without running a job

extension Row {
  /// Every file cut at its header and at sixteenths: the store must fall back and name the file.
  private static func cutEverywhere(_ trial: Trial) throws {
    try spoil(trial) { name, bytes in
      var lengths = [0, 1, 7, 8, bytes.count - 1] + (1..<16).map { bytes.count * $0 / 16 }
      if name.hasSuffix(".safetensors") {
        let header =
          8 + bytes.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        lengths += [header - 1, header]
      }
      return lengths.filter { $0 < bytes.count }.map { Array(bytes.prefix($0)) }
    }
  }

  /// One bit at a time, in all files alike.
  private static func flipEverywhere(_ trial: Trial, count: Int) throws {
    try spoil(trial) { _, bytes in
      (0..<count / 4).map { _ in
        var bytes = bytes
        let bit = trial.random.next(below: bytes.count * 8)
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        return bytes
      }
    }
  }

  private static func spoil(
    _ trial: Trial, _ variants: (_ name: String, _ bytes: [UInt8]) -> [[UInt8]]
  ) throws {
    let job = try trial.campaign.interruptedJob(trial)
    let directory = "\(job.output)/checkpoints/step-000000030"
    for name in try CampaignJob.names(directory) {
      let path = "\(directory)/\(name)"
      let sound = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
      for (index, bytes) in variants(name, sound).enumerated() {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let (found, notes) = try job.store.newestGood()
        try require(
          (found?.step ?? 30) < 30 && notes.first?.contains(name) == true,
          "\(name), variant \(index): found \(found?.step ?? -1), \(notes)")
        trial.campaign.figures.tally("spoilt files found", of: trial.row)
      }
      try Data(sound).write(to: URL(fileURLWithPath: path))
    }
    try require(try job.store.newestGood().checkpoint?.step == 30, "not as it was")
  }
}

func truncate(_ path: String, _ length: Int) { _ = Glibc.truncate(path, length) }
func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }

func put(_ text: String, _ path: String) throws {
  try text.write(toFile: path, atomically: false, encoding: .utf8)
}

func flip(_ bit: Int, of path: String) throws {
  var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  bytes[bit / 8] ^= 1 << UInt8(bit % 8)
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}
