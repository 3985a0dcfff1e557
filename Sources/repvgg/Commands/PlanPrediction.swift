import Checkpoints
import Foundation
import Orchestration
import Reporting
import RunPlanning

/// `repvgg plan CONFIG --ranks 8,64,512 --network …`: what runs of several sizes would take, from the
/// curves of a machine.
struct PlanPrediction {
  private let invocation: Invocation
  private let configuration: String
  private let overrides: [String]
  private let ranks: [Int]
  private let threads: Int
  private let path: String
  private let curves: MachineCurves
  private let cluster: RunPrediction.Cluster

  /// Options that ask for a prediction.
  private static let options = [
    "--machine", "--network", "--ranks-per-host", "--cores-per-host", "--images-per-rank",
    "--price", "--svg",
  ]

  static func isAskedFor(_ invocation: Invocation, ranks: [Int]) -> Bool {
    ranks.count > 1 || options.contains { invocation.isGiven($0) }
  }

  /// The numbers of `--ranks`, by rising size; empty where it was not given.
  static func ranks(_ invocation: Invocation) throws -> [Int] {
    guard let text = invocation.text("--ranks") else { return [] }
    let counts = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let count = Int(part), (1...65_536).contains(count) else {
        throw usage("--ranks '\(part)' is not a whole number from 1 to 65536")
      }
      return count
    }
    guard counts.count <= 64 else {
      throw usage("--ranks names \(counts.count) numbers; 64 at most")
    }
    return Set(counts).sorted()
  }

  init(_ invocation: Invocation, ranks: [Int]) throws {
    self.invocation = invocation
    self.ranks = ranks.isEmpty ? [1] : ranks
    configuration = invocation.positionals[0]
    overrides = invocation.texts("--set")
    if invocation.isGiven("--hosts") {
      throw Self.usage(
        "--hosts is of a job that starts here; a prediction takes --ranks-per-host and --network")
    }
    guard invocation.text("--threads") != "auto" else {
      throw Self.usage("--threads auto needs the hosts; a prediction takes their number")
    }
    threads = invocation.integer("--threads") ?? 1
    let network = try invocation.text("--network").map { text in
      do {
        return try NetworkSpeed(text)
      } catch {
        throw Self.usage("--network: \(error)")
      }
    }
    let price = try invocation.text("--price").map(Self.price)
    if invocation.isGiven("--images-per-rank"),
      let set = overrides.first(where: {
        $0.hasPrefix("training.global_batch=") || $0.hasPrefix("training.shards=")
      })
    {
      throw Self.usage("--images-per-rank and --set \(set) exclude each other")
    }
    path = invocation.text("--machine") ?? "machine.json"
    if let picture = invocation.text("--svg") {
      try OutputFile.require(picture, isNot: path, option: "--svg")
      try OutputFile.require(picture, isNot: configuration, option: "--svg")
    }
    curves = try CurveFile.read(path)
    cluster = RunPrediction.Cluster(
      curves: curves, threads: threads, ranksPerHost: invocation.integer("--ranks-per-host"),
      coresPerHost: invocation.integer("--cores-per-host"), network: network, price: price)
  }

  private static func usage(_ message: String) -> JobFailure {
    JobFailure(.usage, UsageError(message, command: .plan).message)
  }

  private static func price(_ text: String) throws -> Double {
    guard text.allSatisfy({ $0 == "." || ("0"..."9").contains($0) }), let price = Double(text),
      price <= 1e9
    else {
      throw usage("--price '\(text)' is not a number from 0, as in 0.05")
    }
    return price
  }

  func run() throws -> ExitCode {
    let predictions = try ranks.map(predict)
    if let picture = invocation.text("--svg") {
      let svg = ScalingPicture(predictions, title: title, subtitle: subtitle).svg()
      try AtomicFile.write(path: picture, bytes: Array(svg.utf8))
    }
    Speaker.say(invocation.flag("--json") ? json(predictions).text() : text(predictions))
    return .done
  }

  private func predict(_ ranks: Int) throws -> RunPrediction {
    var set = overrides
    if let images = invocation.integer("--images-per-rank") {
      set += ["training.global_batch=\(images * ranks)", "training.shards=\(ranks)"]
    }
    let config = try RunConfig.load(path: configuration, overrides: set)
    let machine = curves.machine
    let plan = try RunPlan.resolve(
      config: config, worldSize: ranks, threads: threads, data: try PlanCommand.summary(config),
      machine: MachineSummary(
        // Without a size of the memory nothing is refused for it: the table says what does not fit.
        cpu: machine.cpu, physicalMemoryBytes: 0, cores: cluster.coresPerHost, blasKernel: "",
        blasEnvironment: [:], mpiVersion: "none", programVersion: machine.programVersion,
        localRanks: cluster.ranksPerHost, instructionSets: machine.instructionSets,
        panelWidth: machine.panelWidth))
    do {
      return try RunPrediction(plan, curves: curves, cluster: cluster)
    } catch .network(let ranks, let hosts) {
      throw Self.usage("\(RunPrediction.Missing.network(ranks: ranks, hosts: hosts))")
    } catch {
      throw JobFailure(.badData, "\(path): \(error)")
    }
  }

  // MARK: Words

  private var config: RunConfig? {
    try? RunConfig.load(path: configuration, overrides: overrides)
  }

  private var title: String {
    "\(config?.model.architecture.name ?? configuration), predicted from \(curves.machine.cpu)"
  }

  private var subtitle: String {
    let batch =
      invocation.integer("--images-per-rank").map { "\($0) images a rank" }
      ?? "a global batch of \(config?.training.globalBatch ?? 0)"
    let plural = (cluster.coresPerHost == 1 ? "" : "s", cluster.ranksPerHost == 1 ? "" : "s")
    var text =
      "\(batch); hosts of \(cluster.coresPerHost) core\(plural.0) with up to "
      + "\(cluster.ranksPerHost) rank\(plural.1) of \(threads) thread\(threads == 1 ? "" : "s")"
    if let network = cluster.network {
      text +=
        "; between them \(Quantity.fixed(network.bytesPerSecond * 8 / 1e9, decimals: 2)) Gb/s, "
        + "\(Quantity.fixed(network.latency * 1e6, decimals: 1)) us"
    }
    return text
  }

  private func text(_ predictions: [RunPrediction]) -> String {
    var table = TextTable(
      [
        .right("ranks"), .right("hosts"), .right("batch"), .right("images/s"),
        .right("s a step"), .right("images"), .right("weights"), .right("waiting"),
        .right("statistics"),
        .right("gradients"), .right("epoch"), .right("all"), .right("memory a host"),
      ] + (cluster.price == nil ? [] : [.right("cost")]) + [.left("most of it")])
    for run in predictions {
      func share(_ part: StepPrediction.Limit) -> String {
        Quantity.percent(run.step[part] / run.step.seconds)
      }
      table.append(
        [
          Quantity.count(run.ranks), Quantity.count(run.hosts), Quantity.count(run.globalBatch),
          Quantity.fixed(run.imagesPerSecond, decimals: 1),
          Quantity.fixed(run.step.seconds, decimals: 4),
          share(.images), share(.weights), share(.waiting), share(.statistics), share(.gradients),
          Quantity.duration(seconds: run.secondsPerEpoch),
          Quantity.duration(seconds: run.secondsTotal),
          Quantity.bytes(run.memoryOfHost) + (run.fits ? "" : " (!)"),
        ] + (run.cost.map { [Quantity.fixed($0, decimals: 2)] } ?? [])
          + [run.step.limit.rawValue])
    }
    let lines = [title + " (\(path))", subtitle, "", table.text] + notes(predictions)
    return lines.joined(separator: "\n")
  }

  /// What a person should know of these predictions.
  private func notes(_ predictions: [RunPrediction]) -> [String] {
    var notes = [
      "Training steps alone: without reading images, evaluation and checkpoints. Waiting: for the "
        + "slowest rank. Statistics and gradients: what a step waits for; of the gradients up to "
        + "\(Quantity.fixed(1000 * (predictions.map(\.step.hidden).max() ?? 0), decimals: 1)) ms more "
        + "pass unseen."
    ]
    let last = predictions[predictions.count - 1]
    if last.estimatedBlocks > 0 {
      notes.append(
        "\(last.estimatedBlocks) of \(last.blocks) blocks were not measured and are taken for others "
          + "by their multiply-accumulates; mend: repvgg bench step --model \(configuration) "
          + "--save \(path)")
    }
    if !last.hasThreads {
      notes.append(
        "Ranks of \(threads) threads were not measured: the work is taken to be shared evenly.")
    }
    if config?.communication.reduction == .library {
      notes.append("communication.reduction: library is taken to be as fast as halving.")
    }
    if let large = predictions.first(where: { !$0.fits }) {
      notes.append(
        "(!) \(large.ranks) ranks need \(Quantity.bytes(large.memoryOfHost)) of a host, and it has "
          + "\(Quantity.bytes(cluster.memoryOfHost)): fewer ranks on more hosts.")
    }
    return notes
  }

  // MARK: JSON

  private func json(_ predictions: [RunPrediction]) -> JSONValue {
    let machine = curves.machine
    return .object([
      ("program", "repvgg"), ("prediction", .string(config?.model.architecture.name ?? "")),
      (
        "machine",
        .object([
          ("file", .string(path)), ("name", .string(machine.name)), ("cpu", .string(machine.cpu)),
          ("cores", .int(machine.cores)),
        ])
      ),
      ("threads", .int(threads)), ("ranks_per_host", .int(cluster.ranksPerHost)),
      ("cores_per_host", .int(cluster.coresPerHost)),
      (
        "network",
        cluster.network.map {
          .object([
            ("bytes_per_second", .double($0.bytesPerSecond)), ("latency", .double($0.latency)),
          ])
        } ?? .null
      ),
      ("price", cluster.price.map { .double($0) } ?? .null),
      ("runs", .array(predictions.map(Self.json))),
    ])
  }

  private static func json(_ run: RunPrediction) -> JSONValue {
    .object([
      ("ranks", .int(run.ranks)), ("hosts", .int(run.hosts)),
      ("global_batch", .int(run.globalBatch)), ("shards", .int(run.shards)),
      ("images_per_second", .double(run.imagesPerSecond)),
      ("seconds_per_step", .double(run.step.seconds)),
      (
        "parts",
        .object(
          StepPrediction.Limit.allCases.map { ($0.rawValue, .double(run.step[$0])) })
      ),
      ("limit", .string(run.step.limit.rawValue)),
      ("exposed_seconds", .double(run.step.exposed)),
      ("exposed_share", .double(run.exposedShare)),
      ("hidden_seconds", .double(run.step.hidden)),
      ("steps", .int(run.steps)), ("seconds_per_epoch", .double(run.secondsPerEpoch)),
      ("seconds_total", .double(run.secondsTotal)),
      ("memory_bytes_of_rank", .int(run.memoryOfRank)),
      ("memory_bytes_of_host", .int(run.memoryOfHost)), ("fits", .bool(run.fits)),
      ("core_hours", .double(run.coreHours)), ("cost", run.cost.map { .double($0) } ?? .null),
      ("estimated_blocks", .int(run.estimatedBlocks)), ("blocks", .int(run.blocks)),
    ])
  }
}
