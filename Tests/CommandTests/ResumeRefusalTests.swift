import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Runs that must not, or only in part, be taken up again.
  @Suite(.timeLimit(.minutes(20))) struct ResumeRefusalTests {
    /// A run of 30 steps with checkpoints of the last two saves.
    private func makeRun() throws -> TinyJob {
      let job = try TinyJob()
      let result = try job.train(output: "out", ["--set", "training.max_steps=15"])
      #expect(result.status == 0, "\(result.stderr)")
      return job
    }

    private func refused(
      _ job: TinyJob, _ arguments: [String] = [], output: String = "out", code: Int,
      _ fragments: [String]
    ) throws {
      let before = try FileTree(job.scratch.path)
      let result = try job.train(output: output, arguments)
      #expect(result.status == code)
      try #require(result.complaints.count == 1, "\(result.stderr)")
      #expect(result.stderr == result.complaints[0] + "\n")
      for fragment in fragments {
        #expect(result.complaints[0].contains(fragment), "\(result.complaints[0])")
      }
      #expect(try FileTree(job.scratch.path).lost(from: before) == [])
    }

    @Test(arguments: [
      ("training.seed=2", "training.seed was 1 and is now 2"),
      ("schedule.learning_rate=0.2", "schedule.learning_rate was 0.1 and is now 0.2"),
      ("training.batch_norm=local", "training.batch_norm was sync and is now local"),
      ("model.architecture={stem: 8, depths: [1, 3], widths: [8, 16]}", "model.architecture"),
      ("data.horizontal_flip=true", "data.horizontal_flip was false and is now true"),
    ])
    func changedKeysAreNamed(setting: String, says: String) throws {
      try refused(
        makeRun(), ["--set", setting], code: 78, [says, "set it back", "step-000000015"])
    }

    @Test func changedDataAreNoticed() throws {
      let job = try makeRun()
      let path = "data/train-images-idx3-ubyte"
      var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: job.scratch.path(path))))
      bytes[5_000] ^= 1
      try job.scratch.write(bytes, to: path)
      try refused(job, code: 65, ["the data differ", "idx 320 x 16 x 16"])
    }

    /// The place of the data is free, and so are the keys that decide no weight.
    @Test func movedDataAreTheSameData() throws {
      let job = try makeRun()
      try FileManager.default.moveItem(
        atPath: job.scratch.path("data"), toPath: job.scratch.path("moved"))
      let result = try job.train(
        output: "out",
        ["data.directory=moved", "data.prefetch=5", "checkpoint.keep=1"].flatMap { ["--set", $0] })
      #expect(result.status == 0, "\(result.stderr)")
      #expect(try job.metrics(of: "out").last?.step == 30)
    }

    @Test func neverRefusesARunWithCheckpoints() throws {
      try refused(makeRun(), ["--resume", "never"], code: 73, ["holds checkpoints", "--output"])
    }

    /// A newer checkpoint would win the next time, and those of another run would be removed.
    @Test func noCheckpointsAreLostToAPath() throws {
      let job = try makeRun()
      let older = "out/checkpoints/step-000000010"
      try refused(
        job, ["--resume", older], code: 73, ["step 15", "\(older), step 10", "another --output"])
      #expect(
        try job.train(output: "other", ["--set", "training.max_steps=5"]).status == 0)
      try refused(
        job, ["--resume", older], output: "other", code: 73, ["step 5", "another --output"])
      // The newest is where the run goes on anyway.
      let newest = try job.train(
        output: "out",
        ["--resume", "out/checkpoints/step-000000015", "--set", "training.max_steps=20"])
      #expect(newest.status == 0, "\(newest.stderr)")
      #expect(try job.metrics(of: "out").last { $0.event == "start" }?.step == 15)
    }

    /// From a checkpoint of another run into a new directory, in two parts by the same command.
    @Test func aPathBeginsARunAndTheSameCommandGoesOn() throws {
      let job = try makeRun()
      let path = ["--resume", "out/checkpoints/step-000000010"]
      let first = try job.train(output: "new", path + ["--set", "training.max_steps=20"])
      #expect(first.status == 0, "\(first.stderr)")
      #expect(try job.metrics(of: "new").first?.step == 10)
      let second = try job.train(output: "new", path)
      #expect(second.status == 0, "\(second.stderr)")
      #expect(try job.metrics(of: "new").last { $0.event == "start" }?.step == 20)
      #expect(try job.train(output: "whole").status == 0)
      #expect(try job.hash(of: "new") == job.hash(of: "whole"))
    }

    /// What the last evaluation found stands in the last checkpoint, and a mark that a dying job did
    /// not come to make is made up for: the best checkpoint outlives those that follow.
    @Test func theBestIsNotForgotten() throws {
      let job = try TinyJob()
      // One class alone: no later evaluation can be better than the first.
      for (split, count) in [("train", 320), ("t10k", 50)] {
        try job.scratch.write(
          IDXFiles.file([count], [UInt8](repeating: 0, count: count)),
          to: "data/\(split)-labels-idx1-ubyte")
      }
      func settings(_ maxSteps: Int) -> [String] {
        ["--set", "training.max_steps=\(maxSteps)", "--set", "checkpoint.keep=1"]
      }
      #expect(try job.train(output: "out", settings(10)).status == 0)
      let state = try JSONSerialization.jsonObject(
        with: Data(job.scratch.text(of: "out/checkpoints/step-000000010/state.json").utf8))
      let best = try #require((state as? [String: Any])?["best"] as? [String: Any])
      #expect(best["step"] as? Int == 10)
      #expect(best["top1"] as? Double == 1)
      try FileManager.default.removeItem(atPath: job.scratch.path("out/checkpoints/best.json"))
      let result = try job.train(output: "out", settings(20))
      #expect(result.status == 0, "\(result.stderr)")
      #expect(try job.scratch.text(of: "out/checkpoints/best.json").contains("10"))
      #expect(try job.scratch.text(of: "out/checkpoints/step-000000010/state.json").count > 0)
    }

    @Test(arguments: [(5, "beyond the 5 that training.max_steps"), (15, "the last of the 15 that")])
    func nothingLeftToTrainIsSaid(maxSteps: Int, says: String) throws {
      let job = try makeRun()
      let result = try job.train(output: "out", ["--set", "training.max_steps=\(maxSteps)"])
      #expect(result.status == 0, "\(result.stderr)")
      #expect(result.stdout.contains("going on after step 15, \(says)"), "\(result.stdout)")
      #expect(try job.metrics(of: "out").last?.step == 15)
    }

    @Test func otherPathsAreRefused() throws {
      let job = try makeRun()
      try refused(
        job, ["--resume", "nowhere"], output: "new", code: 66, ["nowhere"])
      try refused(
        job, ["--resume", "out/artifacts"], output: "new", code: 66, ["out/artifacts"])
      try refused(
        job, ["--resume", "out/checkpoints/step-000000015/model.safetensors"], output: "new",
        code: 66, ["model.safetensors"])
    }

    @Test func damagedCheckpointsArePassedOver() throws {
      let job = try makeRun()
      let steps = ["000000010", "000000015"].map { "out/checkpoints/step-\($0)/" }
      try damage(job, steps[1] + "optimizer.safetensors") { $0[$0.count / 2] ^= 0x10 }
      let result = try job.train(output: "out", ["--set", "training.max_steps=20"])
      #expect(result.status == 0, "\(result.stderr)")
      #expect(result.stdout.contains("passed over step-000000015"))
      #expect(result.stdout.contains("optimizer.safetensors"))
      #expect(try job.metrics(of: "out").last { $0.event == "start" }?.step == 10)
    }

    @Test(arguments: ["model.safetensors", "state.json", "MANIFEST.json"])
    func withoutAGoodOneThereIsNoStart(name: String) throws {
      let job = try makeRun()
      for step in ["000000010", "000000015"] {
        try damage(job, "out/checkpoints/step-\(step)/\(name)") { $0.removeLast($0.count / 3) }
      }
      try refused(job, code: 65, ["no checkpoint is intact", name, "step-000000015"])
      try refused(
        job, ["--resume", "out/checkpoints/step-000000015"], output: "new", code: 65, [name])
    }

    private func damage(_ job: TinyJob, _ path: String, _ change: (inout [UInt8]) -> Void) throws {
      var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: job.scratch.path(path))))
      change(&bytes)
      try job.scratch.write(bytes, to: path)
    }

    /// A job that holds its directory until it is told to stop.
    private func startEndlessJob() throws -> (job: TinyJob, program: RunningProgram) {
      let job = try TinyJob(
        TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 100000"))
      let first = try job.start(output: "out")
      while first.isRunning
        && !FileManager.default.fileExists(atPath: job.scratch.path("out/plan.json"))
      {
        usleep(2_000)
      }
      return (job, first)
    }

    @Test func oneJobAtATime() throws {
      let (job, first) = try startEndlessJob()
      let second = try job.train(output: "out")
      first.signal(SIGTERM)
      #expect(try first.wait().status == 75)
      #expect(second.status == 77)
      try #require(second.complaints.count == 1, "\(second.stderr)")
      #expect(second.complaints[0].contains("in use by process \(first.processID) on "))
      // The lock ends with its holder.
      #expect(try job.train(output: "out", ["--set", "training.max_steps=1"]).status == 0)
    }

    /// What a killed job left running lets go of the directory some time after mpirun's end.
    @Test func aHolderThatIsEndingIsWaitedFor() throws {
      let (job, first) = try startEndlessJob()
      let second = try job.start(output: "out", ["--set", "training.max_steps=1"])
      usleep(700_000)
      first.signal(SIGTERM)
      #expect(try first.wait().status == 75)
      let result = try second.wait()
      #expect(result.status == 0, "\(result.stderr)")
    }
  }
}
