import Orchestration
import Reporting
import RunPlanning

/// `repvgg bench loader`: under mpirun all ranks load, each its own part.
enum BenchLoaderCommand {
  static func run(_ invocation: Invocation, _ backend: Backend) throws {
    var settings = LoaderBenchmark.Settings(path: invocation.text("--data") ?? "")
    if let side = invocation.integer("--resolution") { settings.resolution = side }
    if let threads = invocation.integer("--threads") { settings.threads = threads }
    if let batch = invocation.integer("--batch") { settings.batch = batch }
    if let images = invocation.integer("--count") { settings.images = images }
    if let decode = invocation.text("--decode").flatMap(RunConfig.Decode.init) {
      settings.decode = decode
    }
    if let name = invocation.text("--augmentation").flatMap(RunConfig.Augmentation.init) {
      settings.augmentation = name
    }
    let report = try LoaderBenchmark(settings, communicator: backend.communicator).run()
    let ranks = backend.communicator.size
    if invocation.flag("--json") {
      Speaker.say(json(report, settings, ranks: ranks).text())
    } else {
      Speaker.say(text(report, settings, ranks: ranks))
    }
  }

  private static func json(
    _ report: LoaderBenchmark.Report, _ settings: LoaderBenchmark.Settings, ranks: Int
  ) -> JSONValue {
    .object([
      ("benchmark", "loader"), ("decode", .string(settings.decode.rawValue)),
      ("augmentation", .string(settings.augmentation.rawValue)), ("ranks", .int(ranks)),
      ("threads", .int(settings.threads)), ("batch", .int(settings.batch)),
      ("resolution", .int(settings.resolution)), ("samples", .int(report.samples)),
      ("classes", .int(report.classes)), ("images", .int(report.images)),
      ("images_per_second", .double(report.imagesPerSecond)),
      ("processor_seconds_per_image", .double(report.processorSecondsPerImage)),
      ("seconds_to_open", .double(report.secondsToOpen)),
      ("seconds_to_first_batch", .double(report.secondsToFirstBatch)),
      (
        "shares", .object(report.shares.map { ($0.stage.rawValue, .double($0.share)) })
      ),
      ("staged_images", .int(report.stagedImages)),
      ("planned_loader_bytes", .int(report.plannedBytes)),
      ("first_resident_bytes", .int(report.firstResidentBytes)),
      ("peak_resident_bytes", .int(report.peakResidentBytes)),
      ("cpu", .string(Machine.processor)),
    ])
  }

  private static func text(
    _ report: LoaderBenchmark.Report, _ settings: LoaderBenchmark.Settings, ranks: Int
  ) -> String {
    var summary = Summary(
      title: "\(report.samples) images, \(settings.decode.rawValue), to "
        + "\(settings.resolution)x\(settings.resolution), batch \(settings.batch) x \(ranks) ranks "
        + "x \(settings.threads) threads")
    summary.append("images/s", Quantity.fixed(report.imagesPerSecond, decimals: 1))
    summary.append(
      "of a processor",
      "\(Quantity.fixed(report.processorSecondsPerImage * 1e3, decimals: 3)) ms an image")
    summary.append(
      "data set open", "after \(Quantity.fixed(report.secondsToOpen, decimals: 3)) s")
    summary.append(
      "first batch", "after \(Quantity.fixed(report.secondsToFirstBatch, decimals: 3)) s")
    summary.append(
      "shares of \(report.stagedImages) images",
      report.shares.filter { $0.share > 0 }
        .map { "\($0.stage.rawValue) \(Quantity.percent($0.share))" }.joined(separator: ", "))
    summary.append(
      "memory",
      "the plan counts \(Quantity.bytes(report.plannedBytes)) for the loader; the process had "
        + "\(Quantity.bytes(report.firstResidentBytes)) before and "
        + "\(Quantity.bytes(report.peakResidentBytes)) at most")
    return summary.text
  }
}
