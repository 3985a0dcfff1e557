import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Steps that are not applied, and what the run makes of them.
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(10)))
  struct NumericsTests {}
}

extension ProgramTests.NumericsTests {
  /// Losses of the tiny job fall, and jump: some steps' are above 0.6 times the mean of those before.
  private static let spikes = ["--set", "numerics.spike=0.6"]
  private static let goingOn =
    spikes + ["--set", "numerics.policy=rollback", "--set", "numerics.limit=20"]

  private func skipped(_ job: TinyJob, _ output: String) throws -> [Int: [String]] {
    var steps: [Int: [String]] = [:]
    for line in try job.metrics(of: output) where line.event == "skipped" {
      steps[line.step] = line.members["samples"] as? [String]
    }
    return steps
  }

  @Test func badStepsAreSkippedAlikeOnAnyNumberOfRanksAndAfterAResume() throws {
    let job = try TinyJob(TinyJob.noisy)
    #expect(try job.train(output: "alone", Self.goingOn).status == 0)
    let alone = try skipped(job, "alone")
    #expect(alone.count > 1)
    for (step, samples) in alone {
      #expect(samples.count == 32 && Set(samples).count == 32, "step \(step)")
    }
    let steps = try job.metrics(of: "alone").filter { $0.event == "step" }.map(\.step)
    #expect(Set(steps).union(alone.keys) == Set(1...30))
    #expect(Set(steps).isDisjoint(with: alone.keys))

    let ranks = try job.train(.ranks(4), output: "ranks", Self.goingOn)
    #expect(ranks.status == 0, "\(ranks.stderr)")
    #expect(try skipped(job, "ranks") == alone)
    #expect(try job.hash(of: "ranks") == job.hash(of: "alone"))

    // Cut short between two skipped steps, and taken up on other ranks: the mean of the losses goes on.
    let last = try #require(alone.keys.max())
    let short = try job.train(
      .ranks(2), output: "cut", Self.goingOn + ["--set", "training.max_steps=\(last - 1)"])
    #expect(short.status == 0, "\(short.stderr)")
    #expect(try job.train(output: "cut", Self.goingOn).status == 0)
    #expect(try job.hash(of: "cut") == job.hash(of: "alone"))
    #expect(try skipped(job, "cut") == alone)
  }

  @Test func theRunEndsAfterTooManyInARowOrAtTheFirst() throws {
    let job = try TinyJob(TinyJob.noisy)
    let first = try job.train(.ranks(2), output: "first", Self.spikes)
    #expect(first.status == 76)
    #expect(first.complaints.count == 1)
    #expect(first.stderr.contains("times the mean of those before it; nothing of this step"))
    // Every step is above a thousandth of the mean.
    let limit = try job.train(
      output: "limit",
      [
        "--set", "numerics.policy=rollback", "--set", "numerics.spike=0.001", "--set",
        "numerics.limit=4",
      ])
    #expect(limit.status == 76)
    #expect(limit.stderr.contains("step 14, epoch 2: "))
    #expect(limit.stderr.contains("for 4 steps in a row (numerics.limit)"))
    #expect(try skipped(job, "limit").keys.sorted() == [11, 12, 13])
  }
}

extension TinyJob {
  /// The standard job without warm-up, at a rate at which losses jump.
  fileprivate static let noisy = standard.replacingOccurrences(
    of: "warmup_epochs: 0.5", with: "warmup_epochs: 0"
  ).replacingOccurrences(of: "learning_rate: 0.1", with: "learning_rate: 1.5")
}
