import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// What happens to image files between two starts, and while a job reads them.
  @Suite(.timeLimit(.minutes(10))) struct ImageFaultTests {
    private func refused(
      _ result: ProgramResult, code: Int, _ fragments: [String]
    ) throws {
      #expect(result.status == code, "\(result.stderr)")
      try #require(result.complaints.count == 1, "\(result.stderr)")
      for fragment in fragments {
        #expect(result.complaints[0].contains(fragment), "\(result.complaints[0])")
      }
    }

    // MARK: - Names of files

    /// Names that shells and locales stumble over: the same order, and so the same weights, whatever
    /// the locale and the number of ranks.
    @Test func namesAreBytes() throws {
      let job = try FolderJob.make()
      for split in ["train", "val"] {
        let classes = ["-x", "a b", "e\u{301}", "\u{e9}", "I", "i", "\u{130}"]
        for (label, name) in classes.enumerated() {
          let directory = job.scratch.path("data/\(split)/\(name)")
          try job.scratch.write(
            FolderJob.picture(label % 4, label), to: "data/\(split)/\(name)/--help.jpg")
          for (number, file) in Self.oddNames.enumerated() {
            try Self.write(
              FolderJob.picture(label % 4, number), to: Array("\(directory)/".utf8) + file)
          }
        }
      }
      let settings = ["--set", "model.classes=11"]
      let plain = try job.train(.alone(), output: "plain", settings)
      try #require(plain.status == 0, "\(plain)")
      let names = try job.scratch.text(of: "plain/classes.txt")
      #expect(
        names.split(separator: "\n").map { Array($0.utf8) }
          == [
            "-x", "I", "a b", "class0", "class1", "class2", "class3", "e\u{301}", "i", "\u{e9}",
            "\u{130}",
          ].map { Array($0.utf8) })
      for index in ["train", "val"] { unlink(job.scratch.path("data/.\(index).repvgg-index")) }
      let turkish = try MPIRun.run(
        ranks: 2, ["train", TinyJob.configuration, "--output", "turkish"] + settings,
        environment: ["LC_ALL": "tr_TR.UTF-8"], directory: job.scratch.path)
      try #require(turkish.status == 0, "\(turkish)")
      #expect(try job.hash(of: "turkish") == job.hash(of: "plain"))
    }

    private static let oddNames: [[UInt8]] =
      [" -x\n\t.jpg", "\u{e9}.jpg", "e\u{301}.jpg", "$(x);'\".JPG", "\u{1b}[2J.jpeg"].map {
        Array($0.utf8)
      } + [
        [0xff, 0xfe] + Array(".jpg".utf8),
        [UInt8](repeating: 0x61, count: 251) + Array(".jpg".utf8),
      ]

    private static func write(_ bytes: [UInt8], to path: [UInt8]) throws {
      let descriptor = (path + [0]).withUnsafeBytes { path in
        path.baseAddress.map {
          open($0.assumingMemoryBound(to: CChar.self), O_WRONLY | O_CREAT | O_EXCL, 0o644)
        } ?? -1
      }
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      try #require(count == bytes.count && close(descriptor) == 0)
    }

    // MARK: - Changes between two starts

    @Test(arguments: ["added", "removed", "changed", "rewritten"])
    func changedFilesEndAResume(change: String) throws {
      let job = try FolderJob.make()
      let cut = try job.train(output: "out", ["--set", "training.max_steps=2"])
      try #require(cut.status == 0, "\(cut)")
      let file = "data/train/class2/image4.jpg"
      let bytes = try job.scratch.read(file)
      switch change {
      case "added": try job.scratch.write(bytes, to: "data/train/class2/image9.jpg")
      case "removed": unlink(job.scratch.path(file))
      case "changed":
        unlink(job.scratch.path(file))
        try job.scratch.write(bytes + [0], to: file)
      default:
        // In its place: its directory does not know.
        let descriptor = open(job.scratch.path(file), O_WRONLY)
        #expect(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
        close(descriptor)
      }
      let says =
        change == "rewritten"
        ? [file, "as many bytes, but written since", "data/.train.repvgg-index"]
        : ["the data differ", "folder 36 in 4 classes"]
      try refused(job.train(output: "out", ["--quiet"]), code: 65, says)
    }

    @Test func aFileThatVanishesEndsAllRanks() throws {
      let job = try FolderJob.make()
      let running = try job.start(
        ranks: 3, output: "out", ["--set", "training.epochs=100000", "--quiet"])
      while running.launcher.isRunning,
        ((try? job.metrics(of: "out")) ?? []).filter({ $0.event == "step" }).count < 4
      {
        usleep(5_000)
      }
      let ranks = running.ranks
      unlink(job.scratch.path("data/train/class2/image4.jpg"))
      let result = try running.wait()
      try refused(
        result, code: 66, ["data/train/class2/image4.jpg: No such file", "repvgg: rank "])
      #expect(ranks.count == 3 && MPIJob.areGone(ranks, within: 5))
    }

    @Test func aTestImageThatVanishesEndsAllRanks() throws {
      let job = try FolderJob.make()
      let running = try job.start(
        ranks: 3, output: "out",
        ["--set", "training.epochs=100000", "--set", "evaluation.every_epochs=1", "--quiet"])
      while running.launcher.isRunning,
        ((try? job.metrics(of: "out")) ?? []).filter({ $0.event == "evaluation" }).count < 2
      {
        usleep(5_000)
      }
      unlink(job.scratch.path("data/val/class1/image2.jpg"))
      try refused(
        running.wait(), code: 66, ["data/val/class1/image2.jpg: No such file", "repvgg: rank "])
    }

    @Test func replacedImagesAreCounted() throws {
      let job = try FolderJob.make()
      for (label, number) in [(0, 1), (3, 8)] {
        try job.scratch.write([], to: "data/train/class\(label)/image\(number).jpg")
      }
      let result = try job.train(.ranks(2), output: "out", ["--set", "data.damaged=replace"])
      try #require(result.status == 0, "\(result)")
      #expect(
        result.stdout.contains("damaged, replaced") && result.stdout.contains("4 (named above)"))
      #expect(try job.metrics(of: "out").last?.members["replaced"] as? Int == 4)
    }

    // MARK: - Names of classes

    @Test func theClassMapIsSavedAndCompared() throws {
      let job = try FolderJob.make()
      let whole = try job.train(output: "out")
      try #require(whole.status == 0, "\(whole)")
      let names = "class0\nclass1\nclass2\nclass3\n"
      #expect(try job.scratch.text(of: "out/classes.txt") == names)
      #expect(try job.scratch.text(of: "out/artifacts/labels.txt") == names)
      let models = ["out/artifacts/tiny-deploy", "out/checkpoints/step-000000006/model"]
      func evaluate(_ model: String) throws -> ProgramResult {
        try job.run(["evaluate", "\(model).safetensors", "--config", TinyJob.configuration])
      }
      for model in models { #expect(try evaluate(model).status == 0) }

      for split in ["train", "val"] {
        try FileManager.default.moveItem(
          atPath: job.scratch.path("data/\(split)/class2"),
          toPath: job.scratch.path("data/\(split)/class9"))
      }
      try refused(
        job.train(output: "out"), code: 65,
        ["step-000000006: class 2 was 'class2' and is now 'class3'", "start anew"])
      for (model, file) in zip(models, ["out/artifacts/labels.txt", "../../classes.txt"]) {
        try refused(
          evaluate(model), code: 65,
          [file, "class 2 of the model is 'class2', that of the data 'class3'"])
      }
      // Weights of whatever else, in a directory without names, are nobody's business.
      try job.scratch.write(job.scratch.read("\(models[0]).safetensors"), to: "w/x.safetensors")
      #expect(try evaluate("w/x").status == 0)
    }

    // MARK: - Numbers that leave something over

    /// 37 images in batches of 16 leave 5, fewer than 7 ranks; 5 test images, too.
    @Test(arguments: [3, 5, 7]) func everyImageOnceAnEpoch(ranks: Int) throws {
      let job = try TinyJob(trainCount: 37)
      let result = try job.train(
        .ranks(ranks), output: "out",
        ["training.global_batch=16", "data.test_limit=5", "evaluation.every_epochs=1"]
          .flatMap { ["--set", $0] })
      try #require(result.status == 0, "\(result)")
      let lines = try job.metrics(of: "out")
      let samples = lines.filter { $0.event == "step" }.compactMap { $0.members["samples"] as? Int }
      #expect(samples == [16, 16, 5, 16, 16, 5, 16, 16, 5])
      let counts = lines.filter { $0.event == "evaluation" }.map { $0.members["count"] as? Int }
      #expect(counts.count == 4 && counts.allSatisfy { $0 == 5 })
    }

    @Test func evaluationIsTheSameOnAnyRanks() throws {
      let job = try TinyJob()
      try #require(try job.train(output: "out", ["--set", "training.max_steps=5"]).status == 0)
      let command = [
        "evaluate", "out/artifacts/tiny-deploy.safetensors", "--config", TinyJob.configuration,
        "--json",
      ]
      func numbers(_ result: ProgramResult) throws -> [String] {
        let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
        let members = try #require(object as? [String: Any], "\(result)")
        return ["count", "top1", "top5", "loss"].map { "\(members[$0] ?? "")" }
      }
      // 50 images in chunks of 4: 13 chunks, the last of 2.
      let expected = try numbers(job.run(command))
      #expect(expected[0] == "50")
      for ranks in [3, 5, 7] {
        let result = try MPIRun.run(ranks: ranks, command, directory: job.scratch.path)
        #expect(try numbers(result) == expected, "\(ranks) ranks")
      }
    }
  }
}
