import Foundation
import RunPlanning
import Testing

/// The recipes in configs/imagenet and configs/cifar100 against the paper.
struct RecipeTests {
  enum Recipe: String, Sendable {
    case light, heavy, published

    var epochs: Int { self == .heavy ? 200 : 120 }
  }

  /// One configuration: a network, a recipe, what the paper (or its code) reports of the two.
  struct Row: Sendable, CustomTestStringConvertible {
    var network: String
    var recipe: Recipe
    /// Trainable, in training form.
    var parameters: Int
    var top1: String?

    init(_ network: String, _ recipe: Recipe, _ parameters: Int, _ top1: String? = nil) {
      (self.network, self.recipe, self.parameters, self.top1) = (network, recipe, parameters, top1)
    }

    var name: String { "repvgg-\(network.lowercased())-\(recipe.rawValue)" }
    var path: String { "configs/imagenet/\(name).yaml" }
    var testDescription: String { name }
  }

  /// Ding et al., CVPR 2021, tables 2, 4 and 5, and the published code.
  static let rows: [Row] = [
    Row("A0", .light, 9_108_968, "72.41"), Row("A0", .published, 9_108_968, "72.44"),
    Row("A1", .light, 14_092_264, "74.46"), Row("A2", .light, 28_210_600, "76.48"),
    Row("B0", .light, 15_817_960, "75.14"), Row("B1", .light, 57_415_016, "78.37"),
    Row("B1", .published, 57_415_016, "78.38"), Row("B1g2", .light, 45_782_376, "77.78"),
    Row("B1g4", .light, 39_966_056, "77.58"), Row("B2", .light, 89_022_376, "78.78"),
    Row("B2g2", .light, 70_846_376), Row("B2g4", .light, 61_758_376, "78.50"),
    Row("B2g4", .heavy, 61_758_376, "79.38"), Row("B3", .heavy, 123_085_288, "80.52"),
    Row("B3g2", .heavy, 96_911_848), Row("B3g4", .heavy, 83_825_128, "80.21"),
    Row("D2se", .heavy, 133_334_836, "83.55"),
  ]

  static func load(_ path: String) throws -> RunConfig {
    try RunConfig.load(path: "\(DocumentedCommand.root)/\(path)")
  }

  @Test func everyNetworkHasOneAndEveryFileIsKnown() throws {
    let files = try FileManager.default.contentsOfDirectory(
      atPath: "\(DocumentedCommand.root)/configs/imagenet")
    #expect(files.sorted() == Self.rows.map { "\($0.name).yaml" }.sorted())
    #expect(Set(Self.rows.map { "RepVGG-\($0.network)" }) == Set(Architecture.zoo.map(\.name)))
  }

  @Test(arguments: rows) func imageNet(_ row: Row) throws {
    let config = try Self.load(row.path)
    let plan = try RunPlan.resolve(
      config: config, worldSize: 8, threads: 1, data: .assumed(for: config),
      machine: MachineSummary(
        cpu: "", physicalMemoryBytes: 0, cores: 2, blasKernel: "", blasEnvironment: [:],
        mpiVersion: "", programVersion: ""))
    #expect(plan.config.model.architecture.name == "RepVGG-\(row.network)" && plan.classes == 1000)
    #expect(plan.trainingTable.parameterCount == row.parameters)
    #expect(plan.stepsPerEpoch == 5005 && plan.totalSteps == 5005 * row.recipe.epochs)
    #expect(plan.ranksShards.map(\.count) == [Int](repeating: 1, count: 8))
    #expect(plan.maximumShardSize == 32)

    let isHeavy = row.recipe == .heavy
    var training = RunConfig.Training()
    training.epochs = row.recipe.epochs
    training.batchNorm = row.recipe == .published ? .local : .sync
    training.labelSmoothing = isHeavy ? 0.1 : 0
    training.mixupAlpha = isHeavy ? 0.2 : 0
    #expect(config.training == training)
    #expect(training.globalBatch == 256 && training.cutmixAlpha == 0)
    var schedule = RunConfig.Schedule()
    (schedule.kind, schedule.learningRate, schedule.finalLearningRate) = (.cosine, 0.1, 0)
    schedule.warmupEpochs = isHeavy ? 5 : 0
    #expect(config.schedule == schedule)
    let optimizer = config.optimizer
    #expect(optimizer.momentum == 0.9 && !optimizer.nesterov && optimizer.weightDecay == 1e-4)

    let data = config.data
    #expect(data.format == .folder && data.decode == .exact && data.resolution == 224)
    #expect(data.crop == .randomResized && data.cropScale == [0.08, 1])
    #expect(data.cropRatio == [0.75, 4.0 / 3] && data.horizontalFlip && data.randomErasing == 0)
    #expect(data.augmentation == (isHeavy ? .autoAugmentImageNet : .none))
    #expect(data.mean == [0.485, 0.456, 0.406] && data.standardDeviation == [0.229, 0.224, 0.225])
    // The published evaluation: shorter side to 256, the centre's 224.
    #expect(data.evaluationResize == 0 && data.standardEvaluationSide == 256)
  }

  @Test(arguments: ["cifar100-small", "cifar100-a0"]) func cifar(_ name: String) throws {
    let config = try Self.load("configs/cifar100/\(name).yaml")
    let (data, training) = (config.data, config.training)
    #expect(data.format == .cifar100 && config.model.classes == 100)
    #expect(data.mean == [0.5071, 0.4865, 0.4409])
    #expect(data.standardDeviation == [0.2673, 0.2564, 0.2762])
    #expect(data.crop == .padded && data.cropPadding == 4 && data.horizontalFlip)
    #expect(data.augmentation == .autoAugmentCIFAR10 && training.labelSmoothing == 0.1)
    #expect(training.cutmixAlpha == 1 && training.mixupAlpha == 0)
    let assumed = DataSummary.assumed(for: config)
    #expect(assumed.trainCount == 50_000 && assumed.testCount == 10_000)
    #expect(assumed.height == 32 && assumed.width == 32 && assumed.residentBytes == 60_000 * 3073)
    let blocks = config.model.architecture.blocks(inputChannels: 3, height: 32, width: 32)
    #expect(try #require(blocks.last).outputHeight >= 4)
  }

  /// docs/recipes.md names every configuration in a row with its figure.
  @Test func theTableIsWhole() throws {
    let text = try String(
      contentsOfFile: "\(DocumentedCommand.root)/docs/recipes.md", encoding: .utf8)
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("|") }
    for row in Self.rows {
      let line = try #require(lines.first { $0.contains("[\(row.name)](") }, "\(row.name)")
      #expect(line.contains("../\(row.path)") && line.contains(row.top1 ?? "–"), "\(row.name)")
    }
    for name in ["cifar100-small", "cifar100-a0"] {
      #expect(lines.contains { $0.contains("../configs/cifar100/\(name).yaml") }, "\(name)")
    }
  }
}
