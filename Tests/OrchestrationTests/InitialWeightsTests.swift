import Collectives
import Deployment
import Foundation
import ImageData
import RunPlanning
import Tensors
import Testing
import _TestSupport

@testable import Orchestration

/// Runs that begin with the weights of a file.
@Suite(.timeLimit(.minutes(5))) struct InitialWeightsTests {
  private static let configuration = """
    model: {architecture: {stem: 8, depths: [1, 2], widths: [8, 16]}, strides: [1, 2, 2], classes: 4}
    data: {format: synthetic, resolution: 8, train_limit: 64, test_limit: 20}
    training: {global_batch: 16, shards: 4, epochs: 2}
    checkpoint: {every_steps: 0, every_minutes: 0}
    evaluation: {every_epochs: 0}
    watchdog: {warn_seconds: 60, abort_seconds: 300}

    """

  private let scratch: ScratchDirectory
  private let configuration: String

  init() throws {
    scratch = try ScratchDirectory()
    configuration = try scratch.write(Self.configuration, to: "tiny.yaml")
  }

  // MARK: - Files

  /// Weights of the configuration's network that no run has begun with.
  private func weights() throws -> NamedTensors { testWeights(try plan().trainingTable) }

  private func write(_ tensors: NamedTensors) throws {
    try scratch.write(tensors.safetensorsBytes(), to: "w.safetensors")
  }

  private var fromFile: String { "model.initialize_from=\(scratch.path("w.safetensors"))" }

  private static func isClassifier(_ name: String) -> Bool { name.hasPrefix("linear.") }

  // MARK: - Workers

  private func plan(_ overrides: [String] = []) throws -> RunPlan {
    let config = try RunConfig.load(
      path: configuration, overrides: ["output=\(scratch.path("unused"))"] + overrides)
    let (train, test) = try Datasets.open(config: config)
    return try RunPlan.resolve(
      config: config, worldSize: 1, threads: 1,
      data: DataSummary(train: train, test: test, config: config),
      machine: Machine.summary(mpiVersion: "none"))
  }

  /// What the run's network holds before its first step, and what was said of it.
  private func beginning(
    _ overrides: [String]
  ) throws -> (tensors: NamedTensors, initial: InitialWeights?) {
    let plan = try plan(overrides)
    try InitialWeights.check(plan)
    let initial = try InitialWeights(plan)
    let (train, test) = try Datasets.open(config: plan.config)
    let communicator = SoloCommunicator()
    let worker = try Worker(
      plan: plan, train: train, test: test, communicator: communicator,
      heartbeat: Heartbeat.make(over: communicator))
    try worker.initialise(from: initial)
    try worker.resume(nil)
    return (worker.network.tensors(), initial)
  }

  @Test(arguments: KeyScheme.allCases) func allOfAFileIsTakenOver(scheme: KeyScheme) throws {
    let source = try weights()
    try write(scheme.naming(source))
    let (tensors, initial) = try beginning([fromFile])
    #expect(tensors.count == source.count)
    for (name, tensor) in source { #expect(tensors[name] == tensor, "\(name)") }
    #expect(initial?.classifier == .kept && initial?.scheme == scheme)
    #expect(initial?.weightsSHA256 == source.weightsSHA256())
    #expect(
      initial?.summary
        == "begins with the weights of \(scratch.path("w.safetensors")) (\(scheme.rawValue) names)")
  }

  @Test func aClassifierForOtherClassesIsNew() throws {
    let source = try weights()
    try write(source)
    let fresh = try beginning(["model.classes=3"]).tensors
    let (tensors, initial) = try beginning([fromFile, "model.classes=3"])
    for (name, tensor) in tensors {
      let expected = Self.isClassifier(name) ? fresh[name] : source[name]
      #expect(tensor == expected, "\(name)")
    }
    #expect(initial?.classifier == .new(fileClasses: 4))
    #expect(
      initial?.summary.hasSuffix("; the classifier is new: the file has 4 classes, this run 3")
        == true)
  }

  @Test func aFileMayHaveNoClassifier() throws {
    var source = try weights()
    for name in source.names where Self.isClassifier(name) { source[name] = nil }
    try write(source)
    let (tensors, initial) = try beginning([fromFile])
    #expect(initial?.classifier == .new(fileClasses: nil))
    #expect(initial?.summary.hasSuffix("; the classifier is new: the file has none") == true)
    let fresh = try beginning([]).tensors
    for (name, tensor) in tensors { #expect(tensor == source[name] ?? fresh[name], "\(name)") }
  }

  @Test func countsThatAreMissingAreZero() throws {
    var source = try weights()
    let counts = source.names.filter { $0.hasSuffix(".num_batches_tracked") }
    for name in counts { source[name] = nil }
    try write(source)
    let (tensors, _) = try beginning([fromFile])
    #expect(counts.count == 9)
    for name in counts { #expect(tensors[name]?.integers == [0], "\(name)") }
    for (name, tensor) in source { #expect(tensors[name] == tensor, "\(name)") }
  }

  /// The average begins where the weights do.
  @Test func theAverageBeginsWithThem() throws {
    let source = try weights()
    try write(source)
    let plan = try plan([fromFile, "training.average_decay=0.5"])
    let (train, test) = try Datasets.open(config: plan.config)
    let communicator = SoloCommunicator()
    let worker = try Worker(
      plan: plan, train: train, test: test, communicator: communicator,
      heartbeat: Heartbeat.make(over: communicator))
    try worker.initialise(from: InitialWeights(plan))
    let average = worker.whileEvaluating { worker.network.tensors() }
    for (name, tensor) in source { #expect(average[name] == tensor, "\(name)") }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let source = try weights()
    func refusal(_ overrides: [String], code: ExitCode = .badData) throws -> String {
      let plan = try plan([fromFile] + overrides)
      let error = try #require(throws: (any Error).self) { _ = try InitialWeights(plan) }
      let early = try #require(throws: (any Error).self) { try InitialWeights.check(plan) }
      #expect("\(error)" == "\(early)")
      #expect(ExitCode.of(error) == code && ExitCode.of(early) == code)
      return "\(error)".replacingOccurrences(of: scratch.path("w.safetensors"), with: "w")
    }
    #expect(try refusal([], code: .missingInput).hasPrefix("w: "))
    try write(KeyScheme.timm.naming(source))
    let strides = "model.strides=[1, 1, 2]"
    #expect(
      try refusal([strides])
        == "w: the tensors are not those of this network: stage1.0: rbr_identity (5 tensors) "
        + "missing; check that the configuration names the architecture of the file (names are the "
        + "published ones, for the file's of timm)")
    #expect(
      try refusal(["data.channels=3"]).contains(
        "[8, 1, 3, 3], this network needs [8, 3, 3, 3]; stage0.rbr_1x1.conv.weight has shape "
          + "[8, 1, 1, 1], this network needs [8, 3, 1, 1]; the file is for images of 1 channels, "
          + "the configuration for 3 (data.channels)"))
    try write(Fuse.deployTensors(from: source))
    #expect(
      try refusal([])
        == "w: these are deploy weights; model.initialize_from needs training weights")
  }

  // MARK: - Jobs

  /// Runs the job; the code of every rank.
  private func run(ranks: Int, output: String, _ overrides: [String]) throws -> [ExitCode] {
    let options = TrainingJob.Options(
      configuration: configuration, overrides: overrides, output: scratch.path(output),
      progress: .none)
    return try InProcessCommunicator.run(ranks: ranks, timeout: 120) { communicator in
      let watchdog = Watchdog(try Heartbeat.make(over: communicator))
      watchdog.start()
      defer { watchdog.stop() }
      return try TrainingJob(
        options, communicator: communicator, placement: .unbound(ranks: communicator.size),
        mpiVersion: "none", watchdog: watchdog
      ).run()
    }
  }

  private func model(_ output: String, step: Int) throws -> NamedTensors {
    let path = scratch.path("\(output)/checkpoints/step-00000000\(step)/model.safetensors")
    return try NamedTensors.readSafetensors(path: path)
  }

  /// At a rate of 0 the first step leaves the weights as they were.
  @Test func everyRankBeginsWithTheFile() throws {
    let source = try weights()
    try write(source)
    let one = [fromFile, "training.max_steps=1", "schedule.warmup_epochs=1"]
    #expect(try run(ranks: 1, output: "one", one) == [.done])
    #expect(try run(ranks: 2, output: "two", one) == [.done, .done])
    let (alone, pair) = (try model("one", step: 1), try model("two", step: 1))
    #expect(pair == alone)
    for (name, tensor) in source {
      if let count = tensor.integers?.first {
        #expect(alone[name]?.integers == [count + 1], "\(name)")
      } else if !name.contains(".running_") {
        #expect(alone[name] == tensor, "\(name)")
      }
    }
    let log = try scratch.text(of: "two/log.txt")
    #expect(log.contains("begins with the weights of \(scratch.path("w.safetensors"))"))
    let metrics = try scratch.text(of: "two/metrics.jsonl")
    #expect(metrics.contains("\"event\":\"initialised\""))
    #expect(metrics.contains(source.weightsSHA256()) && metrics.contains("\"classifier\":\"kept\""))
  }

  /// The file may be gone by then, and another one is not read.
  @Test func aRunThatGoesOnDoesNotReadIt() throws {
    try write(try weights())
    let steps: (Int) -> String = { "training.max_steps=\($0)" }
    #expect(try run(ranks: 1, output: "whole", [fromFile, steps(6)]) == [.done])
    #expect(try run(ranks: 2, output: "cut", [fromFile, steps(2)]) == [.done, .done])
    try FileManager.default.removeItem(atPath: scratch.path("w.safetensors"))
    #expect(try run(ranks: 2, output: "cut", [fromFile, steps(4)]) == [.done, .done])
    let other = "model.initialize_from=\(scratch.path("nowhere.safetensors"))"
    #expect(try run(ranks: 1, output: "cut", [other, steps(6)]) == [.done])
    #expect(try model("cut", step: 6) == model("whole", step: 6))
    let log = try scratch.text(of: "cut/log.txt")
    #expect(log.contains("nowhere.safetensors: it is not read, as the run goes on"))
    // Nor is it looked at by a plan of that run.
    try InitialWeights.check(plan([other, "output=\(scratch.path("cut"))"]))
  }
}
