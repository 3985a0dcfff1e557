import Orchestration
import Reporting

/// `repvgg train CONFIG`: the job itself, on every rank.
enum TrainCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    StopAgreement.installHandlers()
    let options = TrainingJob.Options(
      configuration: invocation.positionals[0], overrides: invocation.texts("--set"),
      output: invocation.text("--output"), resume: resume(invocation.text("--resume")),
      progress: progress(invocation), lineWidth: lineWidth)
    let threads = invocation.text("--threads") ?? "1"
    let binds = invocation.text("--bind") == "auto"
    var watchdog: Watchdog?
    // Behind the end of MPI, in which ranks wait for each other too.
    defer { watchdog?.stop() }
    return Backend.run { backend in
      let heartbeat = try Heartbeat.make(over: backend.communicator)
      let started = Watchdog(heartbeat)
      started.start()
      watchdog = started
      // nil for `auto`.
      let placement = try RankPlacement.place(
        over: backend.communicator, threads: Int(threads), binds: binds)
      return try TrainingJob(
        options, communicator: backend.communicator, placement: placement,
        mpiVersion: backend.mpiVersion, watchdog: started
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
    invocation.flag("--quiet") ? .none : mode(invocation.text("--progress"))
  }

  /// What `--progress` asks for, or the surroundings allow.
  static func mode(_ asked: String?) -> ProgressMode {
    (asked.flatMap(ProgressMode.init) ?? .auto).resolved(
      environment: environment(["REPVGG_PROGRESS", "OMPI_COMM_WORLD_SIZE", "TERM"]),
      stdoutIsTerminal: ProgressMode.stdoutIsTerminal)
  }

  /// Columns of a line that shows progress.
  static var lineWidth: Int {
    ProgressMode.lineWidth(
      environment: environment(["COLUMNS"]), terminalWidth: ProgressMode.terminalWidth)
  }

  /// Those of the named variables that are set.
  private static func environment(_ names: [String]) -> [String: String] {
    var environment: [String: String] = [:]
    for name in names { environment[name] = Machine.environment(name) }
    return environment
  }
}
