import Collectives
import RunPlanning
import Testing

@testable import Orchestration

/// What the watchdog says of ranks, and that all ranks see the same board.
@Suite struct WatchdogTests {
  private let settings = {
    var settings = RunConfig.Watchdog()
    (settings.warnSeconds, settings.abortSeconds) = (30, 300)
    return settings
  }()

  /// Four ranks: all in collective 7 of step 12 but rank 2, which computes and is one behind.
  private func states(idle: Double, silent: Double = 0.1) -> [Heartbeat.RankState] {
    (0..<4).map { rank in
      Heartbeat.RankState(
        rank: rank, process: Int32(100 + rank), step: 12,
        phase: rank == 2 ? .backward : .forward, collectives: rank == 2 ? 6 : 7,
        isInCollective: rank != 2, idleSeconds: idle,
        silentSeconds: rank == 2 ? silent : 0.1)
    }
  }

  @Test func theRankThatWorksIsNamedOnceAndAgainWhenItGoesOn() {
    var named: Set<Int> = []
    #expect(Watchdog.warnings(states(idle: 29.9), settings, named: &named) == [])
    #expect(
      Watchdog.warnings(states(idle: 31), settings, named: &named) == [
        "rank 2 (pid 102): step 12, backward pass since 31 s; ranks 0, 1, 3 wait for it; "
          + "without progress the job ends after 300 s"
      ])
    #expect(Watchdog.warnings(states(idle: 32), settings, named: &named) == [])
    #expect(
      Watchdog.warnings(states(idle: 0.2), settings, named: &named) == [
        "rank 2 goes on: step 12, backward pass"
      ])
    #expect(Watchdog.warnings(states(idle: 31), settings, named: &named).count == 1)
  }

  @Test func aStoppedProcessIsNamedEvenInACollective() {
    var states = states(idle: 40, silent: 40)
    states[2].isInCollective = true
    var named: Set<Int> = []
    let lines = Watchdog.warnings(states, settings, named: &named)
    #expect(lines.count == 1)
    #expect(lines.first?.contains("rank 2 (pid 102)") == true)
    #expect(lines.first?.contains("its process is stopped") == true)
  }

  @Test func whereAllWaitThoseBehindAreNamed() {
    var states = states(idle: 40)
    states[2].isInCollective = true
    var named: Set<Int> = []
    #expect(Watchdog.warnings(states, settings, named: &named).count == 1)
    #expect(named == [2])
    for index in states.indices { states[index].collectives = 7 }
    named = []
    #expect(Watchdog.warnings(states, settings, named: &named).count == 4)
  }

  /// They wait for each other behind the last collective, too.
  @Test func inTheEndOnlyTheStoppedOneIsAtFault() throws {
    var states = states(idle: 301, silent: 301)
    for index in states.indices {
      (states[index].phase, states[index].isInCollective) = (.ending, false)
    }
    let message = try #require(Watchdog.verdict(states, settings))
    #expect(
      message.contains("It waits for rank 2. Last seen: rank 0 (pid 100): step 12, waiting for"))
  }

  @Test func theJobEndsOnlyWhereNobodyGetsOn() throws {
    #expect(Watchdog.verdict(states(idle: 299), settings) == nil)
    var busy = states(idle: 301)
    busy[0].idleSeconds = 2
    #expect(Watchdog.verdict(busy, settings) == nil)
    let message = try #require(Watchdog.verdict(states(idle: 301), settings))
    #expect(message.contains("It waits for rank 2. Last seen: rank 0 (pid 100): step 12, forward"))
    for rank in 0..<4 { #expect(message.contains("rank \(rank) (pid \(100 + rank)): step 12")) }
    // A rank that is done is not waited for, and does not wait.
    var ended = states(idle: 301)
    for index in ended.indices { ended[index].phase = .ended }
    #expect(Watchdog.verdict(ended, settings) == nil)
  }

  /// The folders of another host may take longer to list; a rank of this one that hangs does not.
  @Test func otherHostsMayBeAtTheirFilesForLong() {
    var states = states(idle: 1e4)
    for index in states.indices {
      (states[index].phase, states[index].isInCollective) = (.reading, true)
    }
    #expect(Watchdog.verdict(states, settings, hasOtherHosts: true) == nil)
    #expect(Watchdog.verdict(states, settings) != nil)
    states[1].isInCollective = false
    #expect(Watchdog.verdict(states, settings, hasOtherHosts: true) != nil)
  }

  @Test func zeroMeansNever() {
    var off = settings
    (off.warnSeconds, off.abortSeconds) = (0, 0)
    var named: Set<Int> = []
    #expect(Watchdog.warnings(states(idle: 1e6), off, named: &named) == [])
    #expect(Watchdog.verdict(states(idle: 1e6), off) == nil)
  }

  @Test(arguments: [1, 4]) func ranksOfAHostSeeEachOther(ranks: Int) throws {
    let boards = try InProcessCommunicator.run(ranks: ranks) { communicator in
      let heartbeat = try Heartbeat.make(over: communicator)
      heartbeat.begin(step: 10 + communicator.rank)
      heartbeat.enter(.evaluating)
      let watched = WatchedCommunicator(communicator, heartbeat, checksOrder: true)
      for _ in 0..<communicator.rank { heartbeat.collective {} }
      try watched.barrier()
      return heartbeat.states()
    }
    for board in boards {
      #expect(board.map(\.rank) == Array(0..<ranks))
      #expect(board.map(\.step) == (0..<ranks).map { 10 + $0 })
      #expect(board.allSatisfy { $0.phase == .evaluating && $0.idleSeconds < 60 })
      #expect(board.map(\.collectives) == (0..<ranks).map { $0 + 1 })
    }
  }

  @Test func anotherOrderOfCollectivesIsAnError() throws {
    let messages = try InProcessCommunicator.run(ranks: 4) { communicator in
      let watched = WatchedCommunicator(
        communicator, try Heartbeat.alone(rank: communicator.rank), checksOrder: true)
      var values = [Double](repeating: 1, count: communicator.rank == 3 ? 5 : 4)
      do {
        try values.withUnsafeMutableBufferPointer { try watched.sum($0) }
        return "no error"
      } catch let failure as JobFailure {
        return failure.description
      }
    }
    #expect(messages.allSatisfy { $0.hasPrefix("rank 3 is about to call another collective") })
  }
}
