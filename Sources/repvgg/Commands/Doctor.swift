import MPICollectives
import Orchestration
import Reporting
import RunPlanning

/// `repvgg doctor`: the machine, line by line; under mpirun every host of the job.
enum DoctorCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    if let hosts = invocation.text("--hosts") {
      return alone { try runUnderMPI(on: hosts, invocation) }
    }
    let surroundings = Doctor.Surroundings(ranks: invocation.integer("--ranks"))
    return Backend.run(computes: false) { backend in
      let library = Doctor.Library(
        name: try MPIEnvironment.loadedVersion, headers: MPIEnvironment.headerVersion,
        permitsSingleCopy: MPIEnvironment.permitsSingleCopy)
      // MPI_Init adds to the environment what is no setting of anybody's.
      let reports = try Doctor(surroundings, library: library)
        .examine(over: backend.communicator, output: invocation.text("--output") ?? ".")
      if invocation.flag("--json") {
        Speaker.say(json(reports).text())
      } else {
        Speaker.say(text(reports, ranks: backend.communicator.size))
      }
      return reports.allSatisfy(\.isWell) ? .done : .configuration
    }
  }

  /// Becomes mpirun, which runs this command on every host; returns only where it cannot.
  private static func runUnderMPI(on hosts: String, _ invocation: Invocation) throws -> ExitCode {
    guard !MPIEnvironment.isUnderMPIRun else {
      throw JobFailure(
        .usage, "--hosts starts mpirun itself; leave it out, or start doctor without mpirun")
    }
    let list = try HostList(argument: hosts)
    let ranks = invocation.integer("--ranks") ?? list.slots ?? list.hosts.count
    let most = try list.blocks(ranks: ranks).map(\.count).max() ?? 1
    var words = MPICommand(
      ranks: ranks, hosts: try list.argument(ranks: ranks),
      interface: invocation.text("--interface"), settings: Machine.mpiSettings,
      isCrowded: most > Machine.cores
    ).words
    words += [Machine.programPath, "doctor"]
    if let output = invocation.text("--output") { words += ["--output", output] }
    if invocation.flag("--json") { words.append("--json") }
    throw JobFailure(
      .configuration, "mpirun: \(Machine.become(words)); install it with launch/install")
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
          ("ok", .bool(!$0.isFault)), ("mend", $0.mend.map { .string($0) } ?? .null),
          ("level", .string($0.isFault ? "fault" : $0.isAdvice ? "advice" : "ok")),
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
    let mark = finding.isFault ? "✗" : finding.isAdvice ? "!" : "✓"
    return ["\(mark) \(finding.name)\(space)\(finding.value)"]
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
