import Checkpoints
import ImageData
import Orchestration
import Reporting

/// `repvgg data verify SOURCE`: every image decoded, and what there is.
enum DataVerifyCommand {
  /// Lines of damage or duplicates that are shown.
  private static let shown = 20

  static func run(_ invocation: Invocation) throws -> ExitCode {
    let name = invocation.positionals[1]
    let list = invocation.text("--list")
    if let list { try OutputFile.require(list, isNot: name, option: "--list") }
    let source = try DataCommand.source(invocation)
    let asJSON = invocation.flag("--json")
    if !asJSON { for note in source.notes { Speaker.say(note) } }
    let verification = DatasetVerification(source, threads: DataCommand.threads(invocation))
    let progress = DataCommand.progress(invocation, title: "verifying")
    let report: DatasetVerification.Report
    do {
      defer { progress.finish() }
      report = try verification.run { samples, bytes in
        progress.report(done: samples, of: verification.samples, bytes: bytes)
      }
    }
    let text = DataVerifyReport(source: source, report: report)
    if let list { try AtomicFile.write(path: list, bytes: text.listed) }
    Speaker.say(asJSON ? text.json(name).text() : text.text(name, shown: shown))
    if let list, text.unlisted > 0, !asJSON {
      Speaker.say(
        "\(list) lacks \(text.unlisted) of them, whose names have a line end; rename the files")
    }
    guard let first = report.damage.first else { return .done }
    throw JobFailure(
      .badData,
      "\(name): \(Quantity.count(report.damaged)) of \(Quantity.count(verification.samples)) images "
        + "are damaged, the first \(text.name(first.place)); mend them, or leave them out by "
        + "data.exclude")
  }
}

/// What `repvgg data verify` says.
struct DataVerifyReport {
  let source: DataSource
  let report: DatasetVerification.Report

  /// As `data.exclude` takes it.
  func name(_ place: DatasetVerification.Place) -> String {
    String(decoding: bytes(of: place), as: UTF8.self)
  }

  private func bytes(of place: DatasetVerification.Place) -> [UInt8] {
    source.splits[place.split].listedName(of: place.sample)
  }

  /// The damaged images' names, one a line.
  var listed: [UInt8] {
    let end = UInt8(ascii: "\n")
    return report.damage.map { bytes(of: $0.place) }.filter(Self.isLine).flatMap { $0 + [end] }
  }

  /// Damaged images whose names are no line of a text: no list can leave them out.
  var unlisted: Int { report.damage.filter { !Self.isLine(bytes(of: $0.place)) }.count }

  private static func isLine(_ name: [UInt8]) -> Bool {
    !name.contains(UInt8(ascii: "\n")) && name.last != UInt8(ascii: "\r")
  }

  // MARK: - Text

  func text(_ title: String, shown: Int) -> String {
    var text = report.splits.enumerated().map { number, split in
      summary(split, of: number, title: "\(title), \(split.name)")
    }.joined(separator: "\n")
    func list(_ heading: String, _ lines: [String]) {
      guard !lines.isEmpty else { return }
      text += "\n\(heading):\n" + lines.prefix(shown).map { "  \($0)\n" }.joined()
      if lines.count > shown { text += "  and \(Quantity.count(lines.count - shown)) more\n" }
    }
    list("damaged", report.damage.map { "\(name($0.place)): \($0.reason)" })
    let groups = report.duplicates
    list("the same in several splits", groups.filter(\.crossesSplits).map(line))
    list("the same under several labels", groups.filter(\.labelsDiffer).map(line))
    list(
      "the same otherwise", groups.filter { !$0.crossesSplits && !$0.labelsDiffer }.map(line))
    return text
  }

  private func line(_ group: DatasetVerification.Duplicates) -> String {
    group.places.prefix(4).map { place in
      group.labelsDiffer ? "\(name(place)) (label \(label(place)))" : name(place)
    }.joined(separator: " = ") + (group.places.count > 4 ? " = ... (\(group.places.count))" : "")
  }

