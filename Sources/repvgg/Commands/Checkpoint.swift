import Checkpoints
import Foundation
import Orchestration
import Reporting

/// `repvgg checkpoint ACTION RUN`.
enum CheckpointCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let place = try CheckpointPlace(invocation.positionals[1])
    let asJSON = invocation.flag("--json")
    switch invocation.positionals[0] {
    case "list": try list(place, asJSON: asJSON)
    case "verify": try verify(place, step: invocation.integer("--step"), asJSON: asJSON)
    default:
      try prune(
        place, keep: invocation.integer("--keep"), isDry: invocation.flag("--dry-run"),
        asJSON: asJSON)
    }
    return .done
  }

  // MARK: - list

  private static func list(_ place: CheckpointPlace, asJSON: Bool) throws {
    let store = place.store()
    let entries = try store.entries()
    let newest = entries.last { !$0.isMovedAside }?.step
    let best = store.best
    func kinds(_ entry: CheckpointStore.Entry) -> [String] {
      entry.isMovedAside
        ? ["damaged, moved aside"]
        : (entry.step == newest ? ["newest"] : []) + (entry.step == best ? ["best"] : [])
    }
    if asJSON {
      let rows = entries.map { entry in
        JSONValue.object([
          ("name", .string(entry.name)), ("step", .int(entry.step)), ("files", .int(entry.files)),
          ("bytes", .int(entry.bytes)), ("modified", .string(time(entry, universal: true))),
          ("newest", .bool(!entry.isMovedAside && entry.step == newest)),
          ("best", .bool(!entry.isMovedAside && entry.step == best)),
          ("moved_aside", .bool(entry.isMovedAside)),
        ])
      }
      Speaker.say(
        JSONValue.object([
          ("directory", .string(place.directory)), ("checkpoints", .array(rows)),
        ]).text())
      return
    }
    guard !entries.isEmpty else {
      Speaker.say("\(place.directory): no checkpoints")
      return
    }
    var table = TextTable([
      .right("step"), .right("files"), .right("size"), .left("date"), .left("name"), .left("kind"),
    ])
    for entry in entries {
      table.append([
        "\(entry.step)", "\(entry.files)", Quantity.bytes(entry.bytes),
        time(entry, universal: false), entry.name, kinds(entry).joined(separator: ", "),
      ])
    }
    Speaker.say(table.text)
  }

  /// ISO 8601 in UTC, or the local time for people.
  private static func time(_ entry: CheckpointStore.Entry, universal: Bool) -> String {
    var seconds = entry.modified
    var parts = tm()
    if universal { gmtime_r(&seconds, &parts) } else { localtime_r(&seconds, &parts) }
    var text = [CChar](repeating: 0, count: 32)
    strftime(&text, text.count, universal ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &parts)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: - verify

  private static func verify(_ place: CheckpointPlace, step: Int?, asJSON: Bool) throws {
    let store = place.store()
    let steps = try store.list().filter { step == nil || $0 == step }
    guard !steps.isEmpty else {
      let what = step.map { "no checkpoint of step \($0)" } ?? "no checkpoints"
      throw JobFailure(.missingInput, "\(place.directory): \(what); see repvgg checkpoint list")
    }
    var damaged: [Int] = []
    var removed: [Int] = []
    var rows: [JSONValue] = []
    for step in steps {
      guard let findings = try store.findingsIfStillThere(step: step) else {
        removed.append(step)
        if !asJSON { Speaker.say("step \(step): no longer there: a run goes on here") }
        continue
      }
      let isGood = findings.allSatisfy { $0.problem == nil }
      if !isGood { damaged.append(step) }
      if asJSON {
        rows.append(json(step, findings, isGood: isGood))
      } else {
        Speaker.say("step \(step): \(isGood ? "good" : "damaged")\n" + text(findings))
      }
    }
    if asJSON {
      Speaker.say(
        JSONValue.object([
          ("directory", .string(place.directory)), ("damaged", .int(damaged.count)),
          ("removed_meanwhile", .array(removed.map { .int($0) })),
          ("checkpoints", .array(rows)),
        ]).text())
    }
    guard removed.count < steps.count else {
      throw JobFailure(
        .missingInput,
        "\(place.directory): a run goes on here and has removed what was to be verified; try again")
    }
    guard let first = damaged.first else { return }
    throw JobFailure(
      .badData,
      "\(place.directory): \(damaged.count) of \(steps.count - removed.count) checkpoints are "
        + "damaged, the first of step \(first); a run goes on from the newest good one, and passes "
        + "over the others")
  }

  private static func text(_ findings: [CheckpointStore.Finding]) -> String {
    findings.map { finding in
      finding.problem.map { "  ✗ \(finding.file): \($0.message)\n" }
        ?? "  ✓ \(finding.file), \(Quantity.bytes(finding.bytes))\n"
    }.joined()
  }

  private static func json(
    _ step: Int, _ findings: [CheckpointStore.Finding], isGood: Bool
  ) -> JSONValue {
    let files = findings.map { finding in
      JSONValue.object([
        ("name", .string(finding.file)), ("bytes", .int(finding.bytes)),
        ("good", .bool(finding.problem == nil)),
        ("problem", finding.problem.map { .string($0.message) } ?? .null),
      ])
    }
    return .object([("step", .int(step)), ("good", .bool(isGood)), ("files", .array(files))])
  }

  // MARK: - prune

  private static func prune(
    _ place: CheckpointPlace, keep: Int?, isDry: Bool, asJSON: Bool
  ) throws {
    let store = place.store(keep: keep)
    let removed = try place.whileLocked {
      if isDry { return try store.superfluous() }
      if place.isOfRun { try store.prepare() }
      return try store.prune()
    }
    let left = try store.list().filter { !removed.contains($0) }
    if asJSON {
      Speaker.say(
        JSONValue.object([
          ("directory", .string(place.directory)), ("keep", .int(store.keep)),
          ("dry_run", .bool(isDry)), ("removed", .array(removed.sorted().map { .int($0) })),
          ("left", .array(left.map { .int($0) })),
        ]).text())
      return
    }
    func steps(_ steps: [Int]) -> String {
      steps.isEmpty ? "none" : steps.sorted().map(String.init).joined(separator: ", ")
    }
    Speaker.say("\(isDry ? "would remove" : "removed"): \(steps(removed))\nleft: \(steps(left))")
  }
}
