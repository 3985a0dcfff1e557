import Orchestration
import Reporting
import RunPlanning

/// `repvgg bench step|collectives --save FILE`: adds to the curves of this machine, from which
/// `repvgg plan` predicts runs.
enum BenchCurvesCommand {
  /// A step's parts on every rank at the same time, none waiting for another.
  static func step(
    _ settings: StepBenchmark.Settings, _ invocation: Invocation, _ backend: Backend
  ) throws {
    var measured: [MachineCurves.Step] = []
    let path = try add(invocation, backend) {
      measured = try StepBenchmark.curves(settings, communicator: backend.communicator)
    } change: { curves in
      for step in measured { curves.add(step) }
    }
    if invocation.flag("--json") {
      let steps = measured.map { step in
        JSONValue.object([
          ("ranks", .int(step.ranks)), ("threads", .int(step.threads)),
          ("shards", .int(step.shards)), ("shard_images", .int(step.shardImages)),
          ("seconds_per_step", .double(step.seconds)),
        ])
      }
      return Speaker.say(
        JSONValue.object([
          ("benchmark", "step"), ("model", .string(settings.architecture.name)),
          ("saved", .string(path)), ("steps", .array(steps)),
        ]).text())
    }
    var table = TextTable([
      .right("ranks at once"), .right("threads"), .right("shards"), .right("images of each"),
      .right("s a step"), .right("images/s of a rank"),
    ])
    for step in measured {
      table.append([
        "\(step.ranks)", "\(step.threads)", "\(step.shards)", "\(step.shardImages)",
        Quantity.fixed(step.seconds, decimals: 4),
        Quantity.fixed(Double(step.shards * step.shardImages) / step.seconds, decimals: 1),
      ])
    }
    Speaker.say("\(settings.architecture.name), added to \(path)\n" + table.text)
  }

  /// Takes what `bench collectives` has measured into the curves.
  static func sums(
    _ invocation: Invocation, _ backend: Backend,
    measure: () throws -> [CollectivesBenchmark.Row]
  ) throws -> [CollectivesBenchmark.Row] {
    var rows: [CollectivesBenchmark.Row] = []
    try add(invocation, backend) {
      rows = try measure()
    } change: { curves in
      for row in rows {
        guard let type = RunPlan.Message.ElementType(rawValue: row.kind.rawValue) else { continue }
        curves.add(
          MachineCurves.Sum(
            ranks: backend.communicator.size, type: type, bytes: row.bytes,
            seconds: row.medianSeconds))
      }
    }
    return rows
  }

  /// Rank 0 looks at the file before anything is measured and writes it afterwards; all ranks end in the
  /// same way. The path.
  @discardableResult
  private static func add(
    _ invocation: Invocation, _ backend: Backend, measure: () throws -> Void,
    change: (inout MachineCurves) -> Void
  ) throws -> String {
    let (path, ranks) = (invocation.text("--save") ?? "", backend.communicator)
    let curves = try Agreement.all(ranks) {
      try requireOneHost(ranks.size)
      return ranks.rank == 0 ? try CurveFile.readToAdd(path) : nil
    }
    try measure()
    try Agreement.all(ranks) {
      guard var curves else { return }
      change(&curves)
      try CurveFile.write(curves, to: path)
    }
    return path
  }

  private static func requireOneHost(_ ranks: Int) throws {
    let here = Machine.toldLocalRanks ?? ranks
    guard here == ranks else {
      throw JobFailure(
        .configuration,
        "--save takes the curves of one host, and \(here) of \(ranks) ranks are on this one; run it on "
          + "one, and say what joins hosts to repvgg plan --network")
    }
  }
}
