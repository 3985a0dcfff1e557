import Collectives
import Orchestration
import Reporting
import RunPlanning

/// `repvgg bench step|inference|loader|collectives|kernels`; under mpirun all ranks take part, except in
/// the measurements of inference and kernels.
enum BenchCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    switch invocation.positionals[0] {
    case "kernels": return alone { try BenchKernelsCommand.run(invocation) }
    case "inference": return alone { try BenchInferenceCommand.run(invocation) }
    default: break
    }
    return Backend.run(computes: invocation.positionals[0] != "loader") { backend in
      switch invocation.positionals[0] {
      case "collectives": try collectives(invocation, backend)
      case "loader": try BenchLoaderCommand.run(invocation, backend)
      default: try step(invocation, backend)
      }
      return .done
    }
  }

  private static func step(_ invocation: Invocation, _ backend: Backend) throws {
    let model = try Agreement.all(backend.communicator) { try BenchModel(invocation) }
    var settings = StepBenchmark.Settings(architecture: model.architecture)
    settings.inputChannels = model.channels
    (settings.height, settings.width) = (model.height, model.width)
    settings.classes = model.classes
    if let batch = invocation.integer("--batch") { settings.batch = batch }
    if let threads = invocation.integer("--threads") { settings.threads = threads }
    if let steps = invocation.integer("--steps") { settings.steps = steps }
    if let mode = invocation.text("--batch-norm").flatMap(RunConfig.BatchNormMode.init) {
      settings.batchNorm = mode
    }
    backend.communicator.use(reduction(invocation))
    if invocation.isGiven("--save") {
      return try BenchCurvesCommand.step(settings, invocation, backend)
    }
    let report = try StepBenchmark(settings, communicator: backend.communicator).run()
    let ranks = backend.communicator.size
    if invocation.flag("--json") {
      Speaker.say(json(report, settings, ranks: ranks).text())
    } else {
      Speaker.say(text(report, settings, ranks: ranks))
    }
  }

  private static func reduction(_ invocation: Invocation) -> ReductionAlgorithm {
    let chosen = invocation.text("--reduction").flatMap(RunConfig.Reduction.init)
    return ReductionAlgorithm(chosen ?? RunConfig.Communication().reduction)
  }

  private static func json(
    _ report: StepBenchmark.Report, _ settings: StepBenchmark.Settings, ranks: Int
  ) -> JSONValue {
    .object([
      ("benchmark", "step"), ("model", .string(settings.architecture.name)),
      ("ranks", .int(ranks)), ("threads", .int(settings.threads)),
      ("batch", .int(settings.batch)), ("global_batch", .int(report.globalBatch)),
      ("shards", .int(report.shards)), ("resolution", .int(settings.height)),
      (
        "image",
        .array([.int(settings.height), .int(settings.width), .int(settings.inputChannels)])
      ),
      ("stem_stride", .int(settings.architecture.stemStride)), ("classes", .int(settings.classes)),
      ("batch_norm", .string(settings.batchNorm.rawValue)), ("steps", .int(settings.steps)),
      ("images_per_second", .double(report.imagesPerSecond)),
      ("seconds_per_step", .double(report.secondsPerStep)),
      ("fastest_step", .double(report.fastestStep)),
      ("slowest_step", .double(report.slowestStep)),
      ("peak_resident_bytes", .int(report.peakResidentBytes)),
      (
        "shares",
        .object([
          ("compute", .double(report.computeShare)),
          ("collectives", .double(report.collectivesShare)),
          ("waiting", .double(report.waitingShare)),
        ])
      ),
      ("gradient_seconds", .double(report.exposedSeconds)),
      ("collectives_per_step", .int(report.collectivesPerStep)),
      ("collective_bytes_per_step", .int(report.bytesPerStep)),
      ("blas_kernel", .string(Machine.summary(mpiVersion: "").blasKernel)),
      ("cpu", .string(Machine.processor)),
    ])
  }

  private static func text(
    _ report: StepBenchmark.Report, _ settings: StepBenchmark.Settings, ranks: Int
  ) -> String {
    var summary = Summary(
      title: "\(settings.architecture.name), \(settings.height)x\(settings.width), batch "
        + "\(settings.batch) x \(ranks) ranks x \(settings.threads) threads, "
        + "\(settings.batchNorm.rawValue) BatchNorm")
    summary.append("images/s", Quantity.fixed(report.imagesPerSecond, decimals: 1))
    summary.append(
      "seconds a step",
      "\(Quantity.fixed(report.secondsPerStep, decimals: 4)) (median of \(settings.steps); "
        + "\(Quantity.fixed(report.fastestStep, decimals: 4)) to "
        + "\(Quantity.fixed(report.slowestStep, decimals: 4)))")
    summary.append("peak memory of a rank", Quantity.bytes(report.peakResidentBytes))
    summary.append("in collectives", Quantity.percent(report.collectivesShare))
    summary.append(
      "for gradients", "\(Quantity.fixed(report.exposedSeconds, decimals: 4)) s a step")
    summary.append(
      "collectives a step",
      "\(report.collectivesPerStep), \(Quantity.bytes(report.bytesPerStep))")
    return summary.text
  }

  private static func collectives(_ invocation: Invocation, _ backend: Backend) throws {
    let repetitions = invocation.integer("--steps") ?? 10
    let algorithm = reduction(invocation)
    backend.communicator.use(algorithm)
    let benchmark = CollectivesBenchmark(
      communicator: backend.communicator, repetitions: repetitions)
    // Whole numbers of Float64.
    let size = invocation.integer("--bytes").map { [($0 + 7) / 8 * 8] }
    let sizes = size ?? CollectivesBenchmark.sizes
    let rows =
      invocation.isGiven("--save")
      ? try BenchCurvesCommand.sums(invocation, backend) { try benchmark.run(sizes: sizes) }
      : try benchmark.run(sizes: sizes)
    if invocation.flag("--json") {
      Speaker.say(
        JSONValue.object([
          ("benchmark", "collectives"), ("ranks", .int(backend.communicator.size)),
          ("backend", .string(backend.communicator.backend)),
          ("reduction", .string(algorithm.rawValue)), ("repetitions", .int(repetitions)),
          (
            "sums",
            .array(
              rows.map {
                .object([
                  ("type", .string($0.kind.rawValue)), ("bytes", .int($0.bytes)),
                  ("median_seconds", .double($0.medianSeconds)),
                  ("fastest_seconds", .double($0.fastestSeconds)),
                ])
              })
          ),
        ]).text())
      return
    }
    var table = TextTable([
      .left("sum of"), .right("size"), .right("median"), .right("fastest"), .right("a second"),
    ])
    for row in rows {
      table.append([
        row.kind.rawValue, Quantity.bytes(row.bytes),
        "\(Quantity.fixed(row.medianSeconds * 1e6, decimals: 0)) us",
        "\(Quantity.fixed(row.fastestSeconds * 1e6, decimals: 0)) us",
        Quantity.bytes(Int(Double(row.bytes) / max(row.medianSeconds, 1e-9))),
      ])
    }
    Speaker.say(
      "\(backend.communicator.size) ranks over \(backend.communicator.backend)\n" + table.text)
  }
}
