import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// `repvgg checkpoint`: what a person does with a run's checkpoints.
  @Suite(.timeLimit(.minutes(5))) struct CheckpointTests {
    /// A run of 30 steps with a checkpoint every 5, keeping `keep`.
    private func makeRun(keep: Int = 6) throws -> TinyJob {
      let job = try TinyJob(
        TinyJob.standard.replacingOccurrences(of: "keep: 2", with: "keep: \(keep)"))
      #expect(try job.train(output: "out").status == 0)
      return job
    }

    private func object(_ result: ProgramResult) throws -> [String: Any] {
      #expect(result.stdout.split(separator: "\n").count == 1, "\(result.stdout)")
      return try #require(
        try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any])
    }

    private func rows(_ object: [String: Any]) -> [[String: Any]] {
      object["checkpoints"] as? [[String: Any]] ?? []
    }

    /// Changes a byte in the middle of a file.
    private func damage(_ job: TinyJob, step: Int, _ file: String = "model.safetensors") throws {
      let name = "out/checkpoints/step-\(String(format: "%09d", step))/\(file)"
      var bytes = try job.scratch.read(name)
      bytes[bytes.count / 2] ^= 1
      try job.scratch.write(bytes, to: name)
    }

    @Test func listShowsWhatThereIs() throws {
      let job = try makeRun()
      for path in ["out", "out/", "out/checkpoints", "out/checkpoints/"] {
        let listed = try job.run(["checkpoint", "list", path, "--json"])
        #expect(listed.status == 0, "\(listed.stderr)")
        let rows = rows(try object(listed))
        #expect(rows.map { $0["step"] as? Int } == [5, 10, 15, 20, 25, 30])
        #expect(rows.map { $0["newest"] as? Bool } == [false, false, false, false, false, true])
        #expect(rows.filter { $0["best"] as? Bool == true }.count == 1)
        #expect(rows.allSatisfy { $0["files"] as? Int == 4 && ($0["bytes"] as? Int ?? 0) > 1_000 })
        #expect(rows.allSatisfy { ($0["modified"] as? String)?.hasSuffix("Z") == true })
      }
      let text = try job.run(["checkpoint", "list", "out"]).stdout
      #expect(text.contains("step-000000030") && text.contains("newest"), "\(text)")
    }

    @Test func verifyNamesTheDamagedFile() throws {
      let job = try makeRun()
      let good = try job.run(["checkpoint", "verify", "out"])
      #expect(good.status == 0 && good.stderr.isEmpty, "\(good.stderr)")
      #expect(good.stdout.contains("✓ model.safetensors") && !good.stdout.contains("✗"))
      try damage(job, step: 20)
      try damage(job, step: 25, "MANIFEST.json")
      let bad = try job.run(["checkpoint", "verify", "out"])
      #expect(bad.status == 65, "\(bad.stderr)")
      #expect(bad.complaints.count == 1 && bad.complaints[0].contains("step 20"), "\(bad.stderr)")
      #expect(bad.stdout.contains("✗ model.safetensors: its content is not what was written"))
      let listed = try job.run(["checkpoint", "verify", "out", "--json"])
      let found = try object(listed)
      #expect(listed.status == 65 && found["damaged"] as? Int == 2)
      #expect(
        rows(found).filter { $0["good"] as? Bool == false }.map { $0["step"] as? Int } == [20, 25])
      #expect(try job.run(["checkpoint", "verify", "out", "--step", "30"]).status == 0)
      #expect(try job.run(["checkpoint", "verify", "out", "--step", "25"]).status == 65)
      #expect(try job.run(["checkpoint", "verify", "out", "--step", "7"]).status == 66)
    }

    @Test func pruneKeepsTheBestAndTheLastGoodOne() throws {
      let job = try makeRun()
      func steps() throws -> [Int] {
        rows(try object(job.run(["checkpoint", "list", "out", "--json"]))).compactMap {
          $0["step"] as? Int
        }
      }
      #expect(try job.run(["checkpoint", "prune", "out"]).status == 0)
      #expect(try steps() == [5, 10, 15, 20, 25, 30], "as many as the run keeps")
      try FileManager.default.removeItem(atPath: job.scratch.path("out/checkpoints/best.json"))
      for step in [20, 25, 30] { try damage(job, step: step) }
      let before = try steps()
      let dry = try job.run(["checkpoint", "prune", "out", "--keep", "2", "--dry-run", "--json"])
      #expect(try object(dry)["removed"] as? [Int] == [5, 10, 20], "15 is the newest good one")
      #expect(try steps() == before)
      #expect(try job.run(["checkpoint", "prune", "out", "--keep", "2"]).status == 0)
      #expect(try steps() == [15, 25, 30])
      #expect(try job.run(["checkpoint", "verify", "out", "--step", "15"]).status == 0)
    }

    /// A job's checkpoints are its own while it runs.
    @Test func pruneLeavesRunningJobsAlone() throws {
      let job = try makeRun()
      let lock = open(job.scratch.path("out/.lock"), O_RDWR)
      defer { close(lock) }
      #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
      for path in ["out", "out/checkpoints"] {
        let result = try job.run(["checkpoint", "prune", path, "--keep", "1"])
        #expect(result.status == 77, "\(result.stderr)")
        #expect(result.complaints.first?.contains("in use by process ") == true, "\(result.stderr)")
      }
      #expect(try job.run(["checkpoint", "list", "out"]).status == 0)
    }

    @Test func whatIsNoRunIsSaidToBeNone() throws {
      let job = try TinyJob()
      for action in ["list", "verify", "prune"] {
        let result = try job.run(["checkpoint", action, "nowhere"])
        #expect(result.status == 66 && result.complaints.count == 1, "\(result.stderr)")
      }
      // A directory with other things in it: nothing is changed there.
      let before = try FileManager.default.contentsOfDirectory(atPath: job.scratch.path)
      #expect(try job.run(["checkpoint", "verify", "."]).status == 66)
      #expect(try job.run(["checkpoint", "list", "."]).status == 0)
      #expect(try job.run(["checkpoint", "prune", "."]).status == 0)
      #expect(try job.run(["checkpoint", "list", TinyJob.configuration]).status == 66)
      #expect(try FileManager.default.contentsOfDirectory(atPath: job.scratch.path) == before)
    }
  }
}
