import Collectives
import RunPlanning
import Testing

@testable import Orchestration

@Suite struct RankComparisonTests {
  private func difference(of values: [[UInt64]]) throws -> [String] {
    try InProcessCommunicator.run(ranks: values.count) { communicator in
      let difference = try RankComparison(values[communicator.rank], over: communicator).difference
      return difference.map { "\($0.index): \($0.ranks)" } ?? "same"
    }
  }

  @Test func theFewAreFoundAmongTheMany() throws {
    #expect(try difference(of: [[1, 2], [1, 2], [1, 2]]) == ["same", "same", "same"])
    #expect(Set(try difference(of: [[1, 9], [1, 2], [1, 2]])) == ["1: [0]"])
    #expect(Set(try difference(of: [[1, 2], [1, 2], [3, 2], [4, 2]])) == ["0: [2, 3]"])
    // Two against two: rank 0's side is taken for right.
    #expect(Set(try difference(of: [[1], [2], [1], [2]])) == ["0: [1, 3]"])
    #expect(Set(try difference(of: [[1], [2]])) == ["0: [1]"])
  }

  @Test func theRankAndWhatDiffersAreNamedOnAllRanks() throws {
    let failures = try InProcessCommunicator.run(ranks: 4) { communicator in
      var facts = RankFacts()
      facts.add("MPI", "Open MPI v4.1.4")
      facts.add("the configuration's training.seed", communicator.rank == 2 ? "7" : "1")
      do {
        try facts.requireSame(over: communicator)
        return "none"
      } catch let failure as JobFailure {
        return "\(failure.code.rawValue) \(failure)"
      }
    }
    #expect(failures.count == 4 && Set(failures).count == 1)
    #expect(
      failures[0].hasPrefix(
        "78 rank 2 differs from rank 0 in the configuration's training.seed: 7, not 1;"))
  }

  /// The classes of a large data set, one of which is called otherwise, and one more.
  @Test func longListsAreShownWhereTheyDiffer() throws {
    let names = (0..<1000).map { "class\($0)" }
    let failures = try InProcessCommunicator.run(ranks: 3) { communicator in
      var facts = RankFacts()
      var own = names
      if communicator.rank == 1 { own[700] = "other" }
      if communicator.rank == 1 { own.append("last") }
      facts.add("the classes", own.joined(separator: ", "))
      do {
        try facts.requireSame(over: communicator)
        return "none"
      } catch let failure as JobFailure {
        return "\(failure.code.rawValue) \(failure)"
      }
    }
    #expect(Set(failures).count == 1)
    #expect(failures[0].hasPrefix("78 rank 1 differs from rank 0 in the classes: …"))
    #expect(failures[0].contains("class699, other, class701"))
    #expect(failures[0].contains("class699, class700, class701"))
    #expect(failures[0].utf8.count < 600)
  }

  @Test func losses() {
    var numerics = RunConfig.Numerics()
    var record = LossRecord()
    for _ in 0..<9 { record.accept(loss: 2) }
    numerics.spike = 1.5
    #expect(record.limit(numerics) == .infinity)
    record.accept(loss: 2)
    #expect(record.limit(numerics) == 3)
    numerics.spike = 0
    #expect(record.limit(numerics) == .infinity)
    record.reject()
    record.reject()
    #expect(record.rejectedInRow == 2 && record.mean == 2)
    #expect(LossRecord(words: record.words) == record)
    // The mean follows the last 50 or so.
    for _ in 0..<1000 { record.accept(loss: 1) }
    #expect(record.rejectedInRow == 0 && abs(record.mean - 1) < 1e-6)
  }
}
