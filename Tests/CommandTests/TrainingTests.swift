import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(60)))
  struct TrainingTests {}
}

/// A way to train, whose bits must not depend on ranks and threads.
struct TrainingVariant: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var configuration: String
  var trainCount = 320
  var launches: [Launch]

  /// The shards are the same for every variant: two of them are tried in every world.
  private static let everyWorld: [Launch] = [
    .alone(), .alone(threads: 2), .ranks(1), .ranks(2, threads: 2), .ranks(4), .ranks(8),
  ]
  private static let someWorlds: [Launch] = [.alone(threads: 2), .ranks(2), .ranks(8)]

  init(
    _ name: String, trainCount: Int = 320, in launches: [Launch] = everyWorld,
    _ changes: [(String, String)] = []
  ) {
    testDescription = name
    self.trainCount = trainCount
    self.launches = launches
    configuration = changes.reduce(TinyJob.standard) {
      $0.replacingOccurrences(of: $1.0, with: $1.1)
    }
  }

  static let all: [TrainingVariant] = [
    .init("as it comes"),
    .init("local statistics", [("training:\n", "training:\n  batch_norm: local\n")]),
    .init(
      "7 images in the last batch", trainCount: 97, in: someWorlds,
      [("global_batch: 32", "global_batch: 30")]),
    .init(
      "nesterov, smoothing, groups, flips", in: someWorlds,
      [
        ("training:\n", "optimizer: {nesterov: true}\ntraining:\n  label_smoothing: 0.1\n"),
        ("widths: [8, 16]", "widths: [8, 16], groups: 2"),
        ("crop_padding: 1", "horizontal_flip: true"),
      ]),
    .init("squeeze-and-excitation", in: someWorlds, excited),
  ]

  private static let excited = [
    (
      "{stem: 8, depths: [1, 2], widths: [8, 16]}",
      "{stem: 16, depths: [1, 2], widths: [32, 48], groups: {2: 2}, squeeze_excitation: true}"
    )
  ]
}

extension ProgramTests.TrainingTests {
  @Test(arguments: TrainingVariant.all) func bitsDoNotDependOnTheWorld(variant: TrainingVariant)
    throws
  {
    let job = try TinyJob(variant.configuration, trainCount: variant.trainCount)
    let launches = variant.launches
    var hashes: Set<String> = []
    for (index, launch) in launches.enumerated() {
      let result = try job.train(launch, output: "out\(index)")
      #expect(result.status == 0, "\(launch.testDescription): \(result.stderr)")
      let start = try #require(try job.metrics(of: "out\(index)").first)
      #expect(start.members["bit_invariance"] as? String == "proved")
      hashes.insert(try job.hash(of: "out\(index)"))
    }
    #expect(hashes.count == 1)
  }

  /// Gradients large enough for all ways of summing them, in every world that has a choice.
  @Test func bitsDoNotDependOnTheReduction() throws {
    let job = try TinyJob(
      TinyJob.standard.replacingOccurrences(of: "widths: [8, 16]", with: "widths: [64, 160]"),
      trainCount: 64)
    var hashes: Set<String> = []
    for (index, settings) in [
      ["reduction=halving"], ["reduction=library"], ["reduction=halving", "bucket_bytes=0"],
      ["reduction=halving", "bucket_bytes=65536"],
    ].enumerated() {
      for launch in index == 0 ? [Launch.alone(), .ranks(2), .ranks(4), .ranks(8)] : [.ranks(4)] {
        let output = "out\(index)-\(launch.testDescription)"
        let result = try job.train(
          launch, output: output, settings.flatMap { ["--set", "communication.\($0)"] })
        #expect(result.status == 0, "\(settings), \(launch.testDescription): \(result.stderr)")
        let start = try #require(try job.metrics(of: output).first)
        #expect(start.members["bit_invariance"] as? String == "proved")
        hashes.insert(try job.hash(of: output))
      }
    }
    #expect(hashes.count == 1)
  }

  /// Another seed must give another hash, or equal hashes would mean nothing.
  @Test func anotherSeedGivesOtherWeights() throws {
    let job = try TinyJob()
    #expect(try job.train(output: "one").status == 0)
    #expect(try job.train(output: "two", ["--set", "training.seed=2"]).status == 0)
    #expect(try job.hash(of: "one") != job.hash(of: "two"))
  }

