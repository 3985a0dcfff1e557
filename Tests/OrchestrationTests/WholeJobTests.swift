import Collectives
import Foundation
import RunPlanning
import Testing
import _TestSupport

@testable import Orchestration

/// `repvgg train` with its ranks as threads of this process, so that a sanitizer sees all that goes on
/// beside the training: watchdogs, the loader's threads, the thread that writes checkpoints.
@Suite(.timeLimit(.minutes(10))) struct WholeJobTests {
  private static let configuration = """
    model: {architecture: {stem: 8, depths: [1, 1], widths: [8, 16]}, strides: [1, 2, 2], classes: 4}
    data: {format: synthetic, resolution: 8, train_limit: 160, test_limit: 20}
    training: {global_batch: 16, shards: 4, epochs: 2}
    checkpoint: {every_steps: 3, every_minutes: 0, patience_seconds: 60}
    evaluation: {every_epochs: 1}
    watchdog: {warn_seconds: 60, abort_seconds: 300}

    """

  private let scratch: ScratchDirectory
  private let configuration: String

  init() throws {
    scratch = try ScratchDirectory()
    configuration = try scratch.write(Self.configuration, to: "tiny.yaml")
  }

  /// Runs the job; the code of every rank.
  private func run(
    ranks: Int, output: String, threads: Int = 1, _ overrides: [String] = []
  ) throws -> [ExitCode] {
    let options = TrainingJob.Options(
      configuration: configuration, overrides: overrides, output: scratch.path(output),
      progress: .none)
    return try InProcessCommunicator.run(ranks: ranks, timeout: 300) { communicator in
      let watchdog = Watchdog(try Heartbeat.make(over: communicator))
      watchdog.start()
      defer { watchdog.stop() }
      return try TrainingJob(
        options, communicator: communicator,
        placement: .unbound(ranks: communicator.size, threads: threads),
        mpiVersion: "none", watchdog: watchdog
      ).run()
    }
  }

  private func weights(_ output: String) throws -> [UInt8] {
    try scratch.read("\(output)/checkpoints/step-000000020/model.safetensors")
  }

  @Test func ranksAsThreadsEndWithTheBitsOfOne() throws {
    #expect(try run(ranks: 1, output: "one", threads: 2) == [.done])
    #expect(try run(ranks: 4, output: "four") == Array(repeating: .done, count: 4))
    #expect(try weights("four") == weights("one"))
    let names = try FileManager.default.contentsOfDirectory(
      atPath: scratch.path("four/checkpoints"))
    // The newest three, and the best where that is none of them.
    let steps = names.filter { $0.hasPrefix("step-") }.compactMap { Int($0.dropFirst(5)) }.sorted()
    #expect(steps.suffix(3) == [15, 18, 20] && steps.count <= 4, "\(steps)")
  }

  @Test func aRunThatGoesOnEndsWithTheSameBits() throws {
    #expect(try run(ranks: 2, output: "whole") == [.done, .done])
    #expect(try run(ranks: 2, output: "cut", ["training.max_steps=7"]) == [.done, .done])
    #expect(try run(ranks: 4, output: "cut") == Array(repeating: .done, count: 4))
    #expect(try weights("cut") == weights("whole"))
  }

  /// What one rank alone finds wrong ends all of them, with one failure.
  @Test func oneRanksDataEndTheJobOnAllRanks() throws {
    let failures = try InProcessCommunicator.run(ranks: 3, timeout: 120) { communicator in
      let heartbeat = try Heartbeat.make(over: communicator)
      let options = TrainingJob.Options(
        configuration: configuration,
        overrides: communicator.rank == 2 ? ["data.format=idx", "data.directory=/nowhere"] : [],
        output: scratch.path("out"), progress: .none)
      do {
        let job = TrainingJob(
          options, communicator: communicator, placement: .unbound(ranks: communicator.size),
          mpiVersion: "none", watchdog: Watchdog(heartbeat))
        return "\(try job.run())"
      } catch let failure as JobFailure {
        return "\(failure.code.rawValue) \(heartbeat.states()[communicator.rank].phase)"
      }
    }
    #expect(Set(failures) == ["66 ending"], "\(failures)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
  }
}
