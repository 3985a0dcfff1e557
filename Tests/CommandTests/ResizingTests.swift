import Testing
import _TestSupport

extension ProgramTests {
  /// Training that begins with smaller images.
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(10)))
  struct Resizing {
    /// 10 steps an epoch, each of another size.
    private func job() throws -> TinyJob {
      let data = """
        resolution: 32
          resolutions: {0: 16, 1: 24, 2: 32}
          crop: random_resized
          crop_scale: [0.5, 1]
        """
      return try TinyJob(
        TinyJob.standard
          .replacingOccurrences(of: "crop_padding: 1", with: data)
          .replacingOccurrences(of: "epochs: 3", with: "epochs: 3\n  mixup_alpha: 0.2"))
    }

    private func expectDone(
      _ job: TinyJob, _ launch: Launch, output: String, _ settings: [String] = [],
      hash: String? = nil
    ) throws {
      let result = try job.train(launch, output: output, settings.flatMap { ["--set", $0] })
      try #require(result.status == 0, "\(result)")
      if let hash { #expect(try job.hash(of: output) == hash, "\(output)") }
    }

    @Test func ranksAndCutsChangeNothing() throws {
      let job = try job()
      try expectDone(job, .alone(), output: "one")
      let hash = try job.hash(of: "one")
      let steps = try job.metrics(of: "one").filter { $0.event == "step" }
      let sizes = steps.map { $0.members["resolution"] as? Int }
      #expect(sizes == (0..<30).map { [16, 24, 32][$0 / 10] })
      let log = try job.scratch.text(of: "one/log.txt")
      #expect(log.contains("epoch 2: images of 24 x 24\n"))
      #expect(log.contains("epoch 3: images of 32 x 32\n"))

      try expectDone(job, .ranks(2, threads: 2), output: "two", hash: hash)
      // Without a look at the test set in between.
      let blind = ["evaluation.every_epochs=0", "data.prefetch=1", "data.threads=3"]
      try expectDone(job, .ranks(4), output: "four", blind, hash: hash)
      // Cut in the middle of epochs 0 and 1, each time on with another number of ranks. What is cut is
      // evaluated at full size before it ends.
      try expectDone(job, .ranks(2), output: "cut", ["training.max_steps=4"])
      try expectDone(job, .alone(threads: 2), output: "cut", ["training.max_steps=17"])
      try expectDone(job, .ranks(4), output: "cut", hash: hash)
      let again = try job.scratch.text(of: "cut/log.txt")
      #expect(again.contains("epoch 1: images of 16 x 16\n"))
      #expect(again.contains("epoch 2: images of 24 x 24\n"))
    }

    @Test func averagesAndShardStatisticsToo() throws {
      let job = try job()
      let settings = ["training.average_decay=0.9", "training.batch_norm=local"]
      try expectDone(job, .ranks(2), output: "two", settings)
      let hash = try job.hash(of: "two")
      try expectDone(job, .alone(), output: "cut", settings + ["training.max_steps=10"])
      try expectDone(job, .ranks(4), output: "cut", settings, hash: hash)
    }

    @Test func thePlanShowsTheSizes() throws {
      let job = try job()
      let result = try job.run(["plan", TinyJob.configuration])
      let row = "24 x 24               1       1     10"
      #expect(result.status == 0 && result.stdout.contains(row), "\(result)")
      // Other sizes are another run.
      try expectDone(job, .alone(), output: "out", ["training.max_steps=3"])
      let refused = try job.train(output: "out", ["--set", "data.resolutions={0: 24, 2: 32}"])
      #expect(refused.status == 78 && refused.stderr.contains("data.resolutions was"), "\(refused)")
    }
  }
}