  @Test(arguments: [3, 5]) func otherWorldsSayThatBitsDiffer(ranks: Int) throws {
    let job = try TinyJob()
    let result = try job.train(.ranks(ranks), output: "out")
    #expect(result.status == 0, "\(result.stderr)")
    #expect(result.stdout.contains("not expected (\(ranks) ranks are not a power of two)"))
    let start = try #require(try job.metrics(of: "out").first)
    let bits = try #require(start.members["bit_invariance"] as? String)
    #expect(bits.hasPrefix("not expected"))
    #expect(try job.hash(of: "out").count == 64)
  }

  @Test func strictBitsRefuseOtherWorlds() throws {
    let job = try TinyJob()
    let result = try job.train(
      .ranks(3), output: "out", ["--set", "communication.strict_bits=true"])
    #expect(result.status == 76)
    try #require(result.complaints.count == 1, "\(result.stderr)")
    #expect(result.complaints[0].contains("communication.strict_bits"))
  }

  @Test func quietSaysNothing() throws {
    let job = try TinyJob()
    let quiet = try job.train(.ranks(2), output: "quiet", ["--quiet"])
    #expect((quiet.status, quiet.stdout, quiet.stderr) == (0, "", ""))
    let plain = try job.train(.ranks(2), output: "plain")
    #expect(plain.status == 0)
    #expect(plain.stdout.contains("step 30/30"))
    #expect(plain.stdout.contains("deploy weights"))
    // mpirun shows ranks a terminal: nothing may be drawn over.
    #expect(!plain.stdout.contains("\u{1B}"))
    #expect(plain.stderr.isEmpty)
  }

  @Test func metricsHoldWhatScriptsRelyOn() throws {
    let job = try TinyJob()
    #expect(try job.train(.ranks(2), output: "out").status == 0)
    let lines = try job.metrics(of: "out")
    #expect(lines.first?.event == "start")
    #expect(lines.last?.event == "end")
    #expect(lines.filter { $0.event == "step" }.map(\.step) == Array(1...30))
    #expect(lines.filter { $0.event == "checkpoint" }.map(\.step).contains(5))
    let fields = [
      "start": ["step", "bit_invariance", "world_size", "threads", "blas_kernel", "seed", "cpu"],
      "step": ["step", "epoch", "loss", "top1", "learning_rate", "images_per_second"],
      "evaluation": ["step", "split", "form", "top1", "top5", "loss", "count"],
      "checkpoint": ["step"], "end": ["step", "weights_sha256"],
    ]
    for line in lines {
      let expected = try #require(fields[line.event], "unknown event \(line.event)")
      for field in expected {
        #expect(line.members[field] != nil, "\(line.event) line without \(field)")
      }
    }
    let evaluations = lines.filter { $0.event == "evaluation" }
    #expect(evaluations.map(\.step) == [10, 20, 30, 30])
    #expect(evaluations.suffix(2).map { $0.members["form"] as? String } == ["training", "deploy"])
    #expect(evaluations.allSatisfy { $0.members["count"] as? Int == 50 })
    // It learns: chance is 10 %.
    let top1 = try #require(evaluations.last?.members["top1"] as? Double)
    #expect(top1 > 0.3)
  }
}

extension ProgramTests.TrainingTests {
  @Test func artifactsLoadAndAgree() throws {
    let job = try TinyJob()
    #expect(try job.train(.ranks(4), output: "out").status == 0)
    let trained = "out/artifacts/tiny-train.safetensors"
    let shipped = "out/artifacts/tiny-deploy.safetensors"

    let evaluations = try [trained, shipped].map { model in
      try object(
        job.run(["evaluate", model, "--config", TinyJob.configuration, "--json"]))
    }
    #expect(evaluations.map { $0["form"] as? String } == ["training", "deploy"])
    let top1 = try evaluations.map { try #require($0["top1"] as? Double) }
    #expect(top1[0] == top1[1])
    let told = try job.metrics(of: "out").last { $0.event == "evaluation" }
    #expect(told?.members["top1"] as? Double == top1[1])

    let fused = try job.run(
      ["fuse", trained, "--output", "fused.safetensors", "--certificate", "fused.json"])
    #expect(fused.status == 0, "\(fused.stderr)")
    let (own, theirs) = (
      try NamedTensors.readSafetensors(path: job.scratch.path("fused.safetensors")),
      try NamedTensors.readSafetensors(path: job.scratch.path(shipped))
    )
    #expect(own.names == theirs.names)
    #expect(own.names.allSatisfy { own[$0] == theirs[$0] })

    let inspected = try object(job.run(["inspect", trained, "--json"]))
    #expect(try inspected["weights_sha256"] as? String == job.hash(of: "out"))
    let plan = try object(try job.scratch.text(of: "out/plan.json"))
    let parameters = try #require(plan["parameters"] as? [String: Any])
    #expect(parameters["training"] as? Int == inspected["parameters"] as? Int)
    #expect(try object(try job.scratch.text(of: "out/artifacts/certificate.json")).count > 0)
    #expect(
      try job.scratch.text(of: "out/config.yaml") == job.scratch.text(of: TinyJob.configuration))
  }

