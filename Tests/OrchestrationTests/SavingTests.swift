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
    let isOpen = Mutex(false)

    func release() { isOpen.withLock { $0 = true } }

    func write(_ copy: RunCopy) throws -> CheckpointWriter.Outcome {
      while !isOpen.withLock({ $0 }) { usleep(1_000) }
      isOpen.withLock { $0 = false }
      guard copy.state.step < 100 else { throw JobFailure(.inputOutput, "the disk is full") }
      return CheckpointWriter.Outcome(
        step: copy.state.step, seconds: 1, removed: [], notes: [])
    }
  }

  private let scratch: ScratchDirectory
  private let disk = Disk()
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
        checkpoint: {every_steps: 5, every_minutes: 0}
        output: "\(scratch.path("out"))"

        """, file: "config.yaml", overrides: [])
    let plan = try RunPlan.resolve(
      config: config, worldSize: 1, threads: 1, data: .assumed(for: config),
      machine: Machine.summary(mpiVersion: "none"))
    let disk = disk
    coordinator = try Coordinator(
      directory: RunDirectory(plan), progress: .none, lineWidth: 80, output: .standardOutput(),
      writer: CheckpointWriter(write: disk.write))
    let network = TrainingNetwork(
      shape: NetworkShape(
        blocks: plan.blocks, classes: plan.classes, shards: 1, shardCapacity: 16),
      pool: Machine.pool(threads: 1))
    worker = RunCopySource(
      plan: plan, network: network, optimizer: SGD(config.optimizer, layout: network.layout))
  }

  private func save(step: Int) throws {
    try coordinator.save(since: monotonicSeconds()) { worker.copy(step: step) }
  }

  private func events(_ name: String) throws -> [Int] {
    try scratch.text(of: "out/metrics.jsonl").split(separator: "\n").compactMap { line in
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      return object?["event"] as? String == name ? object?["step"] as? Int : nil
    }
  }

  @Test func trainingDoesNotWaitForASlowDiskAndOwesTheSave() throws {
    #expect(try !coordinator.wishesToSave(afterStep: 4))
    #expect(try coordinator.wishesToSave(afterStep: 5))
    try save(step: 5)
    // The disk has not answered: the next is due, is passed over, and owed from then on.
    for step in 6...13 { #expect(try !coordinator.wishesToSave(afterStep: step)) }
    #expect(try events("checkpoint") == [])
    disk.release()
    while try !coordinator.wishesToSave(afterStep: 14) { usleep(1_000) }
    #expect(try events("checkpoint") == [5])
    try save(step: 14)
    disk.release()
    try coordinator.finishSaving()
    #expect(try events("checkpoint") == [5, 14])
    #expect(try !coordinator.wishesToSave(afterStep: 16))
  }

  @Test func aSaveThatFailedIsThrownOnce() throws {
    try save(step: 100)
    disk.release()
    let failure = try #require(throws: JobFailure.self) { try coordinator.finishSaving() }
    #expect(failure.code == .inputOutput)
    #expect(try !coordinator.wishesToSave(afterStep: 101))
    #expect(try events("checkpoint") == [])
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
    try coordinator.save(since: monotonicSeconds()) {
      #expect((try? events("checkpoint")) == [5])
      isCopied = true
      return worker.copy(step: 6)
    }
    #expect(isCopied)
    disk.release()
    coordinator.settleSaves()
    #expect(try events("checkpoint") == [5, 6])
  }
}
