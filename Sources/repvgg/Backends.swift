import Collectives
import Glibc
import MPICollectives
import Orchestration

/// The one place that picks between MPI and a rank alone.
struct Backend {
  let communicator: any Communicator
  /// Library and version for plan and metrics, e.g. `Open MPI v4.1.4`; `none` alone.
  let mpiVersion: String
  private let environment: MPIEnvironment?

  /// Under mpirun starts MPI, else a communicator of one rank.
  static func start() throws -> Backend {
    guard MPIEnvironment.isUnderMPIRun else {
      return Backend(communicator: SoloCommunicator(), mpiVersion: "none", environment: nil)
    }
    let environment = try MPIEnvironment()
    return Backend(
      communicator: environment.communicator, mpiVersion: environment.libraryVersion,
      environment: environment)
  }

  /// Runs `body` on this rank and ends communication; the exit code of the process.
  ///
  /// A `JobFailure` is agreed on by all ranks: rank 0 says it, and all end in order with its code.
  /// Any other error is this rank's alone, so the job is aborted: the others may be waiting.
  static func run(_ body: (Backend) throws -> ExitCode) -> Int32 {
    let backend: Backend
    do {
      backend = try start()
    } catch {
      Speaker.complain("\(error)")
      return ExitCode.ownFault.rawValue
    }
    let code: ExitCode
    do {
      code = try body(backend)
    } catch let failure as JobFailure {
      if backend.communicator.rank == 0 { Speaker.complain(failure.description) }
      code = failure.code
    } catch {
      return backend.abort(error)
    }
    do {
      try backend.environment?.finalize()
    } catch {
      return backend.abort(error)
    }
    return code.rawValue
  }

  private func abort(_ error: any Error) -> Int32 {
    let code = ExitCode.of(error).rawValue
    let place = communicator.size > 1 ? "rank \(communicator.rank): " : ""
    Speaker.complain("\(place)\(error)")
    if environment != nil { MPIEnvironment.abort(code: code) }
    return code
  }
}

/// What the program says: results on stdout, one line for an error on stderr.
enum Speaker {
  /// Under mpirun only rank 0 speaks, before and without MPI.
  static var isSpeaker: Bool { (Machine.environment("OMPI_COMM_WORLD_RANK") ?? "0") == "0" }

  /// Text for stdout, a newline after it if it has none. False where it could not be written.
  @discardableResult
  static func say(_ text: String) -> Bool {
    guard isSpeaker else { return true }
    return write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO)
  }

  /// One line on stderr, whatever the message holds.
  static func complain(_ message: String) {
    let line = message.map { $0.isNewline ? " " : String($0) }.joined()
    write("repvgg: \(line)\n", to: STDERR_FILENO)
  }

  @discardableResult
  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if errno != EINTR {
        return false
      }
    }
    return true
  }
}
