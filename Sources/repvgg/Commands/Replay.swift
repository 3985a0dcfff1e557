import Kernels
import Orchestration
import Reporting

/// `repvgg replay GOLDEN`: a training history computed in Float64, against the real step on the
/// ranks at hand.
enum ReplayCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    Backend.run { backend in
      BLAS.useOneThread()
      let path = invocation.positionals[0]
      let communicator = backend.communicator
      let replay = try Agreement.all(communicator) {
        try GoldenReplay(
          GoldenState.read(path: path), communicator: communicator,
          threads: invocation.integer("--threads") ?? 1)
      }
      let findings = try replay.run()
      let isInside = findings.allSatisfy(\.isInside)
      if invocation.flag("--json") {
        Speaker.say(json(findings, path: path, ranks: communicator.size).text())
      } else {
        Speaker.say(text(findings, path: path, ranks: communicator.size))
      }
      guard isInside else {
        let worst = findings.first { !$0.isInside }
        throw JobFailure(
          .numerics,
          "\(path): \(worst?.quantity ?? ""): error \(worst?.error ?? 0) at \(worst?.worst ?? "") is "
            + "above \(worst?.tolerance ?? 0); kernels or collectives compute something else")
      }
      return .done
    }
  }

  private static func json(
    _ findings: [GoldenReplay.Finding], path: String, ranks: Int
  ) -> JSONValue {
    .object([
      ("golden", .string(path)), ("ranks", .int(ranks)),
      ("inside", .bool(findings.allSatisfy(\.isInside))),
      (
        "findings",
        .array(
          findings.map {
            .object([
              ("quantity", .string($0.quantity)), ("worst", .string($0.worst)),
              ("error", .double($0.error)), ("tolerance", .double($0.tolerance)),
              ("inside", .bool($0.isInside)),
            ])
          })
      ),
    ])
  }

  private static func text(
    _ findings: [GoldenReplay.Finding], path: String, ranks: Int
  ) -> String {
    var table = TextTable([
      .left("quantity"), .right("worst error"), .right("tolerance"), .left(""), .left("worst at"),
    ])
    for finding in findings {
      table.append([
        finding.quantity, "\(Float(finding.error))", "\(Float(finding.tolerance))",
        finding.isInside ? "✓" : "✗", finding.worst,
      ])
    }
    return "\(path) on \(ranks) rank\(ranks == 1 ? "" : "s")\n" + table.text
  }
}