  /// A network with squeeze-and-excitation through a checkpoint on other ranks, the fuse, and
  /// evaluation in both forms, also from files with timm's names.
  @Test func excitedNetworksAreDelivered() throws {
    let variant = try #require(TrainingVariant.all.last)
    let job = try TinyJob(variant.configuration)
    #expect(
      try job.train(.ranks(2), output: "out", ["--set", "training.max_steps=13"]).status == 0)
    let resumed = try job.train(.ranks(4), output: "out")
    #expect(resumed.status == 0, "\(resumed.stderr)")
    #expect(try job.metrics(of: "out").filter { $0.event == "step" }.map(\.step) == Array(1...30))
    #expect(try job.train(output: "whole").status == 0)
    #expect(try job.hash(of: "out") == job.hash(of: "whole"))
    let top1 = try job.metrics(of: "out").last { $0.event == "evaluation" }?.members["top1"]
    #expect(try #require(top1 as? Double) > 0.3)

    let certificate = try object(try job.scratch.text(of: "out/artifacts/certificate.json"))
    #expect((certificate["failures"] as? [Any])?.isEmpty == true)
    for form in ["train", "deploy"] {
      let path = job.scratch.path("out/artifacts/tiny-\(form).safetensors")
      let tensors = try NamedTensors.readSafetensors(path: path)
      #expect(tensors.names.filter { $0.contains(".se.") }.count == 4 * 4)
      var renamed = NamedTensors()
      for (name, tensor) in tensors { renamed[timmName(name)] = tensor }
      try job.scratch.write(renamed.safetensorsBytes(), to: "timm-\(form).safetensors")
      for model in [path, "timm-\(form).safetensors"] {
        let result = try object(
          job.run(["evaluate", model, "--config", TinyJob.configuration, "--json"]))
        #expect(result["top1"] as? Double == top1 as? Double)
      }
    }
  }

  private func timmName(_ name: String) -> String {
    var name = name.replacing("linear.", with: "head.fc.").replacing("stage0.", with: "stem.")
    for stage in 1...2 {
      name = name.replacing("stage\(stage).", with: "stages.\(stage - 1).")
    }
    for (published, theirs) in [
      ("rbr_dense", "conv_kxk"), ("rbr_1x1", "conv_1x1"), ("rbr_identity", "identity"),
      ("rbr_reparam", "reparam_conv"), ("se.down", "attn.fc1"), ("se.up", "attn.fc2"),
    ] { name = name.replacing(published, with: theirs) }
    return name
  }

  @Test func theSameRunGivesTheSameFiles() throws {
    let job = try TinyJob()
    #expect(try job.train(.ranks(2), output: "one").status == 0)
    #expect(try job.train(.ranks(4), output: "two").status == 0)
    let names = try FileManager.default.contentsOfDirectory(
      atPath: job.scratch.path("one/artifacts"))
    #expect(names.count >= 3)
    for name in names {
      let files = ["one", "two"].map {
        FileManager.default.contents(atPath: job.scratch.path("\($0)/artifacts/\(name)"))
      }
      #expect(files[0] != nil && files[0] == files[1], "\(name)")
    }
    // Once more over the finished run: nothing is trained, nothing changes.
    let again = try job.train(.ranks(2), output: "one")
    #expect(again.status == 0, "\(again.stderr)")
    #expect(try job.hash(of: "one") == job.hash(of: "two"))
    #expect(try job.metrics(of: "one").filter { $0.event == "step" }.count == 30)
  }

  @Test func runsAreCollected() throws {
    let job = try TinyJob()
    for name in ["one", "two"] {
      #expect(try job.train(output: name, ["--set", "name=\(name)"]).status == 0)
    }
    // A collection may be renewed; of equal work the names decide the order.
    for options in [[], ["--measure"]] {
      let result = try job.run(["collect", "two", "one", "--output", "all"] + options)
      #expect(result.status == 0, "\(result.stderr)")
      #expect(result.stdout.contains("deploy MACs"))
      #expect(result.stdout.contains("inference images/s") == !options.isEmpty)
    }
    let table = try JSONSerialization.jsonObject(
      with: Data(job.scratch.text(of: "all/table.json").utf8))
    let rows = try #require(table as? [[String: Any]])
    #expect(rows.map { $0["name"] as? String } == ["one", "two"])
    #expect(
      try rows.map { $0["weights_sha256"] as? String }
        == ["one", "two"].map { try job.hash(of: $0) })
    for name in ["one", "two"] {
      let files = ["\(name)/artifacts", "all/\(name)"].map {
        FileManager.default.contents(
          atPath: job.scratch.path("\($0)/\(name)-deploy.safetensors"))
      }
      #expect(files[0] != nil && files[0] == files[1])
    }
    for key in ["top5", "training_images_per_second", "inference_images_per_second"] {
      #expect(rows.allSatisfy { ($0[key] as? Double ?? 0) > 0 }, "\(key)")
    }
    #expect(
      try job.scratch.text(of: "all/table.md").contains("| [one](one/one-card.md) | custom |"))
    let lines = try job.scratch.text(of: "all/table.csv").split(separator: "\r\n")
    #expect(lines.count == 3)
    #expect(lines.allSatisfy { $0.split(separator: ",").count == 13 })

    let renewed = try job.run(["collect", "two", "--output", "all"])
    #expect(renewed.stdout.contains("left as they were, not in the table: one"))
    #expect(try !job.scratch.text(of: "all/table.md").contains("| [one]"))

    let card = "two/artifacts/two-card.md"
    try job.scratch.write(try job.scratch.text(of: card) + "99 % more\n", to: card)
    let spoiled = try job.run(["collect", "two", "--output", "all"])
    #expect(spoiled.status == 65)
    #expect(spoiled.stderr.contains("two-card.md is not what the certificate was made for"))
  }

  private func object(_ result: ProgramResult) throws -> [String: Any] {
    #expect(result.status == 0, "\(result.stderr)")
    return try object(result.stdout)
  }

  private func object(_ text: String) throws -> [String: Any] {
    let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
    return try #require(object as? [String: Any])
  }
}