  private func label(_ place: DatasetVerification.Place) -> Int {
    source.splits[place.split].dataset.label(of: place.sample)
  }

  private func summary(
    _ split: DatasetVerification.Split, of number: Int, title: String
  ) -> String {
    var summary = Summary(title: title)
    summary.append("images", Quantity.count(split.samples))
    summary.append("classes", classes(split, names: source.splits[number].dataset.classNames))
    summary.append("bytes", Quantity.bytes(split.bytes))
    if let smallest = split.smallest, let largest = split.largest {
      func text(_ size: DatasetVerification.Size) -> String {
        "\(size.width) x \(size.height)"
      }
      summary.append(
        "width x height",
        smallest.width == largest.width && smallest.height == largest.height
          ? text(smallest) : "\(text(smallest)) to \(text(largest))")
    }
    if split.jpegs + split.pngs > 0 {
      summary.append(
        "formats", "\(Quantity.count(split.jpegs)) JPEG, \(Quantity.count(split.pngs)) PNG")
    }
    if split.turned > 0 {
      summary.append(
        "EXIF", "\(Quantity.count(split.turned)) images are to be turned; see data.exif_orientation"
      )
    }
    summary.append("damaged", Quantity.count(split.damaged))
    return summary.text
  }

  /// How many, and the smallest and the largest of them.
  private func classes(_ split: DatasetVerification.Split, names: [String]) -> String {
    func text(_ label: Int) -> String {
      let name = names.isEmpty ? "label \(label)" : names[label]
      return "\(Quantity.count(split.perClass[label])) (\(name))"
    }
    let labels = split.perClass.indices
    guard let fewest = labels.min(by: { split.perClass[$0] < split.perClass[$1] }),
      let most = labels.max(by: { split.perClass[$0] < split.perClass[$1] })
    else { return "0" }
    let count = Quantity.count(split.perClass.count)
    guard split.perClass[fewest] < split.perClass[most] else {
      return "\(count) of \(Quantity.count(split.perClass[most])) images each"
    }
    return "\(count) of \(text(fewest)) to \(text(most)) images"
  }

  // MARK: - JSON

  func json(_ name: String) -> JSONValue {
    .object([
      ("source", .string(name)), ("damaged", .int(report.damaged)),
      ("unlisted", .int(unlisted)),
      ("splits", .array(report.splits.enumerated().map { json($1, of: $0) })),
      (
        "damage",
        .array(
          report.damage.map {
            .object([("name", .string(self.name($0.place))), ("reason", .string($0.reason))])
          })
      ),
      (
        "duplicates",
        .array(
          report.duplicates.map { group in
            .object([
              ("crosses_splits", .bool(group.crossesSplits)),
              ("labels_differ", .bool(group.labelsDiffer)),
              (
                "images",
                .array(
                  group.places.map {
                    .object([
                      ("split", .string(report.splits[$0.split].name)),
                      ("name", .string(self.name($0))), ("label", .int(label($0))),
                    ])
                  })
              ),
            ])
          })
      ),
    ])
  }

  private func json(_ split: DatasetVerification.Split, of number: Int) -> JSONValue {
    func size(_ size: DatasetVerification.Size?) -> JSONValue {
      size.map {
        .object([("width", .int($0.width)), ("height", .int($0.height))])
      } ?? .null
    }
    let names = source.splits[number].dataset.classNames
    return .object([
      ("name", .string(split.name)), ("images", .int(split.samples)),
      ("damaged", .int(split.damaged)), ("bytes", .int(split.bytes)),
      ("smallest", size(split.smallest)), ("largest", size(split.largest)),
      ("jpeg", .int(split.jpegs)), ("png", .int(split.pngs)), ("turned", .int(split.turned)),
      (
        "classes",
        .array(
          split.perClass.enumerated().map { label, count in
            .object([
              ("label", .int(label)),
              ("name", names.isEmpty ? .null : .string(names[label])), ("images", .int(count)),
            ])
          })
      ),
    ])
  }
}
