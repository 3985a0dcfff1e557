import Foundation
import RunPlanning
import Testing

/// The configurations that come with the program.
struct ShippedConfigurationTests {
  static let paths: [String] = {
    let root = "\(DocumentedCommand.root)/configs"
    let names = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
    return names.sorted().filter { !$0.hasPrefix(".") && $0.contains(".") }
      .map { "\(root)/\($0)" } + ["\(DocumentedCommand.root)/Tests/Interop/a0.yaml"]
  }()

  private static func plan(_ path: String, ranks: Int, assumed: Bool = true) throws -> RunPlan {
    let config = try RunConfig.load(path: path)
    var data = DataSummary.assumed(for: config)
    data.isAssumed = assumed
    return try RunPlan.resolve(
      config: config, worldSize: ranks, threads: 1, data: data,
      machine: MachineSummary(
        cpu: "", physicalMemoryBytes: 0, cores: 2, blasKernel: "", blasEnvironment: [:],
        mpiVersion: "", programVersion: ""))
  }

  @Test func thereAreSome() {
    let names = Self.paths.map { $0.split(separator: "/").last ?? "" }
    #expect(Set(names).isSuperset(of: ["quickstart.yaml", "fashion-mnist.yaml", "custom.yaml"]))
  }

  @Test(arguments: paths) func theyPlanForEveryNumberOfRanks(_ path: String) throws {
    let shards = try RunConfig.load(path: path).training.shards
    for ranks in [1, 2, 3, 4, 8] where ranks <= shards {
      let plan = try Self.plan(path, ranks: ranks)
      #expect(plan.totalSteps > 0)
      #expect(plan.bitInvariance.isExpected == (ranks != 3), "\(path), \(ranks) ranks")
    }
  }

  @Test(arguments: paths) func theyTrainIfTheyNameData(_ path: String) throws {
    let plan = try Self.plan(path, ranks: 1, assumed: false)
    if plan.config.data.isNamed {
      try plan.requireTrainable()
    } else {
      #expect(throws: ConfigurationError.self) { try plan.requireTrainable() }
    }
  }

  @Test(arguments: paths) func theyAreNamedAfterTheirFiles(_ path: String) throws {
    // launch/quickstart and launch/interop find the artifacts by this name.
    let file = try #require(path.split(separator: "/").last)
    #expect(try RunConfig.load(path: path).name == file.dropLast(".yaml".count))
  }
}
