import Checkpoints
import Kernels
import Orchestration
import Reporting

/// `repvgg bench kernels`: one rank alone, whoever started it.
enum BenchKernelsCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    try Machine.requireBuiltForProcessor()
    let model = try BenchModel(invocation)
    var settings = KernelBenchmark.Settings(architecture: model.architecture)
    settings.inputChannels = model.channels
    (settings.height, settings.width) = (model.height, model.width)
    if let batch = invocation.integer("--batch") { settings.batch = batch }
    if let threads = invocation.integer("--threads") { settings.threads = threads }
    if let repetitions = invocation.integer("--steps") { settings.repetitions = repetitions }
    let picture = invocation.text("--svg")
    if let picture {
      try OutputFile.require(
        picture, isNot: invocation.text("--model") ?? "", option: "--svg")
    }
    let report = try KernelBenchmark(settings).run()
    if let picture {
      let svg = RooflinePicture(
        report, title: "\(title(settings)) on \(Machine.processor)", threads: settings.threads
      ).svg()
      try AtomicFile.write(path: picture, bytes: Array(svg.utf8))
    }
    if invocation.flag("--json") {
      Speaker.say(json(report, settings).text())
    } else {
      Speaker.say(text(report, settings))
    }
    return .done
  }

  private static func title(_ settings: KernelBenchmark.Settings) -> String {
    "\(settings.architecture.name), \(settings.batch) images of \(settings.height) x "
      + "\(settings.width), \(settings.threads) \(settings.threads == 1 ? "thread" : "threads")"
  }

  // MARK: JSON

  private static func json(
    _ report: KernelBenchmark.Report, _ settings: KernelBenchmark.Settings
  ) -> JSONValue {
    let roof = report.roof
    let (peak, copy) = (roof.fmaGigaflops * Double(settings.threads), roof.copyRate)
    return .object([
      ("benchmark", "kernels"), ("model", .string(settings.architecture.name)),
      ("batch", .int(settings.batch)),
      (
        "image",
        .array([.int(settings.height), .int(settings.width), .int(settings.inputChannels)])
      ),
      ("stem_stride", .int(settings.architecture.stemStride)),
      ("threads", .int(settings.threads)), ("repetitions", .int(settings.repetitions)),
      ("cpu", .string(Machine.processor)),
      ("instruction_sets", .array(KernelBuild.instructionSets.map { .string($0) })),
      ("panel_width", .int(KernelBuild.panelWidth)),
      ("fma_peak_gflops", .double(roof.fmaGigaflops)),
      ("memory_read_gbytes_per_second", .double(roof.readRate / 1e9)),
      ("memory_copy_gbytes_per_second", .double(roof.copyRate / 1e9)),
      ("seconds", .double(report.seconds)),
      ("gflops", .double(report.operations / report.seconds / 1e9)),
      ("share_of_peak", .double(report.operations / report.seconds / 1e9 / peak)),
      ("images_per_second", .double(Double(settings.batch) / report.seconds)),
      (
        "totals",
        .array(
          report.totals.map {
            .object([
              ("kind", .string($0.kind)), ("seconds", .double($0.seconds)),
              ("share", .double($0.seconds / report.seconds)),
            ])
          })
      ),
      ("layers", .array(report.layers.map { json($0, peak: peak, copy: copy) })),
      ("passes", .array(report.passes.map { json($0, copy: copy) })),
    ])
  }

  private static func json(
    _ layer: KernelBenchmark.Layer, peak: Double, copy: Double
  ) -> JSONValue {
    let block = layer.block
    // Packing has no operations that count.
    func rate(_ value: Double) -> JSONValue { layer.operations > 0 ? .double(value) : .null }
    return .object([
      ("layer", .string(layer.name)), ("blocks", .int(layer.blocks)),
      ("kernel", .int(layer.kernel)), ("path", .string(layer.path.rawValue)),
      ("pass", .string(layer.pass.rawValue)),
      (
        "input",
        .array([.int(block.inputHeight), .int(block.inputWidth), .int(block.inputChannels)])
      ),
      (
        "output",
        .array([.int(block.outputHeight), .int(block.outputWidth), .int(block.outputChannels)])
      ),
      ("stride", .int(block.stride)), ("groups", .int(block.groups)),
      ("seconds", .double(layer.seconds)), ("gflops", rate(layer.gigaflops)),
      ("share_of_peak", rate(layer.gigaflops / peak)), ("intensity", rate(layer.intensity)),
      ("gbytes_per_second", .double(layer.byteRate / 1e9)),
      ("share_of_bandwidth", .double(layer.byteRate / copy)),
    ])
  }

  private static func json(_ pass: KernelBenchmark.ElementWise, copy: Double) -> JSONValue {
    .object([
      ("layer", .string(pass.name)), ("blocks", .int(pass.blocks)), ("pass", .string(pass.pass)),
      ("largest", .bool(pass.isLargest)), ("seconds", .double(pass.seconds)),
      ("gbytes_per_second", .double(pass.byteRate / 1e9)),
      ("share_of_bandwidth", .double(pass.byteRate / copy)),
    ])
  }

  // MARK: Text

  private static func text(
    _ report: KernelBenchmark.Report, _ settings: KernelBenchmark.Settings
  ) -> String {
    let roof = report.roof
    let peak = roof.fmaGigaflops * Double(settings.threads)
    var summary = Summary(title: "\(title(settings)): \(Machine.processor)")
    summary.append(
      "multiply-add peak", "\(Quantity.fixed(roof.fmaGigaflops, decimals: 1)) GFLOP/s, one core")
    summary.append(
      "memory",
      "\(Quantity.fixed(roof.readRate / 1e9, decimals: 1)) GB/s read, "
        + "\(Quantity.fixed(roof.copyRate / 1e9, decimals: 1)) GB/s copied")
    summary.append(
      "kernels of a step",
      "\(Quantity.fixed(report.seconds, decimals: 4)) s, "
        + "\(Quantity.fixed(report.operations / report.seconds / 1e9, decimals: 1)) GFLOP/s as if "
        + "direct, \(Quantity.percent(report.operations / report.seconds / 1e9 / peak)) of the peak"
    )
    for total in report.totals {
      summary.append(
        "  \(total.kind)",
        "\(Quantity.fixed(total.seconds, decimals: 4)) s, "
          + Quantity.percent(total.seconds / report.seconds))
    }
    return summary.text + "\n" + layerTable(report, peak: peak) + "\n"
      + passTable(report, copy: roof.copyRate)
  }

  private static func layerTable(_ report: KernelBenchmark.Report, peak: Double) -> String {
    var table = TextTable([
      .left("layer"), .right("blocks"), .left("kernel"), .left("path"), .left("pass"),
      .right("ms"), .right("GFLOP/s"), .right("of peak"), .right("FLOP/byte"), .right("GB/s"),
    ])
    for layer in report.layers {
      let counts = layer.operations > 0
      table.append([
        layer.name, "\(layer.blocks)",
        layer.path == .recomputed ? "both" : "\(layer.kernel)x\(layer.kernel)",
        layer.path.rawValue, layer.pass.rawValue,
        Quantity.fixed(layer.seconds * 1e3, decimals: 3),
        counts ? Quantity.fixed(layer.gigaflops, decimals: 1) : "",
        counts ? Quantity.percent(layer.gigaflops / peak) : "",
        counts ? Quantity.fixed(layer.intensity, decimals: 1) : "",
        Quantity.fixed(layer.byteRate / 1e9, decimals: 2),
      ])
    }
    return table.text
  }

  private static func passTable(_ report: KernelBenchmark.Report, copy: Double) -> String {
    var table = TextTable([
      .left("layer"), .right("blocks"), .left("pass over activations"), .right("ms"),
      .right("GB/s"), .right("of copying"),
    ])
    for pass in report.passes {
      table.append([
        pass.name, "\(pass.blocks)", pass.pass, Quantity.fixed(pass.seconds * 1e3, decimals: 3),
        Quantity.fixed(pass.byteRate / 1e9, decimals: 2), Quantity.percent(pass.byteRate / copy),
      ])
    }
    return table.text
  }
}
