import Foundation

/// Programs built along with the tests, under mpirun, with what several ranks on few cores, in
/// containers and as root need.
package enum MPIRun {
  /// Path of mpirun; nil where none is installed.
  package static let executable: String? = {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    return (path.split(separator: ":").map(String.init) + ["/usr/bin"])
      .map { "\($0)/mpirun" }.first(where: FileManager.default.isExecutableFile(atPath:))
  }()

  package static let isAvailable = executable != nil

  /// Why a suite is skipped where it is not.
  package static let skipReason = "mpirun is not installed (Debian: openmpi-bin)"

  /// Runs `program` on `ranks` ranks to its end.
  package static func run(
    ranks: Int, program: String = "repvgg", _ arguments: [String],
    environment: [String: String] = [:], directory: String? = nil, timeout: Double = 180
  ) throws -> ProgramResult {
    try MPIJob(
      ranks: ranks, program: program, arguments, environment: environment, directory: directory,
      timeout: timeout
    ).wait()
  }
}

/// A program under mpirun that has not been waited for yet. Belongs to one thread.
///
/// Several mpiruns that start at once on one node hang now and then, so a job has the node to
/// itself, among all that use this type, until nothing of it runs any more.
package final class MPIJob {
  /// mpirun itself.
  package let launcher: RunningProgram
  private let program: String
  private let scratch: ScratchDirectory
  private var turn: Turn?
  private let timeout: Double

  /// - Parameters:
  ///   - program: its name, or a path with a slash.
  ///   - wrapper: words before the program's, of a command that becomes it.
  ///   - timeout: seconds after which mpirun ends the job.
  package init(
    ranks: Int, program: String = "repvgg", wrapper: [String] = [], _ arguments: [String],
    environment: [String: String] = [:], directory: String? = nil, timeout: Double = 180
  ) throws {
    guard let executable = MPIRun.executable else {
      throw ProgramRunError(description: MPIRun.skipReason)
    }
    let path = try builtProgram(program)
    self.program = URL(fileURLWithPath: path).lastPathComponent
    self.timeout = timeout
    turn = try Turn(besides: path)
    scratch = try ScratchDirectory()
    launcher = try RunningProgram(
      executable,
      ["--oversubscribe", "--bind-to", "none", "-np", "\(ranks)"] + wrapper + [path] + arguments,
      environment: MPIJob.settings(scratch, timeout).merging(environment) { $1 },
      directory: directory)
  }

  private static func settings(_ scratch: ScratchDirectory, _ timeout: Double) -> [String: String] {
    [
      "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
      "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
      // Segments of killed ranks go with the directory.
      "OMPI_MCA_btl_vader_backing_directory": scratch.path, "TMPDIR": scratch.path,
      "MPIEXEC_TIMEOUT": "\(Int(timeout))",
    ]
  }

  /// A job that `script` starts, which calls mpirun itself: `launch/train`.
  package init(
    script: String, program: String = "repvgg", _ arguments: [String],
    environment: [String: String] = [:], directory: String? = nil, timeout: Double = 180
  ) throws {
    let path = try builtProgram("repvgg")
    self.program = program
    self.timeout = timeout
    turn = try Turn(besides: path)
    scratch = try ScratchDirectory()
    launcher = try RunningProgram(
      script, arguments,
      environment: MPIJob.settings(scratch, timeout).merging(["REPVGG_PROGRAM": path]) { $1 }
        .merging(environment) { $1 }, directory: directory)
  }

  /// mpirun, where a script has started it.
  package var mpirun: Int32? { launcher.children(named: "mpirun").last }

  /// Process numbers of the ranks that run now, lowest first; empty before they are started.
  package var ranks: [Int32] {
    let parent = mpirun ?? launcher.processID
    return RunningProgram.children(of: parent, named: program)
  }

  /// Waits for mpirun's end; call it once.
  package func wait() throws -> ProgramResult { try launcher.wait(timeout: timeout + 5) }

  /// Lets others run mpirun before this value is let go of: nothing of the job runs any more.
  package func giveTurn() { turn = nil }

  /// Whether all of `processes` are gone within so many seconds: ranks may outlive mpirun.
  package static func areGone(_ processes: [Int32], within seconds: Double) -> Bool {
    for _ in 0..<Int(seconds * 100) {
      if processes.allSatisfy({ ProcessState(of: $0)?.hasEnded ?? true }) { return true }
      usleep(10_000)
    }
    return false
  }
}

/// The right to run mpirun: one holder among the threads of all test processes of a build.
private final class Turn {
  private let descriptor: Int32

  init(besides program: String) throws {
    descriptor = open("\(program)-mpirun.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ProgramRunError(description: "\(program)-mpirun.lock: cannot be opened")
    }
    while flock(descriptor, LOCK_EX) != 0 && errno == EINTR {}
  }

  deinit { close(descriptor) }
}
