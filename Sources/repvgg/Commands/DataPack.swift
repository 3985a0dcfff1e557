import Orchestration

/// `repvgg data pack SOURCE`.
enum DataPackCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let source = try DataCommand.source(invocation)
    for split in source.splits { Speaker.say("\(split.name): \(split.dataset.count) images") }
    return .done
  }
}
