import Testing
import _TestSupport

/// The suite over MPI: `mpi-check`, built beside these tests, under mpirun.
@Suite(
  .serialized, .timeLimit(.minutes(20)),
  .enabled(if: MPICheck.isAvailable, "mpirun is not installed"))
struct MPICheckTests {
  @Test(arguments: [1, 2, 3, 4, 8]) func mpiConforms(_ ranks: Int) throws {
    let result = try MPICheck.run(ranks: ranks)
    #expect(result.code == 0, "\(result.output)")
    #expect(result.output.contains("20 checks passed on \(ranks) rank"), "\(result.output)")
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
  static let isAvailable = MPIRun.isAvailable && (try? builtProgram("mpi-check")) != nil

  static func run(ranks: Int, _ argument: String? = nil) throws -> (code: Int, output: String) {
    let result = try MPIRun.run(
      ranks: ranks, program: "mpi-check", argument.map { [$0] } ?? [])
    return (result.status, result.stdout + result.stderr)
  }
}
