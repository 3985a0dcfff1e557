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
  }
}
