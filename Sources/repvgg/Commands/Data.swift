import Glibc
import ImageData
import Orchestration
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
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      return try DataSource(config: RunConfig.load(path: path, overrides: overrides))
    }
    guard overrides.isEmpty else {
      throw JobFailure(
        .usage, "--set has no effect on the directory \(path); name a configuration instead")
    }
    return try DataSource(directory: path)
  }
}
