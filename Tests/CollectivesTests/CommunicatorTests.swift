import Collectives
import Dispatch
import Synchronization
import Testing
import _CollectivesConformance

@Suite(.timeLimit(.minutes(1))) struct CommunicatorTests {
  @Test func soloConforms() throws {
    #expect(try runConformance(SoloCommunicator()).count == 10)
  }

  @Test(arguments: [1, 2, 3, 4, 5, 8]) func threadsConform(_ ranks: Int) throws {
    let checks = try InProcessCommunicator.run(ranks: ranks) { try runConformance($0).count }
    #expect(checks == [Int](repeating: 10, count: ranks))
  }

  @Test func resultsComeInRankOrder() throws {
    let results = try InProcessCommunicator.run(ranks: 5) { [$0.rank, $0.size] }
    #expect(results == (0..<5).map { [$0, 5] })
  }

  private final class Counter: Sendable {
    let value = Atomic(0)
  }

  /// No rank leaves a barrier before the last has entered it.
  @Test func barriersHoldRanksBack() throws {
    let entered = Counter()
    let held = try InProcessCommunicator.run(ranks: 4) { communicator in
      var isHeld = true
      for round in 1...50 {
        entered.value.add(1, ordering: .sequentiallyConsistent)
        try communicator.barrier()
        isHeld = isHeld && entered.value.load(ordering: .sequentiallyConsistent) >= 4 * round
      }
      return isHeld
    }
    #expect(held == [true, true, true, true])
  }

  @Test func anErrorOfOneRankReleasesTheOthers() {
    struct Broken: Error, Equatable {}
    #expect(throws: Broken()) {
      try InProcessCommunicator.run(ranks: 4) { communicator in
        if communicator.rank == 2 { throw Broken() }
        try communicator.barrier()
      }
    }
  }

  @Test func differentCountsAreAnError() {
    let error = #expect(throws: CollectiveError.self) {
      try InProcessCommunicator.run(ranks: 3) { communicator in
        var values = [Float](repeating: 1, count: communicator.rank == 1 ? 5 : 4)
        try values.withUnsafeMutableBufferPointer { try communicator.sum($0) }
      }
    }
    #expect(error?.kind == .mismatch)
    #expect(error?.message.contains("sumFloat of 5") == true)
  }

  @Test func differentOperationsAreAnError() {
    let error = #expect(throws: CollectiveError.self) {
      try InProcessCommunicator.run(ranks: 2) { communicator in
        var values = [1.0]
        if communicator.rank == 0 {
          try communicator.barrier()
        } else {
          try values.withUnsafeMutableBufferPointer { try communicator.sum($0) }
        }
      }
    }
    #expect(error?.kind == .mismatch)
  }

  @Test func aRankThatEndsEarlyIsAnError() {
    let error = #expect(throws: CollectiveError.self) {
      try InProcessCommunicator.run(ranks: 3) { communicator in
        if communicator.rank != 1 { try communicator.barrier() }
      }
    }
    #expect(error?.description == "operation 0: rank 1 ended without calling barrier of 0")
  }

  @Test func ranksThatDoNotFinishAreReleased() {
    let endOfTest = DispatchSemaphore(value: 0)
    let released = Counter()
    let error = #expect(throws: CollectiveError.self) {
      try InProcessCommunicator.run(ranks: 2, timeout: 0.1) { communicator in
        if communicator.rank == 1 { endOfTest.wait() }
        defer { released.value.add(1, ordering: .sequentiallyConsistent) }
        try communicator.barrier()
      }
    }
    #expect(error?.kind == .timeout)
    #expect(released.value.load(ordering: .sequentiallyConsistent) == 1)
    endOfTest.signal()
  }
}

@Suite(.timeLimit(.minutes(1))) struct FaultTests {
  /// The suite finds every fault, on every rank, without a hang.
  @Test(arguments: FaultyCommunicator.Fault.allCases)
  func conformanceFindsFaults(_ fault: FaultyCommunicator.Fault) throws {
    let found = try InProcessCommunicator.run(ranks: 4) { communicator in
      do {
        try runConformance(FaultyCommunicator(communicator, fault))
        return false
      } catch is ConformanceFailure {
        return true
      }
    }
    #expect(found == [true, true, true, true])
  }

  private static let probes = [
    BitInvariance.Probe(kind: .blockingDouble, count: 97),
    BitInvariance.Probe(kind: .blockingFloat, count: 3),
    BitInvariance.Probe(kind: .startedFloat, count: 10_007),
    BitInvariance.Probe(kind: .startedFloat, count: 0),
  ]

  @Test(arguments: [1, 2, 4, 8]) func treesAreProved(_ ranks: Int) throws {
    let proved = try InProcessCommunicator.run(ranks: ranks) {
      try BitInvariance.prove(Self.probes, over: $0, seed: 7)
    }
    #expect(proved == [Bool](repeating: true, count: ranks))
    #expect(try BitInvariance.prove(Self.probes, over: SoloCommunicator(), seed: 7))
  }

  @Test(arguments: [3, 5, 6]) func otherWorldsAreNotProved(_ ranks: Int) throws {
    let proved = try InProcessCommunicator.run(ranks: ranks) {
      try BitInvariance.prove(Self.probes, over: $0, seed: 7)
    }
    #expect(proved == [Bool](repeating: false, count: ranks))
  }

  /// One message that is summed in another order, on one rank alone, is enough.
  @Test(arguments: 0..<3) func anotherOrderIsNotProved(_ index: Int) throws {
    for fault in [FaultyCommunicator.Fault.rankOrder, .rankOrderOnLastRank] {
      let proved = try InProcessCommunicator.run(ranks: 4) {
        try BitInvariance.prove(
          [Self.probes[index]], over: FaultyCommunicator($0, fault), seed: 7)
      }
      #expect(proved == [false, false, false, false])
    }
  }
}
