import Foundation
import Testing

@testable import RunPlanning

struct PlanTextTests {
  @Test func textOfASmallPlan() throws {
    var machine = Sample.machine
    machine.blasEnvironment = ["OPENBLAS_CORETYPE": "Haswell"]
    let plan = try Sample.plan(
      Sample.small, set: ["training.global_batch=34", "schedule.warmup_epochs=0.5"], ranks: 3,
      machine: machine)
    let text = plan.text(
      configuration: "my config.yaml", overrides: ["training.global_batch=34"],
      gigaflopsPerCore: 100)
    #expect(text == Self.expected, "\(text)")
  }

  static let expected = """
    config: custom, 10 classes, images of 28 x 28 x 1

    stage   blocks       output  groups  3x3 path              parameters  deploy form  MACs an image  deploy form
    stage0       1  8 x 28 x 28       1  recomputed                   112           80         62,720       56,448
    stage1       2  8 x 14 x 14    1, 2  direct                     1,040          880        188,160      169,344
    stage2       2   16 x 7 x 7       1  direct, winograd-4x4       4,000        3,488        188,160      169,344
    linear       1   10 x 1 x 1       1                               170          170            160          160
    total        5                                                  5,322        4,618        439,200      395,296

    batch          34 images = 8 shards of 4 or 5 (34 does not divide by 8: the first 2 have one more); 3 ranks of 3 + 3 + 2 shards, 1 thread each
    data           60,000 training and 10,000 test images
    steps          3,530: 2 epochs of 1,765, the last of an epoch with 24 images
    learning rate  cosine from 0.1 to 0, over 3,530 steps, of which linear warm-up from 0 over 0.5 epochs
    batch norm     sync: statistics of the whole global batch
    bit_invariant  no: 3 ranks are not a power of two
    inference      31.36 kB of activations an image at most in the deploy form, 53.31 kB with the branches
    BLAS           SkylakeX
    output         runs/config
    time           about 1.6 s, 0.4 ms a step, at 100 GFLOP/s a core

    memory per rank
      parameters             21.82 kB
      gradients              43.65 kB
      momentum               21.82 kB
      shard scratch          20.48 kB
      activations             1.23 MB
      activation gradients   47.04 kB
      scratch               375.89 kB
      evaluation              1.20 MB
      loader                518.99 kB
      dataset                54.88 MB
      saving                130.94 kB
      total                  58.48 MB
    memory of 3 ranks on one host: 175.19 MB

    messages per step
      forward statistics    5   2.22 kB  float64  blocking
      backward statistics   5   1.54 kB  float64  blocking
      gradients             1  20.29 kB  float32  overlapped
      step summary          1      88 B  float64  blocking
      total                12  24.13 kB

    notes
      OPENBLAS_CORETYPE=Haswell in the environment overrides OpenBLAS's own choice (now SkylakeX) and may cost half its speed; unset it.

    command
      mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -np 3 repvgg train 'my config.yaml' --threads 1 --set training.global_batch=34

    """

