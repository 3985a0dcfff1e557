import Glibc
import ImageData
import Orchestration
import Reporting
import RunPlanning

/// `repvgg data ACTION SOURCE`.
enum DataCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    switch invocation.positionals[0] {
    case "pack": try DataPackCommand.run(invocation)
    case "show": try DataShowCommand.run(invocation)
    default: try DataVerifyCommand.run(invocation)
    }
  }

  /// What SOURCE names: a directory, or a configuration with its overrides.
  static func source(_ invocation: Invocation) throws -> DataSource {
    let (path, overrides) = (invocation.positionals[1], invocation.texts("--set"))
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw JobFailure(
        .missingInput,
        "\(path): \(String(cString: strerror(errno))); name a configuration or a directory of images"
      )
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      return try DataSource(config: RunConfig.load(path: path, overrides: overrides))
    }
    guard overrides.isEmpty else {
      throw JobFailure(
        .usage, "--set has no effect on the directory \(path); name a configuration instead")
    }
    return try DataSource(directory: path)
  }

  /// The processors that this process may use, unless it is told.
  static func threads(_ invocation: Invocation) -> Int {
    invocation.integer("--threads") ?? Machine.cores
  }

  static func progress(_ invocation: Invocation, title: String) -> WorkProgress {
    let clock = ContinuousClock()
    let start = clock.now
    let mode = invocation.flag("--json") ? .none : TrainCommand.mode(invocation.text("--progress"))
    return WorkProgress(
      mode: mode, title: title, unit: "images", width: TrainCommand.lineWidth,
      clock: { (clock.now - start) / .seconds(1) })
  }
}
