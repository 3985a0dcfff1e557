import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  @Suite(.timeLimit(.minutes(20))) struct DoctorTests {
    private func reports(_ result: ProgramResult) throws -> [[String: Any]] {
      let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
      return try #require((object as? [String: Any])?["hosts"] as? [[String: Any]])
    }

    private func mends(_ report: [String: Any]) throws -> [String] {
      try #require(report["findings"] as? [[String: Any]]).compactMap { $0["mend"] as? String }
    }

    @Test func aloneItSpeaksOfThisMachine() throws {
      let result = try runProgram(["doctor", "--json"], environment: withoutMPI)
      let reports = try reports(result)
      try #require(reports.count == 1)
      #expect(reports[0]["ranks"] as? [Int] == [0])
      #expect(try result.status == (mends(reports[0]).isEmpty ? 0 : 78))
      let text = try runProgram(["doctor"], environment: withoutMPI).stdout
      #expect(text.contains("✓ CPU ") && !text.contains("rank 0"))
    }

    /// One of three ranks, as if on a host of its own, is set up worse than rank 0.
    @Test(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"))
    func everyRankIsExamined() throws {
      let program = try builtProgram("repvgg")
      func run(_ command: [String]) throws -> ProgramResult {
        try MPIRun.run(
          ranks: 2,
          command + [":", "-np", "1", "/usr/bin/env", "OPENBLAS_L2_SIZE=4711", program] + command)
      }
      let result = try run(["doctor", "--json"])
      #expect(result.status == 78)
      let reports = try reports(result)
      try #require(reports.count == 2)
      #expect(reports.map { $0["ranks"] as? [Int] } == [[0, 1], [2]])
      #expect(try !mends(reports[0]).contains { $0.contains("OPENBLAS_L2_SIZE") })
      #expect(try mends(reports[1]).contains { $0.contains("unset OPENBLAS_L2_SIZE") })
      let text = try run(["doctor"]).stdout
      #expect(text.contains(", ranks 0 to 1 of 3\n") && text.contains(", rank 2 of 3\n✗ BLAS "))
    }
  }
}
