import Foundation
import Testing

/// The suite over MPI: `mpi-check`, built beside these tests, under mpirun.
@Suite(.serialized, .timeLimit(.minutes(2)), .enabled(if: MPICheck.isAvailable))
struct MPICheckTests {
  @Test(arguments: [1, 2, 3, 4, 8]) func mpiConforms(_ ranks: Int) throws {
    let result = try MPICheck.run(ranks: ranks)
    #expect(result.code == 0, "\(result.output)")
    #expect(result.output.contains("10 checks passed on \(ranks) rank"), "\(result.output)")
  }

  @Test(arguments: [2, 8]) func sumsHaveTheTreesBits(_ ranks: Int) throws {
    let result = try MPICheck.run(ranks: ranks, "probe")
    #expect(result.code == 0, "\(result.output)")
  }

  @Test func worldsWithoutATreeEndWithOneCode() throws {
    let result = try MPICheck.run(ranks: 3, "probe")
    #expect(result.code == 76, "\(result.output)")
  }

  @Test func unknownArgumentsAreAUsageError() throws {
    #expect(try MPICheck.run(ranks: 1, "prove").code == 64)
  }
}

enum MPICheck {
  private static let mpirun = "/usr/bin/mpirun"

  private static var program: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().appendingPathComponent("mpi-check")
  }

  static var isAvailable: Bool {
    FileManager.default.isExecutableFile(atPath: mpirun)
      && FileManager.default.isExecutableFile(atPath: program.path)
  }

  static func run(ranks: Int, _ argument: String? = nil) throws -> (code: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: mpirun)
    process.arguments =
      ["--oversubscribe", "--bind-to", "none", "-np", "\(ranks)", program.path]
      + (argument.map { [$0] } ?? [])
    process.environment = ProcessInfo.processInfo.environment.merging([
      "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
      "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
      "MPIEXEC_TIMEOUT": "60",
    ]) { $1 }
    let pipe = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}