  @Test func commands() throws {
    let plan = try Sample.plan(Sample.small)
    #expect(
      plan.command(configuration: "c.yaml", overrides: ["name=it's", "model.strides=[1, 1, 1]"])
        == "mpirun --oversubscribe --bind-to none -np 1 repvgg train c.yaml --threads 1 "
        + "--set 'name=it'\\''s' --set 'model.strides=[1, 1, 1]'")
  }

  @Test func theCommandStartsTheProgramAtHand() throws {
    let plan = try Sample.plan(Sample.small)
    #expect(plan.command(program: "build/my repvgg").contains(" -np 1 'build/my repvgg' train "))
    #expect(plan.text(program: "./repvgg").contains(" ./repvgg train CONFIG "))
  }

  /// A host that holds two ranks of four, and one that holds all.
  @Test func ranksOfOneHostShareItsMemory() throws {
    let alone = try Sample.plan(Sample.small)
    #expect(!alone.text().contains("on one host"))
    var machine = Sample.machine
    let memory = try Sample.plan(Sample.small, ranks: 4).memory
    // Rank 0 alone saves.
    let (rank, saving) = (memory.total - memory.saving, memory.saving)
    #expect(saving > 0)
    machine.physicalMemoryBytes = 3 * rank + saving - 1
    let small = try Sample.plan(Sample.small, ranks: 4, machine: machine)
    #expect(small.memoryOfAllRanks == 4 * rank + saving)
    #expect(
      small.text().contains(
        "memory of 4 ranks on one host: \(Quantity.bytes(4 * rank + saving)), and this one has "
          + "\(Quantity.bytes(3 * rank + saving - 1)): start at most 2 ranks on one like it\n"))
    machine.physicalMemoryBytes = 4 * rank + saving
    let large = try Sample.plan(Sample.small, ranks: 4, machine: machine)
    let all = Quantity.bytes(4 * rank + saving)
    #expect(large.text().contains("memory of 4 ranks on one host: \(all)\n"))
    #expect(large.json().contains("\"all_ranks\": \(4 * rank + saving)"))
  }

  @Test(arguments: [
    ("kind: constant", "0.1 throughout, over 3,750 steps"),
    ("final_learning_rate: 0.001", "cosine from 0.1 to 0.001, over 3,750 steps"),
    (
      "kind: step, milestones: [1, 1.5]",
      "0.1, times 0.1 after epochs 1, 1.5, over 3,750 steps"
    ),
    (
      "kind: poly, warmup_epochs: 1, warmup_start: 0.5",
      "from 0.1 to 0 by (1 - progress)^0.9, over 3,750 steps, of which linear warm-up from 0.05 "
        + "over 1 epochs"
    ),
  ])
  func schedules(_ keys: String, _ words: String) throws {
    let plan = try Sample.plan("\(Sample.small)\nschedule: {\(keys)}")
    #expect(plan.scheduleText == words)
  }

  @Test func ignoredKeysAreNoted() throws {
    let plan = try Sample.plan(
      Sample.small, set: ["schedule.milestones=[1]", "schedule.power=2"])
    #expect(
      plan.notes == [
        "schedule.milestones has no effect on cosine.", "schedule.power has no effect on cosine.",
      ])
  }

  @Test func jsonIsStableAndComplete() throws {
    let plan = try Sample.plan(Sample.small, ranks: 3)
    #expect(try plan.json() == Sample.plan(Sample.small, ranks: 3).json())
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(plan.json().utf8)) as? [String: Any])
    let parameters = try #require(object["parameters"] as? [String: Int])
    #expect(parameters["training"] == plan.trainingTable.parameterCount)
    #expect(parameters["deploy"] == plan.deployTable.parameterCount)
    let macs = try #require(object["macs"] as? [String: Int])
    #expect(macs["training"] == plan.macsTraining)
    #expect(macs["deploy"] == plan.macsDeploy)
    let stages = try #require(object["stages"] as? [[String: Any]])
    #expect(
      stages.map { $0["path"] as? String } == ["recomputed", "direct", "direct, winograd-4x4", nil])
    let kernels = try #require(object["kernels"] as? [String: Any])
    #expect(
      kernels["paths"] as? [String: Int] == ["recomputed": 1, "direct": 3, "winograd-4x4": 1])
    #expect(kernels["panel_width"] as? Int == 16)
    let messages = try #require(object["messages"] as? [[String: Any]])
    #expect(messages.count == plan.messages.count)
    let configuration = try #require(object["configuration"] as? [String: Any])
    let training = try #require(configuration["training"] as? [String: Any])
    #expect(training["global_batch"] as? Int == 32)
    let model = try #require(configuration["model"] as? [String: Any])
    #expect((model["architecture"] as? [String: Any])?["stem"] as? Int == 8)
    #expect(plan.json().contains("\"expected\": false"))
  }

  /// What `plan.json` records under `configuration` is itself a configuration that gives the plan.
  @Test func recordedConfigurationDecodes() throws {
    let config = try Sample.config(Sample.small, set: ["training.seed=7", "data.train_limit=99"])
    let again = try Sample.config(config.json.compact)
    #expect(again == config)
  }

  @Test func quantities() {
    #expect(Quantity.grouped(9_108_968) == "9,108,968")
    #expect(Quantity.grouped(-1000) == "-1,000")
    #expect(Quantity.grouped(12) == "12")
    #expect(Quantity.bytes(640) == "640 B")
    #expect(Quantity.bytes(26_542_080) == "26.54 MB")
    #expect(Quantity.macs(1_512_581_120) == "1.513 G")
    #expect(Quantity.macs(1_376_256) == "1.376 M")
    #expect(Quantity.macs(37_632) == "37,632")
    #expect(Quantity.duration(0.0008) == "0.8 ms")
    #expect(Quantity.duration(12.49) == "12.5 s")
    #expect(Quantity.duration(245) == "4 min 5 s")
    #expect(Quantity.duration(12_000) == "3 h 20 min")
    #expect(Quantity.decimal(-0.001, places: 2) == "0.00")
    #expect(Quantity.decimal(2.5, places: 0) == "3")
  }

  @Test func jsonEscapes() {
    #expect(JSONText.string("a\"b\\c\n\u{1}é").compact == "\"a\\\"b\\\\c\\n\\u0001é\"")
    #expect(JSONText.number(.infinity).compact == "null")
    #expect(JSONText.array([.null, .boolean(true)]).compact == "[null, true]")
  }
}

