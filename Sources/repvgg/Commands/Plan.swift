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
    let hosts = try invocation.text("--hosts").map { try HostList(argument: $0) }
    let worldSize = ranks.first ?? world ?? hosts?.slots ?? hosts?.hosts.count ?? 1
    let threads = invocation.text("--threads") ?? "1"
    // Threads for `auto` are known once it is known who shares a host.
    let place =
      hosts == nil && threads != "auto"
      ? nil
      : try RunPlan.Place(
        hosts: hosts ?? HostList([.init(name: "localhost", slots: worldSize)]), ranks: worldSize,
        threads: Int(threads), interface: invocation.text("--interface"))
    let plan = try RunPlan.resolve(
      config: config, worldSize: worldSize,
      threads: place?.placement.threads ?? Int(threads) ?? 1, data: try summary(config),
      machine: Machine.summary(mpiVersion: "none"))
    try InitialWeights.check(plan)
    if invocation.flag("--json") {
      Speaker.say(plan.json(placement: place?.placement))
    } else {
      // As the shell was told: a path from here, or a name on PATH.
      Speaker.say(
        plan.text(
          configuration: invocation.positionals[0], overrides: overrides,
          program: CommandLine.arguments.first ?? "repvgg", place: place))
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
