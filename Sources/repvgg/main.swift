import Glibc
import Reporting

// The command line is read before anything else, so that help needs no mpirun. Under mpirun every
// rank reads the same one and only rank 0 speaks.
let rank = getenv("OMPI_COMM_WORLD_RANK").map { String(cString: $0) } ?? "0"
let isSpeaker = rank == "0"

// A reader that has gone away must not kill a rank: writing then fails instead.
signal(SIGPIPE, SIG_IGN)

func say(_ text: String, on descriptor: CInt) {
  if isSpeaker { TextOutput.descriptor(descriptor).write(text) }
}

do {
  let invocation = try CommandLineParser.parse(Array(CommandLine.arguments.dropFirst()))
  switch invocation.command {
  case .help:
    let topic = invocation.positionals.first.flatMap(CommandName.init)
    say(topic.map(HelpText.command) ?? HelpText.program, on: STDOUT_FILENO)
  case .version:
    say("repvgg \(Version.current)\n", on: STDOUT_FILENO)
  case .completion:
    let shell = invocation.positionals.first ?? ""
    say(ShellCompletion.script(shell: shell) ?? "", on: STDOUT_FILENO)
  default:
    say("repvgg: \(invocation.command.rawValue) is not built yet\n", on: STDERR_FILENO)
    exit(70)
  }
} catch {
  say("repvgg: \(error.message)\n", on: STDERR_FILENO)
  exit(64)
}
