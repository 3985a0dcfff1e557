import Checkpoints
import Glibc
import ImageData
import Orchestration
import Reporting

/// `repvgg data pack SOURCE --output DIR`: tar archives with their indexes.
enum DataPackCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let output = invocation.text("--output") ?? ""
    let source = try DataCommand.source(invocation)
    let packer = try ArchivePacker(
      source: source, sourceName: invocation.positionals[1], output: output,
      options: options(invocation))
    try OutputDirectory.make(output, option: "--output")
    // Before the lock, which is a file too: nothing is put into a stranger's directory.
    try packer.requireFits()
    let lock = try RunLock(run: output)
    defer { withExtendedLifetime(lock) {} }
    let asJSON = invocation.flag("--json")
    if !asJSON { for note in source.notes { Speaker.say(note) } }
    let progress = DataCommand.progress(invocation, title: "packing")
    let clock = ContinuousClock()
    var report: ArchivePacker.Report?
    let duration = try clock.measure {
      defer { progress.finish() }
      report = try packer.run { done, samples in
        progress.report(done: done.samples, of: samples, bytes: done.bytes)
      }
    }
    guard let report else { return .ownFault }
    if asJSON {
      Speaker.say(json(packer, report, output, seconds: duration / .seconds(1)).text())
    } else {
      Speaker.say(text(packer, report, output, seconds: duration / .seconds(1)))
    }
    return .done
  }

  private static func options(_ invocation: Invocation) -> PackOptions {
    var options = PackOptions()
    options.archives = invocation.integer("--shards")
    if let bytes = invocation.integer("--shard-bytes") { options.archiveBytes = bytes }
    options.shuffle = invocation.integer("--shuffle")
    options.jpegQuality = invocation.integer("--jpeg")
    options.threads = DataCommand.threads(invocation)
    return options
  }

  private static func text(
    _ packer: ArchivePacker, _ report: ArchivePacker.Report, _ output: String, seconds: Double
  ) -> String {
    var summary = Summary(title: "\(output): \(Quantity.count(packer.samples)) images")
    for split in packer.splits {
      summary.append(
        split.name,
        "\(Quantity.count(split.samples)) images in \(Quantity.count(split.archives)) archives")
    }
    summary.append("size", Quantity.bytes(report.bytes))
    let kept = report.kept > 0 ? ", \(Quantity.count(report.kept)) were there already" : ""
    summary.append(
      "made",
      "\(Quantity.count(report.made)) archives in \(Quantity.duration(seconds: seconds))\(kept)")
    summary.append("train with", "--set data.format=tar --set data.directory=\(output)")
    return summary.text
  }

  private static func json(
    _ packer: ArchivePacker, _ report: ArchivePacker.Report, _ output: String, seconds: Double
  ) -> JSONValue {
    .object([
      ("output", .string(output)), ("images", .int(packer.samples)),
      (
        "splits",
        .array(
          packer.splits.map {
            .object([
              ("name", .string($0.name)), ("images", .int($0.samples)),
              ("archives", .int($0.archives)),
            ])
          })
      ),
      ("bytes", .int(report.bytes)), ("made", .int(report.made)), ("kept", .int(report.kept)),
      ("seconds", .double(seconds)),
    ])
  }
}
