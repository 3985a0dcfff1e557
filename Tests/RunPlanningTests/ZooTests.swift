import Testing

@testable import RunPlanning

/// The published table of the paper and its code: 1000 classes, 224 x 224 x 3.
struct ZooTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let name: String
    let trainingParameters: Int
    let deployParameters: Int
    /// In thousandths of 10^9.
    let deployMACs: Int
    let trainingMACs: Int
    /// In hundredths of 10^9.
    let winograd: Int
    let trainingKeys: Int
    let deployKeys: Int

    init(
      _ name: String, _ trainingParameters: Int, _ deployParameters: Int, _ deployMACs: Int,
      _ trainingMACs: Int, _ winograd: Int, keys: (Int, Int)
    ) {
      self.name = "RepVGG-" + name
      self.trainingParameters = trainingParameters
      self.deployParameters = deployParameters
      self.deployMACs = deployMACs
      self.trainingMACs = trainingMACs
      self.winograd = winograd
      (trainingKeys, deployKeys) = keys
    }

    var testDescription: String { name }
  }

  static let table = [
    Row("A0", 9_108_968, 8_309_384, 1361, 1513, 75, keys: (351, 46)),
    Row("A1", 14_092_264, 12_789_864, 2364, 2626, 127, keys: (351, 46)),
    Row("A2", 28_210_600, 25_499_944, 5117, 5685, 266, keys: (351, 46)),
    Row("B0", 15_817_960, 14_339_048, 3058, 3397, 158, keys: (453, 58)),
    Row("B1", 57_415_016, 51_829_480, 11815, 13128, 590, keys: (453, 58)),
    Row("B1g2", 45_782_376, 41_360_104, 8810, 9788, 457, keys: (453, 58)),
    Row("B1g4", 39_966_056, 36_125_416, 7307, 8119, 390, keys: (453, 58)),
    Row("B2", 89_022_376, 80_315_112, 18377, 20418, 914, keys: (453, 58)),
    Row("B2g2", 70_846_376, 63_956_712, 13680, 15200, 705, keys: (453, 58)),
    Row("B2g4", 61_758_376, 55_777_512, 11332, 12591, 601, keys: (453, 58)),
    Row("B3", 123_085_288, 110_960_872, 26209, 29121, 1291, keys: (453, 58)),
    Row("B3g2", 96_911_848, 87_404_776, 19446, 21606, 991, keys: (453, 58)),
    Row("B3g4", 83_825_128, 75_626_728, 16064, 17849, 840, keys: (453, 58)),
    Row("D2se", 133_334_836, 120_387_572, 32830, 36477, 1556, keys: (985, 290)),
  ]

  @Test func zooIsTheTable() {
    #expect(Architecture.zoo.map(\.name) == Self.table.map(\.name))
  }

  @Test(arguments: table) func parametersAndCosts(_ row: Row) throws {
    let plan = try Sample.plan(
      "model: {architecture: \(row.name), classes: 1000}", ranks: 8, data: nil)
    #expect(plan.trainingTable.parameterCount == row.trainingParameters)
    #expect(plan.deployTable.parameterCount == row.deployParameters)
    func rounded(_ count: Int, _ unit: Int) -> Int { (count + unit / 2) / unit }
    #expect(rounded(plan.macsDeploy, 1_000_000) == row.deployMACs)
    #expect(rounded(plan.macsTraining, 1_000_000) == row.trainingMACs)
    #expect(rounded(plan.winogradMultiplications, 10_000_000) == row.winograd)
    #expect(plan.trainingTable.entries.count == row.trainingKeys)
    #expect(plan.deployTable.entries.count == row.deployKeys)
  }

  @Test(arguments: table) func stagesAddUp(_ row: Row) throws {
    let plan = try Sample.plan(
      "model: {architecture: \(row.name), classes: 1000}", ranks: 1, data: nil)
    let stages = plan.stages
    #expect(stages.map(\.trainingParameters).reduce(0, +) == row.trainingParameters)
    #expect(stages.map(\.deployParameters).reduce(0, +) == row.deployParameters)
    #expect(stages.map(\.trainingMACs).reduce(0, +) == plan.macsTraining)
    #expect(stages.map(\.deployMACs).reduce(0, +) == plan.macsDeploy)
  }

  @Test(arguments: ["A0", "a0", "repvgg_a0", "RepVGG-A0", "REPVGG-a0"])
  func namesAreForgiving(_ name: String) throws {
    let config = try Sample.config("model: {architecture: \(name)}")
    #expect(config.model.architecture == Architecture.zoo[0])
  }

  @Test func groupsOfTheZooAreThoseSpelledOut() throws {
    let config = try Sample.config(
      """
      model:
        architecture: {stem: 64, depths: [4, 6, 16, 1], widths: [128, 256, 512, 2048], groups: 4}
      """)
    let named = try #require(Architecture.zoo.first { $0.name == "RepVGG-B1g4" })
    var spelled = config.model.architecture
    #expect(spelled.name == "custom")
    spelled.name = named.name
    #expect(spelled == named)
  }
}
