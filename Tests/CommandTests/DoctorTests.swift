import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  @Suite(.timeLimit(.minutes(20))) struct DoctorTests {
    private struct Finding {
      var name: String
      var value: String
      var mend: String?
      var level: String
      var text: String { "\(value): \(mend ?? "")" }
    }

    private static func reports(_ result: ProgramResult) throws -> [[String: Any]] {
      let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
      return try #require((object as? [String: Any])?["hosts"] as? [[String: Any]])
    }

    private static func findings(_ report: [String: Any]) throws -> [Finding] {
      try #require(report["findings"] as? [[String: Any]]).map { finding in
        let level = try #require(finding["level"] as? String)
        #expect(finding["ok"] as? Bool == (level != "fault"))
        return Finding(
          name: try #require(finding["name"] as? String),
          value: try #require(finding["value"] as? String), mend: finding["mend"] as? String,
          level: level)
      }
    }

    private static func findings(_ result: ProgramResult) throws -> [Finding] {
      try findings(reports(result)[0])
    }

    /// The findings of this machine as it is, apart from variables.
    private static let sound = Result {
      let scratch = try ScratchDirectory()
      let result = try runProgram(
        ["doctor", "--json"], environment: MisconfiguredMachine.soundVariables(scratch),
        directory: scratch.path)
      return (status: result.status, findings: try findings(result))
    }

    @Test func aloneItSpeaksOfThisMachine() throws {
      let (status, findings) = try Self.sound.get()
      #expect(status == (findings.contains { $0.level == "fault" } ? 78 : 0))
      #expect(Set(findings.map(\.name)).count == findings.count)
      let text = try runProgram(["doctor"], environment: withoutMPI).stdout
      #expect(text.contains(" CPU ") && !text.contains("rank 0"))
      for finding in findings { #expect(text.contains(" \(finding.name)  ")) }
    }

    @Test(arguments: MisconfiguredMachine.here)
    func whatIsSetUpWrongIsFound(_ machine: MisconfiguredMachine) throws {
      let result = try machine.examined()
      let findings = try Self.findings(result)
      let finding = try #require(findings.first { $0.name == machine.finding }, "\(result.stderr)")
      let says = machine.says.split(separator: "%").map(String.init)
      #expect(says.allSatisfy(finding.text.contains), "\(finding)")
      #expect(finding.level == (machine.isAdvice ? "advice" : "fault"), "\(finding)")
      #expect(try #require(finding.mend).split(whereSeparator: \.isNewline).count == 1)
      #expect(result.status == 78 || machine.isAdvice)
      #expect(result.stderr.isEmpty, "\(result.stderr)")
      let before = try Self.sound.get().findings.first { $0.name == machine.finding }
      #expect(!says.allSatisfy { before?.text.contains($0) ?? false }, "\(before?.text ?? "")")
    }

    @Test func rootIsToldOfMPI() throws {
      guard getuid() == 0 else { return }
      let result = try runProgram(
        ["doctor", "--json"], environment: withoutMPI.merging(["OMPI_ALLOW_RUN_AS_ROOT": ""]) { $1 }
      )
      let user = try #require(Self.findings(result).first { $0.name == "user" })
      #expect(result.status == 78 && user.text.contains("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"))
    }

    /// The program's own time of birth lies far in the future.
    @Test func aClockThatStandsBeforeTheProgram() throws {
      let scratch = try ScratchDirectory()
      let program = scratch.path("repvgg")
      try FileManager.default.copyItem(atPath: try builtProgram("repvgg"), toPath: program)
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSince1970: 3_000_000_000)], ofItemAtPath: program)
      let result = try runExecutable(program, ["doctor", "--json"], environment: withoutMPI)
      let clock = try #require(Self.findings(result).first { $0.name == "clock" })
      #expect(clock.level == "fault" && clock.text.contains("built on 2065-01-24"), "\(clock)")
    }

    /// Ranks of one host differ in what `second` does to the last of them.
    private func ranksDiffer(_ second: [String], ranks: Int = 2) throws -> [[String: Any]] {
      let program = try builtProgram("repvgg")
      let result = try MPIRun.run(
        ranks: ranks - 1,
        ["doctor", "--json", ":", "-np", "1", "/usr/bin/env"] + second + [
          program, "doctor", "--json",
        ],
        environment: [
          "OMPI_MCA_btl_vader_single_copy_mechanism": "", "OPENBLAS_L2_SIZE": "",
          "OPENBLAS_CORETYPE": "",
        ])
      #expect(result.status == 78, "\(result.stderr)")
      return try Self.reports(result)
    }

    /// One of three ranks, as if on a host of its own, is set up worse than rank 0.
    @Test(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"))
    func everyRankIsExamined() throws {
      let program = try builtProgram("repvgg")
      let reports = try ranksDiffer(["OPENBLAS_L2_SIZE=4711"], ranks: 3)
      try #require(reports.count == 2)
      #expect(reports.map { $0["ranks"] as? [Int] } == [[0, 1], [2]])
      let findings = try reports.map(Self.findings)
      #expect(!findings[0].contains { $0.text.contains("OPENBLAS_L2_SIZE") })
      #expect(findings[1].contains { $0.text.contains("unset OPENBLAS_L2_SIZE") })
      // The run's directory is rank 0's.
      #expect(findings[0].last?.name == "free inodes" && findings[1].last?.name == "user namespace")
      let text = try MPIRun.run(
        ranks: 2,
        ["doctor", ":", "-np", "1", "/usr/bin/env", "OPENBLAS_L2_SIZE=4711", program, "doctor"],
        environment: ["OPENBLAS_L2_SIZE": "", "OPENBLAS_CORETYPE": ""]
      ).stdout
      #expect(text.contains(", ranks 0 to 1 of 3\n") && text.contains(", rank 2 of 3\n✗ BLAS "))
    }

    @Test(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"))
    func anotherBuildIsFound() throws {
      let scratch = try ScratchDirectory()
      let other = scratch.path("repvgg")
      try FileManager.default.copyItem(atPath: try builtProgram("repvgg"), toPath: other)
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: other))
      try file.seekToEnd()
      try file.write(contentsOf: Data([0]))
      try file.close()
      let result = try MPIRun.run(
        ranks: 1, ["doctor", "--json", ":", "-np", "1", other, "doctor", "--json"])
      #expect(result.status == 78, "\(result.stderr)")
      let finding = try #require(
        Self.findings(Self.reports(result)[1]).first { $0.name == "program" })
      #expect(finding.level == "fault" && finding.text.contains("copy the same program"))
    }
  }
}
