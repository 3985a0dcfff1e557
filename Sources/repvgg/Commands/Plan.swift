import ImageData
import Kernels
import Orchestration
import RunPlanning

/// `repvgg plan CONFIG`: what would run. No MPI is started, and nothing is written but a picture that was
/// asked for.
enum PlanCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let ranks = try PlanPrediction.ranks(invocation)
    if PlanPrediction.isAskedFor(invocation, ranks: ranks) {
      return try PlanPrediction(invocation, ranks: ranks).run()
    }
    let overrides = invocation.texts("--set")
    let config = try RunConfig.load(path: invocation.positionals[0], overrides: overrides)
    let world = Machine.environment("OMPI_COMM_WORLD_SIZE").flatMap { Int($0) }
    let plan = try RunPlan.resolve(
      config: config, worldSize: ranks.first ?? world ?? 1,
      threads: invocation.integer("--threads") ?? 1, data: try summary(config),
      machine: Machine.summary(mpiVersion: "none"))
    try InitialWeights.check(plan)
    if invocation.flag("--json") {
      Speaker.say(plan.json())
    } else {
      // As the shell was told: a path from here, or a name on PATH.
      Speaker.say(
        plan.text(
          configuration: invocation.positionals[0], overrides: overrides,
          program: CommandLine.arguments.first ?? "repvgg"))
    }
    return .done
  }

  /// What the data are, or the usual sizes where none are named or none are there yet.
  static func summary(_ config: RunConfig) throws -> DataSummary {
    guard config.data.isNamed else { return .assumed(for: config) }
    do {
      let (train, test) = try Datasets.open(config: config)
      return DataSummary(train: train, test: test, config: config)
    } catch {
      if error.kind == .missing { return .assumed(for: config) }
      throw error
    }
  }
}
