import Orchestration

/// `repvgg collect RUN... --output DIR`.
enum CollectCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let output = invocation.text("--output") ?? ""
    let table = try Collection(runs: invocation.positionals, output: output).gather()
    Speaker.say(table + "\nartifacts and this table: \(output)")
    return .done
  }
}
