import Orchestration

/// `repvgg collect RUN... --output DIR`.
enum CollectCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let output = invocation.text("--output") ?? ""
    if invocation.flag("--measure") { try Machine.requireBuiltForProcessor() }
    let collection = Collection(
      runs: invocation.positionals, output: output,
      measure: invocation.flag("--measure") ? { try InferenceBenchmark.speed(of: $0) } : nil)
    Speaker.say(try collection.gather() + "\nartifacts and this table: \(output)")
    return .done
  }
}
