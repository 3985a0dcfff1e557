import Orchestration
import Reporting

/// `repvgg doctor`: the machine, line by line.
enum DoctorCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    Backend.run { backend in
      let ranks = invocation.integer("--ranks") ?? backend.communicator.size
      let findings = Doctor(ranks: ranks, mpiVersion: backend.mpiVersion).examine()
      if invocation.flag("--json") {
        Speaker.say(
          JSONValue.object([
            (
              "findings",
              .array(
                findings.map {
                  .object([
                    ("name", .string($0.name)), ("value", .string($0.value)),
                    ("ok", .bool($0.mend == nil)), ("mend", $0.mend.map { .string($0) } ?? .null),
                  ])
                })
            )
          ]).text())
      } else {
        let width = findings.map(\.name.count).max() ?? 0
        for finding in findings {
          let space = String(repeating: " ", count: width - finding.name.count + 2)
          Speaker.say(
            "\(finding.mend == nil ? "✓" : "✗") \(finding.name)\(space)\(finding.value)")
          if let mend = finding.mend { Speaker.say("    mend: \(mend)") }
        }
      }
      return findings.allSatisfy { $0.mend == nil } ? .done : .configuration
    }
  }
}
