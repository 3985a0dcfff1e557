import Glibc
import Orchestration

// The command line is read before anything else, so that help needs no mpirun. Under mpirun every
// rank reads the same one and only rank 0 speaks.

// Writing to a reader that has gone away, or beyond a file size limit, fails instead of killing.
signal(SIGPIPE, SIG_IGN)
signal(SIGXFSZ, SIG_IGN)

// Where a standard stream is closed, the next file to be opened would take its place and, with it, what
// is said. Opened the wrong way round, so that using it still fails.
for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
where fcntl(descriptor, F_GETFD) == -1 {
  _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
}

/// Commands that need no other rank: they run where they speak.
func alone(_ body: () throws -> ExitCode) -> Int32 {
  guard Speaker.isSpeaker else { return ExitCode.done.rawValue }
  do {
    return try body().rawValue
  } catch {
    Speaker.complain("\(error)")
    return ExitCode.of(error).rawValue
  }
}

func run(_ invocation: Invocation) -> Int32 {
  switch invocation.command {
  case .train: return TrainCommand.run(invocation)
  case .evaluate: return EvaluateCommand.run(invocation)
  case .replay: return ReplayCommand.run(invocation)
  case .bench: return BenchCommand.run(invocation)
  case .doctor: return DoctorCommand.run(invocation)
  case .hosts: return alone { try HostsCommand.run(invocation) }
  case .plan: return alone { try PlanCommand.run(invocation) }
  case .fuse: return alone { try FuseCommand.run(invocation) }
  case .certify: return alone { try CertifyCommand.run(invocation) }
  case .classify: return alone { try ClassifyCommand.run(invocation) }
  case .convert: return alone { try ConvertCommand.run(invocation) }
  case .inspect: return alone { try InspectCommand.run(invocation) }
  case .collect: return alone { try CollectCommand.run(invocation) }
  case .data: return alone { try DataCommand.run(invocation) }
  case .checkpoint: return alone { try CheckpointCommand.run(invocation) }
  case .help:
    let topic = invocation.positionals.first.flatMap(CommandName.init)
    Speaker.say(topic.map(HelpText.command) ?? HelpText.program)
  case .version: Speaker.say("repvgg \(Version.current)")
  case .completion:
    Speaker.say(ShellCompletion.script(shell: invocation.positionals.first ?? "") ?? "")
  }
  return ExitCode.done.rawValue
}

/// Ends the process without what libraries do on `exit`: OpenBLAS's threads, which it would wait for,
/// ask for memory without end where the address space is short.
func leave(_ code: Int32) -> Never {
  fflush(nil)
  _exit(code)
}

do {
  let invocation = try CommandLineParser.parse(Array(CommandLine.arguments.dropFirst()))
  leave(Speaker.exitCode(run(invocation)))
} catch {
  // The others end quietly: mpirun kills a job at the first code that is not 0, and would kill rank
  // 0 before it has spoken.
  guard Speaker.isSpeaker else { leave(ExitCode.done.rawValue) }
  Speaker.complain(error.message)
  leave(ExitCode.usage.rawValue)
}