/// The job that `launch/quickstart` runs, its first steps.
enum Quickstart {
  static let configuration = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("configs/quickstart.yaml").path
  static let isPossible = [configuration, "/usr/share/datasets/fashion-mnist"].allSatisfy(
    FileManager.default.fileExists(atPath:))
}

extension ProgramTests.TrainingTests {
  @Test(
    .enabled(
      if: Quickstart.isPossible,
      "needs configs/quickstart.yaml and Fashion-MNIST (Debian: dataset-fashion-mnist)"))
  func quickstartHasOneHash() throws {
    let job = try TinyJob()
    let settings = [
      "training.max_steps=60", "evaluation.every_epochs=0", "data.test_limit=200",
    ].flatMap { ["--set", $0] }
    var hashes: Set<String> = []
    let worlds: [(ranks: Int, threads: Int)] = [(1, 2), (2, 1), (4, 1), (8, 1)]
    for (index, world) in worlds.enumerated() {
      let result = try MPIRun.run(
        ranks: world.ranks,
        ["train", Quickstart.configuration, "--output", "out\(index)", "--quiet"] + settings
          + ["--threads", "\(world.threads)"],
        directory: job.scratch.path, timeout: 900)
      #expect(result.status == 0, "\(world): \(result.stderr)")
      hashes.insert(try job.hash(of: "out\(index)"))
    }
    #expect(hashes.count == 1)
  }
}

extension ProgramTests.TrainingTests {
  /// So little that MPI or a thread of it would end by a signal or hang, another way each time.
  @Test(
    .enabled(
      if: MisconfiguredMachine.startsInLittleSpace, "a sanitizer's build needs more address space"),
    arguments: [150, 300, 450])
  func aRankWithoutAddressSpaceSaysSo(megabytes: Int) throws {
    let job = try TinyJob()
    let limited =
      "[ \"$OMPI_COMM_WORLD_RANK\" = 2 ] || exec \"$0\" \"$@\"; "
      + "exec prlimit --as=\(megabytes)000000 \"$0\" \"$@\""
    let result = try MPIJob(
      ranks: 4, wrapper: ["sh", "-c", limited],
      ["train", TinyJob.configuration, "--output", "out"], directory: job.scratch.path, timeout: 60
    ).wait()
    #expect(result.status == 78, "\(result.stderr)")
    #expect(
      result.complaints.contains {
        $0.contains("rank 2 on ")
          && $0.contains("the address space is limited to \(megabytes).0 MB (ulimit -v)")
      }, "\(result.stderr)")
  }
}
