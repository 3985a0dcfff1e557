import Orchestration
import Reporting

/// `repvgg train CONFIG`: the job itself, on every rank.
enum TrainCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    StopAgreement.installHandlers()
    let options = TrainingJob.Options(
      configuration: invocation.positionals[0], overrides: invocation.texts("--set"),
      output: invocation.text("--output"), resume: resume(invocation.text("--resume")),
      threads: invocation.integer("--threads") ?? 1, progress: progress(invocation),
      lineWidth: ProgressMode.lineWidth(
        environment: environment(["COLUMNS"]), terminalWidth: ProgressMode.terminalWidth))
    return Backend.run { backend in
      try TrainingJob(
        options, communicator: backend.communicator, mpiVersion: backend.mpiVersion
      ).run()
    }
  }

  private static func resume(_ text: String?) -> TrainingJob.Resume {
    switch text {
    case nil, "auto": .automatic
    case "never": .never
    case .some(let path): .path(path)
    }
  }

  private static func progress(_ invocation: Invocation) -> ProgressMode {
    if invocation.flag("--quiet") { return ProgressMode.none }
    let asked = invocation.text("--progress").flatMap(ProgressMode.init) ?? .auto
    return asked.resolved(
      environment: environment(["REPVGG_PROGRESS", "OMPI_COMM_WORLD_SIZE", "TERM"]),
      stdoutIsTerminal: ProgressMode.stdoutIsTerminal)
  }

  /// Those of the named variables that are set.
  private static func environment(_ names: [String]) -> [String: String] {
    var environment: [String: String] = [:]
    for name in names { environment[name] = Machine.environment(name) }
    return environment
  }
}
