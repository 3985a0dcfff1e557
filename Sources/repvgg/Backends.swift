import Collectives
import Failpoints
import Glibc
import MPICollectives
import Orchestration
import Synchronization

/// The one place that picks between MPI and a rank alone.
struct Backend {
  let communicator: any Communicator
  /// Library and version for plan and metrics, e.g. `Open MPI v4.1.4`; `none` alone.
  let mpiVersion: String
  private let environment: MPIEnvironment?

  /// Under mpirun starts MPI, else a communicator of one rank.
  static func start(computes: Bool) throws -> Backend {
    Failpoint.pass(.beforeMPI)
    guard MPIEnvironment.isUnderMPIRun else {
      if computes { try requireAlone() }
      return Backend(communicator: SoloCommunicator(), mpiVersion: "none", environment: nil)
    }
    try Machine.requireSpaceForMPI()
    let environment = try StartWatch.during { try MPIEnvironment() }
    Failpoint.pass(.afterMPI)
    return Backend(
      communicator: environment.communicator, mpiVersion: environment.libraryVersion,
      environment: environment)
  }

  /// Slurm starts as many processes as a job has tasks; without PMIx none of them knows of the others.
  private static func requireAlone() throws {
    guard let tasks = Machine.environment("SLURM_STEP_NUM_TASKS").flatMap({ Int($0) }), tasks > 1
    else { return }
    throw JobFailure(
      .configuration,
      "srun started \(tasks) tasks, but not for MPI: each would train alone; use srun --mpi=pmix, or "
        + "launch/train on the job's nodes")
  }

  /// Runs `body` on this rank and ends communication; the exit code of the process. `computes`: whether
  /// the kernels are used, which then must have been built for this CPU.
  ///
  /// A `JobFailure` is agreed on by all ranks: rank 0 says it, and all end in order with its code.
  /// Any other error is this rank's alone, so the job is aborted: the others may be waiting.
  static func run(computes: Bool = true, _ body: (Backend) throws -> ExitCode) -> Int32 {
    let backend: Backend
    do {
      backend = try start(computes: computes)
    } catch {
      Speaker.complain("\(error)")
      return ExitCode.of(error).rawValue
    }
    let code: ExitCode
    do {
      if computes {
        try Agreement.all(backend.communicator) { try Machine.requireBuiltForProcessor() }
      }
      code = try body(backend)
    } catch let failure as JobFailure {
      if backend.communicator.rank == 0 { Speaker.complain(failure.description) }
      code = failure.code
    } catch {
      return backend.abort(error)
    }
    Failpoint.pass(.ending)
    do {
      try backend.environment?.finalize()
    } catch {
      return backend.abort(error)
    }
    return code.rawValue
  }

  private func abort(_ error: any Error) -> Int32 {
    let code = ExitCode.of(error).rawValue
    let name = Machine.name(ofRank: communicator.rank, of: communicator.size)
    let place = communicator.size > 1 ? "\(name): " : ""
    Speaker.complain("\(place)\(error)")
    if environment != nil { MPIEnvironment.abort(code: code) }
    return code
  }
}

/// What the program says: results on stdout, one line for an error on stderr.
enum Speaker {
  /// Under mpirun only rank 0 speaks, before and without MPI.
  static var isSpeaker: Bool { (Machine.environment("OMPI_COMM_WORLD_RANK") ?? "0") == "0" }

  /// `errno` of the first text that stdout did not take; 0 while it takes all.
  private static let failure = Atomic<Int32>(0)

  /// Text for stdout, a newline after it if it has none. After a failure nothing more is said.
  static func say(_ text: String) {
    guard isSpeaker, failure.load(ordering: .relaxed) == 0 else { return }
    failure.store(
      write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO), ordering: .relaxed)
  }

  /// The process's exit code where the command's own is `code`: whoever relies on the output must
  /// learn that some of it is missing. A reader that has gone away (`| head -1`) wants no more.
  static func exitCode(_ code: Int32) -> Int32 {
    let failure = failure.load(ordering: .relaxed)
    guard code == ExitCode.done.rawValue, failure != 0, failure != EPIPE else { return code }
    complain("standard output: \(String(cString: strerror(failure))); free space or redirect it")
    return ExitCode.inputOutput.rawValue
  }

  /// One line on stderr, whatever the message holds.
  static func complain(_ message: String) {
    let line = message.map { $0.isNewline ? " " : String($0) }.joined()
    write("repvgg: \(line)\n", to: STDERR_FILENO)
  }

  /// 0, or `errno` where not all of the text could be written.
  @discardableResult
  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if count == 0 {
        return EIO
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}
