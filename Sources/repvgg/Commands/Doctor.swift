import Orchestration
import Reporting

/// `repvgg doctor`: the machine, line by line; under mpirun every host of the job.
enum DoctorCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    Backend.run(computes: false) { backend in
      let ranks = invocation.integer("--ranks") ?? backend.communicator.size
      let reports = try Doctor(ranks: ranks, mpiVersion: backend.mpiVersion)
        .examine(over: backend.communicator)
      if invocation.flag("--json") {
        Speaker.say(json(reports).text())
      } else {
        Speaker.say(text(reports, ranks: backend.communicator.size))
      }
      return reports.allSatisfy(\.isWell) ? .done : .configuration
    }
  }

  private static func json(_ reports: [Doctor.Report]) -> JSONValue {
    .object([
      ("findings", json(reports[0].findings)),
      (
        "hosts",
        .array(
          reports.map {
            .object([
              ("host", .string($0.host)), ("ranks", .array($0.ranks.map { .int($0) })),
              ("findings", json($0.findings)),
            ])
          })
      ),
    ])
  }

  private static func json(_ findings: [Doctor.Finding]) -> JSONValue {
    .array(
      findings.map {
        .object([
          ("name", .string($0.name)), ("value", .string($0.value)),
          ("ok", .bool($0.mend == nil)), ("mend", $0.mend.map { .string($0) } ?? .null),
        ])
      })
  }

  /// The first ranks' findings whole; of the others what differs.
  private static func text(_ reports: [Doctor.Report], ranks: Int) -> String {
    var lines: [String] = []
    for (index, report) in reports.enumerated() {
      if ranks > 1 {
        lines.append("\(report.host), \(words(report.ranks)) of \(ranks)")
      }
      let first = reports[0].findings
      let shown = report.findings.enumerated().filter { place, finding in
        index == 0 || finding.mend != nil || finding.value != first[place].value
      }.map(\.element)
      lines += shown.isEmpty ? ["✓ as \(reports[0].host)"] : shown.flatMap(line)
    }
    return lines.joined(separator: "\n")
  }

  private static func line(_ finding: Doctor.Finding) -> [String] {
    let space = String(repeating: " ", count: max(2, 17 - finding.name.count))
    return ["\(finding.mend == nil ? "✓" : "✗") \(finding.name)\(space)\(finding.value)"]
      + (finding.mend.map { ["    mend: \($0)"] } ?? [])
  }

  /// `rank 3`, `ranks 0 to 7`, `ranks 0, 2, 4`.
  private static func words(_ ranks: [Int]) -> String {
    guard ranks.count > 1, let first = ranks.first, let last = ranks.last else {
      return "rank \(ranks.first ?? 0)"
    }
    return last - first == ranks.count - 1
      ? "ranks \(first) to \(last)" : "ranks " + ranks.map(String.init).joined(separator: ", ")
  }
}
