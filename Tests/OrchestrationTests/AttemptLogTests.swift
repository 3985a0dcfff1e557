import Foundation
import ImageData
import RunPlanning
import Testing
import _TestSupport

@testable import Orchestration

/// How often in a row a step was not survived.
@Suite struct AttemptLogTests {
  private let scratch: ScratchDirectory

  init() throws { scratch = try ScratchDirectory() }

  private func open(setup: String = "a") -> AttemptLog {
    AttemptLog(path: scratch.path("attempts.json"), setup: setup, lastStep: 30)
  }

  /// An attempt that takes the steps and is then no more.
  private func die(in steps: Int...) {
    let log = open()
    log.start()
    for step in steps { log.begin(step: step) }
  }

  @Test func deathsInTheSameStepAreCounted() throws {
    #expect(open().deaths == nil)
    #expect(open().deaths == nil, "to look at it is no attempt")
    die()
    #expect(open().deaths == .init(step: 0, count: 1), "before the first step")
    die(in: 5, 6, 7)
    #expect(open().deaths == .init(step: 7, count: 1), "another place begins anew")
    die(in: 6, 7)
    #expect(open().deaths == .init(step: 7, count: 2))
    die(in: 8)
    #expect(open().deaths == .init(step: 8, count: 1))
  }

  @Test func threeAreTheEndOfIt() throws {
    for count in 1...3 {
      die(in: 5, 6, 7)
      let log = open()
      #expect(log.deaths == .init(step: 7, count: count))
      #expect(log.isRefused == (count == 3))
      #expect(log.notes.count == 1 && log.notes[0].contains("step 7"), "\(log.notes)")
    }
    #expect(open().isRefused, "and stays it")
    #expect(!open(setup: "b").isRefused, "but not for other ranks, data or settings")
  }

  @Test func whoEndsInOrderDidNotDie() throws {
    for _ in 1...2 { die(in: 7) }
    var log = open()
    log.begin(step: 7)
    log.end()
    #expect(open().deaths == .init(step: 7, count: 2), "stopped in it: no word on what it does")
    try FileManager.default.removeItem(atPath: scratch.path("attempts.json"))
    for _ in 1...2 { die(in: 7) }
    log = open()
    for step in 7...8 { log.begin(step: step) }
    log.end()
    #expect(open().deaths == nil, "it was survived")
  }

  @Test func agreedFailuresEndAnAttemptAndOthersDoNot() throws {
    struct Broken: Error {}
    let log = open()
    #expect(throws: JobFailure.self) {
      try AttemptLog.attempt(log) { () throws -> Void in throw JobFailure(.badData, "x") }
    }
    #expect(open().deaths == nil)
    let second = open()
    #expect(throws: Broken.self) {
      try AttemptLog.attempt(second) { () throws -> Void in
        second.begin(step: 3)
        throw Broken()
      }
    }
    #expect(open().deaths == .init(step: 3, count: 1))
  }

  @Test(arguments: [
    "", "{", "[]", "{\"step\": 1}",
    "{\"step\": -1, \"running\": true, \"deaths\": 3, \"died_in\": 1}",
    "\u{0}\u{0}\u{0}", String(repeating: "9", count: 100_000),
  ])
  func whatIsNoRecordIsIgnoredAndSaid(text: String) throws {
    try scratch.write(text, to: "attempts.json")
    let log = open()
    #expect(log.deaths == nil)
    #expect(log.notes.count == (text.isEmpty ? 0 : 1))
    log.start()
    log.begin(step: 9)
    #expect(open().deaths == .init(step: 9, count: 1))
    #expect(try scratch.read("attempts.json").count < 200, "nothing of it is left")
  }

  @Test func everyRecordIsJSONOfTheSameLength() throws {
    var sizes: Set<Int> = []
    let log = open()
    for step in [1, 9, 10, 123_456, 999_999_999_999] {
      log.begin(step: step)
      let bytes = try scratch.read("attempts.json")
      sizes.insert(bytes.count)
      let record = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
      #expect(record?["step"] as? Int == step)
      #expect(record?["running"] as? Bool == true)
    }
    log.end()
    sizes.insert(try scratch.read("attempts.json").count)
    #expect(sizes.count == 1, "\(sizes)")
  }

  /// A directory, a dangling link: no reason not to train.
  @Test func whatCannotBeWrittenIsSaid() throws {
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path("attempts.json"), withDestinationPath: scratch.path("elsewhere"))
    let log = open()
    log.begin(step: 1)
    log.end()
    #expect(log.notes.count == 1)
    #expect(!FileManager.default.fileExists(atPath: scratch.path("elsewhere")))
  }

  @Test func theStepIsNamedWithItsSamples() throws {
    let config = try RunConfig.decode(
      text: """
        model: {architecture: RepVGG-A0, classes: 10}
        data: {format: synthetic, resolution: 8}
        training: {global_batch: 32, shards: 8, epochs: 3}
        """, file: "config.yaml", overrides: [])
    let dataset = try SyntheticDataset(
      count: 90, classes: 10, channels: 1, height: 8, width: 8, seed: 1)
    let plan = try RunPlan.resolve(
      config: config, worldSize: 1, threads: 1,
      data: DataSummary(train: dataset, test: dataset, config: config),
      machine: MachineSummary(
        cpu: "Test CPU", physicalMemoryBytes: 0, cores: 2, blasKernel: "Zen", blasEnvironment: [:],
        mpiVersion: "none", programVersion: "0.1.0"))
    let samples = StepSamples(plan: plan, dataset: dataset)
    #expect((1...9).allSatisfy { samples.epoch(ofStep: $0) == ($0 - 1) / 3 + 1 })
    #expect(samples.epoch(ofStep: 0) == nil && samples.epoch(ofStep: 10) == nil)
    #expect((4...6).flatMap { samples.samples(ofStep: $0) }.sorted() == Array(0..<90))
    for _ in 1...3 { die(in: 6) }
    var lines: [String] = []
    let failure = #expect(throws: JobFailure.self) {
      try open().requirePromise(samples) { lines.append($0) }
    }
    #expect(failure?.code == .ownFault)
    let text = failure?.description ?? ""
    #expect(
      text.contains("3 attempts in a row died in step 6") && text.contains("epoch 2"), "\(text)")
    let names = samples.names(ofStep: 6)
    #expect(text.contains(names[0]) && text.utf8.count < 2_000, "\(text)")
    #expect(lines.count == 1 && names.allSatisfy { lines[0].contains($0) })
  }
}
