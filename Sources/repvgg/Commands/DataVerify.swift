import Orchestration

/// `repvgg data verify SOURCE`.
enum DataVerifyCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let source = try DataCommand.source(invocation)
    for split in source.splits { Speaker.say("\(split.name): \(split.dataset.count) images") }
    return .done
  }
}
