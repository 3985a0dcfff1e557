import Foundation
import Testing

@testable import RunPlanning

/// Plans of runs that begin with smaller images.
struct PhaseTests {
  static let growing = """
    model:
      architecture: {stem: 8, depths: [2, 2], widths: [8, 16]}
      strides: [1, 2, 2]
    data:
      directory: /data
      crop: random_resized
      resolution: 32
      resolutions: {0: 16, 1: 24, 3: 24, 4: 32}
    training: {global_batch: 32, shards: 8, epochs: 6}
    """

  @Test func oneSizeIsOnePhase() throws {
    let plan = try Sample.plan(Sample.small)
    #expect(!plan.hasPhases && plan.phases.count == 1)
    #expect(plan.phases[0].epochs == 0..<2 && plan.phases[0].blocks == plan.blocks)
    #expect(plan.phases[0].macsTraining == plan.macsTraining)
    #expect(plan.costLeft(after: 10) == Double(plan.totalSteps - 10))
    #expect(!plan.text().contains("trained on"))
  }

  @Test func epochsOfOneSizeAreOnePhase() throws {
    let plan = try Sample.plan(Self.growing)
    #expect(plan.phases.map(\.height) == [16, 24, 32])
    #expect(plan.phases.map(\.epochs) == [0..<1, 1..<4, 4..<6])
    #expect((0..<7).map { plan.phase(epoch: $0).width } == [16, 24, 24, 24, 32, 32, 32])
    #expect((plan.height, plan.blocks) == (32, plan.phases[2].blocks))
    #expect(plan.phases.map { plan.steps(of: $0) } == [0..<1875, 1875..<7500, 7500..<11250])
    for phase in plan.phases {
      #expect(phase.blocks.map(\.key) == plan.blocks.map(\.key))
      #expect(phase.macsTraining == CostModel(blocks: phase.blocks, classes: 10).trainingMACs)
    }
    try plan.requireTrainable()
  }

  @Test func costsAddUp() throws {
    let plan = try Sample.plan(Self.growing)
    let macs = plan.phases.map { Double($0.macsTraining) }
    let whole = 1875 * macs[0] + 5625 * macs[1] + 3750 * macs[2]
    let time = plan.estimate(gigaflopsPerCore: 100)
    #expect(abs(time.secondsTotal / time.secondsPerStep - whole / macs[2]) < 1e-6)
    #expect(abs(plan.costLeft(after: 0) - whole / macs[0]) < 1e-6)
    // The first phase's last step is still of the first size.
    #expect(abs(plan.costLeft(after: 1875) - (whole / macs[0] - 1875)) < 1e-6)
    #expect(
      abs(plan.costLeft(after: 1876) - (5624 + 3750 * macs[2] / macs[1])) < 1e-6)
    #expect(plan.costLeft(after: plan.totalSteps) == 0)
    let short = try Sample.plan(Self.growing, set: ["training.max_steps=2000"])
    #expect(short.phases.map { short.steps(of: $0).count } == [1875, 125, 0])
    #expect(short.costLeft(after: 1999) == 1)
  }

  @Test func memoryIsThatOfTheLargest() throws {
    let plan = try Sample.plan(Self.growing)
    let largest = try Sample.plan(Self.growing, set: ["data.resolutions={0: 32}"])
    #expect(plan.memory == largest.memory)
    #expect(!largest.hasPhases && largest.messages == plan.messages)
  }

  @Test func textAndJSON() throws {
    let plan = try Sample.plan(Self.growing)
    #expect(
      plan.text().contains(
        """

        trained on  first epoch  epochs  steps  MACs an image  of the work
        16 x 16               0       1  1,875        164,000        6.4 %
        24 x 24               1       3  5,625        368,800       42.9 %
        32 x 32               4       2  3,750        655,520       50.8 %

        """), "\(plan.text())")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(plan.json().utf8)) as? [String: Any])
    let phases = try #require(object["phases"] as? [[String: Int]])
    #expect(
      phases[1] == [
        "first_epoch": 1, "epochs": 3, "height": 24, "width": 24, "steps": 5625,
        "macs_training": plan.phases[1].macsTraining,
      ])
    #expect(phases.count == 3)
  }

  @Test func kernelsOfAllSizesAreRecorded() throws {
    let plan = try Sample.plan(Self.growing)
    #expect(plan.kernels.paths.values.reduce(0, +) == 3 * plan.blocks.count)
  }

  /// Sixteen pixels are one behind four halvings; the full size leaves four.
  @Test(arguments: [
    ("sync", "global_batch: 1, shards: 1", "1 image a batch"),
    ("sync", "global_batch: 3, shards: 1", "the last batch of an epoch has 1 of 10"),
    ("local", "global_batch: 8, shards: 8", "1 image a shard"),
  ])
  func aSizeThatCannotBeNormalised(mode: String, batch: String, says: String) throws {
    let text = """
      model: {architecture: {stem: 8, depths: [1, 1, 1], widths: [8, 8, 8]}}
      data: {directory: /data, crop: random_resized, resolution: 32, resolutions: {0: 16, 1: 32}}
      training: {\(batch), epochs: 2, batch_norm: \(mode)}
      """
    var data = Sample.fashion
    data.trainCount = 10
    let error = try #require(throws: ConfigurationError.self) {
      try Sample.plan(text, data: data)
    }
    #expect(error.key == "data.resolutions" && error.kind == .configuration)
    #expect(error.problem.hasPrefix("on 16 x 16 pixels: ") && error.problem.contains(says))
    _ = try Sample.plan(text, set: ["data.resolutions={0: 17, 1: 32}"], data: data)
  }
}
