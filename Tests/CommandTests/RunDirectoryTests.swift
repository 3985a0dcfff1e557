import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Which directory a run takes for its own.
  @Suite(.timeLimit(.minutes(20))) struct RunDirectoryTests {
    /// What YAML would read as a number, nothing, a list, a mapping or a comment is a name here.
    @Test(arguments: ["1e3", "null", "~", "true", "[a]", "a: b", "# c", "'d'", "-e", "é ü"])
    func outputIsTakenLiterally(name: String) throws {
      let job = try TinyJob()
      let result = try job.run(
        ["train", TinyJob.configuration, "--output=\(name)", "--set", "training.max_steps=1"])
      #expect(result.status == 0, "\(result.stderr)")
      #expect(try job.hash(of: name).count == 64)
      #expect(
        try Set(FileManager.default.contentsOfDirectory(atPath: job.scratch.path))
          == [TinyJob.configuration, "data", name])
    }

    /// What jobs leave that are killed before they come to write their plan.
    @Test(arguments: [
      [".lock"], [".lock", "checkpoints/"],
      [
        ".lock", "checkpoints/", "artifacts/", "attempts.json", "log.txt", "metrics.jsonl",
        ".plan.json.0123456789abcdef.tmp",
      ],
    ])
    func beginningsAreTakenUp(entries: [String]) throws {
      let job = try TinyJob()
      try FileManager.default.createDirectory(
        atPath: job.scratch.path("out"), withIntermediateDirectories: false)
      for entry in entries {
        if entry.hasSuffix("/") {
          try FileManager.default.createDirectory(
            atPath: job.scratch.path("out/\(entry)"), withIntermediateDirectories: false)
        } else {
          try job.scratch.write(
            entry == ".lock" && entries.count > 1 ? "host 17\n" : "", to: "out/\(entry)")
        }
      }
      let result = try job.train(output: "out", ["--set", "training.max_steps=1"])
      #expect(result.status == 0, "\(result.stderr)")
    }

    /// Plans of before they named the program.
    @Test func firstPlansAreKnown() throws {
      let job = try TinyJob()
      #expect(try job.train(output: "out", ["--set", "training.max_steps=1"]).status == 0)
      let plan = try job.scratch.text(of: "out/plan.json")
      try #require(plan.contains("  \"program\": \"repvgg\",\n"))
      try job.scratch.write(
        plan.replacingOccurrences(of: "  \"program\": \"repvgg\",\n", with: ""),
        to: "out/plan.json")
      let result = try job.train(output: "out", ["--set", "training.max_steps=2"])
      #expect(result.status == 0, "\(result.stderr)")
    }
  }
}
