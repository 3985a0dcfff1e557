import Deployment
import Kernels
import Orchestration
import Reporting
import RunPlanning

/// `repvgg bench inference`: one rank alone, whoever started it.
enum BenchInferenceCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    try Machine.requireBuiltForProcessor()
    var settings = InferenceBenchmark.Settings(subject: try subject(invocation))
    if let batch = invocation.integer("--batch") { settings.batch = batch }
    if let threads = invocation.integer("--threads") { settings.threads = threads }
    if let side = invocation.integer("--resolution") { settings.resolution = side }
    if let steps = invocation.integer("--steps") { settings.steps = steps }
    if let form = invocation.text("--form").flatMap(ModelForm.init) { settings.form = form }
    let report = try InferenceBenchmark(settings).run()
    if invocation.flag("--json") {
      Speaker.say(json(report, settings).text())
    } else {
      Speaker.say(text(report, settings))
    }
    return .done
  }

  /// A weights file; or a network of the zoo, or a configuration's, with random weights.
  private static func subject(
    _ invocation: Invocation
  ) throws -> InferenceBenchmark.Subject {
    let model = invocation.text("--model") ?? "RepVGG-A0"
    let weights = try ModelPath.weights(model, note: Speaker.complain)
    if [".safetensors", ".pth", ".pt"].contains(where: weights.hasSuffix) {
      guard invocation.text("--stem-stride") == nil else {
        throw JobFailure(
          .usage, "--stem-stride has no effect on weights, whose network is known; leave it out")
      }
      return .file(weights)
    }
    let network = try BenchModel(invocation)
    return .architecture(
      network.architecture, channels: network.channels, height: network.height,
      width: network.width, classes: network.classes)
  }

  private static func json(
    _ report: InferenceBenchmark.Report, _ settings: InferenceBenchmark.Settings
  ) -> JSONValue {
    .object([
      ("benchmark", "inference"), ("model", .string(report.name)),
      ("form", .string(settings.form.rawValue)), ("threads", .int(settings.threads)),
      ("batch", .int(settings.batch)), ("resolution", .int(report.height)),
      ("image", .array([.int(report.height), .int(report.width), .int(report.channels)])),
      ("classes", .int(report.classes)), ("steps", .int(settings.steps)),
      ("images_per_second", .double(report.imagesPerSecond)),
      ("seconds_per_batch", .double(report.secondsPerBatch)),
      ("fastest_batch", .double(report.fastestBatch)),
      ("slowest_batch", .double(report.slowestBatch)),
      ("seconds_to_first_result", .double(report.secondsToFirstResult)),
      ("peak_resident_bytes", .int(report.peakResidentBytes)),
      ("network_bytes", report.networkBytes > 0 ? .int(report.networkBytes) : .null),
      ("cpu", .string(Machine.processor)),
    ])
  }

  private static func text(
    _ report: InferenceBenchmark.Report, _ settings: InferenceBenchmark.Settings
  ) -> String {
    var summary = Summary(
      title:
        "\(report.name), \(settings.form.rawValue) form, \(report.height)x\(report.width), batch "
        + "\(settings.batch), \(settings.threads) \(settings.threads == 1 ? "thread" : "threads")")
    func milliseconds(_ seconds: Double) -> String { Quantity.fixed(seconds * 1e3, decimals: 2) }
    summary.append("images/s", Quantity.fixed(report.imagesPerSecond, decimals: 1))
    summary.append(
      "milliseconds a batch",
      "\(milliseconds(report.secondsPerBatch)) (median of \(settings.steps); "
        + "\(milliseconds(report.fastestBatch)) to \(milliseconds(report.slowestBatch)))")
    summary.append(
      "load to first result",
      "\(Quantity.fixed(report.secondsToFirstResult, decimals: 3)) s")
    summary.append("peak memory", Quantity.bytes(report.peakResidentBytes))
    return summary.text
  }
}