struct ReferenceTests {
  private func document(_ name: String = "configuration") throws -> String {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    return try String(
      contentsOf: root.appendingPathComponent("docs/\(name).md"), encoding: .utf8)
  }

  /// What augments is explained: every key and every policy.
  @Test func augmentationIsExplained() throws {
    let document = try document("augmentation")
    let keys = ConfigurationKey.all.map(\.path).filter { path in
      ["data.crop", "data.random", "data.rand", "data.augment", "data.horizontal", "data.resol"]
        .contains { path.hasPrefix($0) } || path.hasSuffix("_alpha") || path.hasSuffix("_smoothing")
        || path.hasSuffix("_decay") && path.hasPrefix("training.")
    }
    #expect(keys.count >= 14)
    for key in keys where key != "data.resolution" {
      #expect(document.contains("`\(key)"), "\(key)")
    }
    for policy in RunConfig.Augmentation.allCases {
      #expect(
        document.contains("`\(policy.rawValue)`") || document.contains(": \(policy.rawValue)"))
    }
  }

  @Test func documentCarriesTheReference() throws {
    let document = try document()
    let begin = try #require(document.range(of: ConfigurationReference.beginning))
    let end = try #require(document.range(of: ConfigurationReference.end))
    let generated = String(document[begin.lowerBound..<end.upperBound]) + "\n"
    let expected = ConfigurationReference.markdown()
    #expect(generated == expected, "put this between the markers:\n\(expected)")
  }

  /// Every example in the document is a configuration that decodes and plans.
  @Test func examplesDecode() throws {
    let parts = try document().components(separatedBy: "```yaml\n").dropFirst()
    #expect(parts.count >= 2)
    for part in parts {
      let text = try #require(part.components(separatedBy: "```").first)
      let plan = try Sample.plan(text, ranks: 8, data: nil)
      #expect(plan.totalSteps > 0)
    }
  }

  @Test func keysAreSound() {
    for key in ConfigurationKey.all {
      #expect(key.meaning.hasSuffix("."), "\(key.path)")
      #expect(!key.defaultText.isEmpty, "\(key.path)")
      #expect(key.path.allSatisfy { $0.isLowercase || $0 == "_" || $0 == "." }, "\(key.path)")
    }
    #expect(ConfigurationKey.byPath.count == ConfigurationKey.all.count)
  }
}
