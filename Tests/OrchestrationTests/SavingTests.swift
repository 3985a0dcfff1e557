import Foundation
import RepVGGModel
import RunPlanning
import Synchronization
import Testing
import Training
import _TestSupport

@testable import Orchestration

/// When rank 0 saves, and what it does while a save is still on its way to the disk.
@Suite(.timeLimit(.minutes(2))) struct SavingTests {
  /// A disk that takes a save in when it is told to.
  private final class Disk: Sendable {
    private let permits = Mutex(0)

    /// Lets it take in one save, or many.
    func release(_ count: Int = 1) { permits.withLock { $0 += count } }

    private func isPermitted() -> Bool {
      permits.withLock { permits in
        guard permits > 0 else { return false }
        permits -= 1
        return true
      }
    }

    func write(_ copy: RunCopy) throws -> CheckpointWriter.Outcome {
      while !isPermitted() { usleep(1_000) }
      guard copy.state.step < 100 else { throw JobFailure(.inputOutput, "the disk is full") }
      return CheckpointWriter.Outcome(
        step: copy.state.step, seconds: 1, removed: [], notes: [])
    }
  }

  /// Seconds, which pass when a test says so.
  private final class Clock: Sendable {
    let now = Mutex(1000.0)
    func pass(_ seconds: Double) { now.withLock { $0 += seconds } }
    func read() -> Double { now.withLock { $0 } }
  }

  private let scratch: ScratchDirectory
  private let disk = Disk()
  private let clock = Clock()
  private let coordinator: Coordinator
  private let worker: RunCopySource

  /// What a save is made of.
  private struct RunCopySource {
    let plan: RunPlan
    let network: TrainingNetwork
    let optimizer: SGD

    func copy(step: Int) -> RunCopy {
      RunCopy(
        state: RunState(plan: plan, step: step, best: nil, origin: nil), network: network,
        optimizer: optimizer, average: nil)
    }
  }

  init() throws {
    scratch = try ScratchDirectory()
    let config = try RunConfig.decode(
      text: """
        model: {architecture: {stem: 8, depths: [1], widths: [8]}, strides: [1, 2], classes: 4}
        data: {format: synthetic, resolution: 8, train_limit: 640}
        training: {global_batch: 16, epochs: 5}
        checkpoint: {every_steps: 5, every_minutes: 1}
        output: "\(scratch.path("out"))"

        """, file: "config.yaml", overrides: [])
    let plan = try RunPlan.resolve(
      config: config, worldSize: 1, threads: 1, data: .assumed(for: config),
      machine: Machine.summary(mpiVersion: "none"))
    let (disk, clock) = (disk, clock)
    coordinator = try Coordinator(
      directory: RunDirectory(plan), progress: .none, lineWidth: 80, output: .standardOutput(),
      writer: CheckpointWriter(write: disk.write), clock: clock.read)
    let network = TrainingNetwork(
      shape: NetworkShape(
        blocks: plan.blocks, classes: plan.classes, shards: 1, shardCapacity: 16),
      pool: Machine.pool(threads: 1))
    worker = RunCopySource(
      plan: plan, network: network, optimizer: SGD(config.optimizer, layout: network.layout))
  }

  /// `stall`: seconds that have passed since training stopped for it.
  private func save(step: Int, stall: Double = 0) throws {
    let start = clock.read()
    clock.pass(stall)
    try coordinator.save(since: start) { worker.copy(step: step) }
  }

  private func saves() throws -> [(step: Int, stall: Double)] {
    try scratch.text(of: "out/metrics.jsonl").split(separator: "\n").compactMap { line in
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      guard object?["event"] as? String == "checkpoint" else { return nil }
      return (
        try #require(object?["step"] as? Int), try #require(object?["stall_seconds"] as? Double)
      )
    }
  }

  private func savedSteps() throws -> [Int] { try saves().map(\.step) }

  @Test func trainingDoesNotWaitForASlowDiskAndOwesTheSave() throws {
    defer { disk.release(9) }
    #expect(try !coordinator.wishesToSave(afterStep: 4))
    #expect(try coordinator.wishesToSave(afterStep: 5))
    try save(step: 5)
    // The disk has not answered: the next is due, is passed over, and owed from then on.
    for step in 6...13 { #expect(try !coordinator.wishesToSave(afterStep: step)) }
    #expect(try savedSteps() == [])
    disk.release()
    while try !coordinator.wishesToSave(afterStep: 14) { usleep(1_000) }
    #expect(try savedSteps() == [5])
    try save(step: 14)
    disk.release()
    try coordinator.finishSaving()
    #expect(try savedSteps() == [5, 14])
    #expect(try !coordinator.wishesToSave(afterStep: 16))
  }

  /// A hundredth of the time is the disk's, less what the save has taken of it already.
  @Test func aHundredthOfTheTimeIsWaitedFor() throws {
    defer { disk.release(9) }
    try save(step: 5, stall: 0.25)
    clock.pass(3000)
    let disk = disk
    Thread.detachNewThread {
      usleep(50_000)
      disk.release()
    }
    // Half a minute, of which the disk takes a moment.
    #expect(try coordinator.wishesToSave(afterStep: 10))
    // 0.2 s of a hundredth of 20 s are gone: nothing is left to wait with.
    try save(step: 10, stall: 0.2)
    #expect(try saves().map(\.stall) == [0.25])
    clock.pass(19)
    let start = monotonicSeconds()
    #expect(try !coordinator.wishesToSave(afterStep: 15))
    #expect(monotonicSeconds() - start < 10, "it waited")
  }

  /// By minutes, they come so seldom that what they hold up stays a hundredth.
  @Test func costlySavesComeSeldom() throws {
    defer { disk.release(9) }
    clock.pass(59)
    #expect(try !coordinator.wishesToSave(afterStep: 1))
    clock.pass(2)
    #expect(try coordinator.wishesToSave(afterStep: 2))
    try save(step: 2, stall: 3)
    disk.release()
    while try savedSteps().isEmpty {
      #expect(try !coordinator.wishesToSave(afterStep: 3))
      usleep(1_000)
    }
    clock.pass(299)
    #expect(try !coordinator.wishesToSave(afterStep: 3))
    clock.pass(2)
    #expect(try coordinator.wishesToSave(afterStep: 3))
  }

  @Test func aSaveThatFailedIsThrownOnce() throws {
    try save(step: 100)
    disk.release()
    let failure = try #require(throws: JobFailure.self) { try coordinator.finishSaving() }
    #expect(failure.code == .inputOutput)
    #expect(try !coordinator.wishesToSave(afterStep: 101))
    #expect(try savedSteps() == [])
  }

  /// The next is copied only when the one before it is on the disk: two are never in memory.
  @Test func onlyOneSaveIsOnItsWay() throws {
    try save(step: 5)
    var isCopied = false
    let (disk, started) = (disk, DispatchSemaphore(value: 0))
    Thread.detachNewThread {
      started.wait()
      usleep(20_000)
      disk.release()
    }
    started.signal()
    try coordinator.save(since: clock.read()) {
      #expect((try? savedSteps()) == [5])
      isCopied = true
      return worker.copy(step: 6)
    }
    #expect(isCopied)
    disk.release()
    coordinator.settleSaves()
    #expect(try savedSteps() == [5, 6])
  }
}
