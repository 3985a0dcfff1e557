import Testing

@testable import RunPlanning

@Suite struct PlacementTests {
  /// 64 cores in two NUMA domains.
  private static let large = Placement.Host(
    name: "big", cores: Array(0..<64), domains: (0..<64).map { $0 / 32 })

  private func place(
    _ hosts: [Placement.Host], _ hostOfRank: [Int], threads: Int? = nil, binds: Bool = true
  ) -> Placement {
    Placement(hosts: hosts, hostOfRank: hostOfRank, threads: threads, binds: binds)
  }

  @Test func eightRanksOfA64CoreNodeGetEightCoresEach() {
    let placement = place([Self.large], [Int](repeating: 0, count: 8))
    #expect(placement.threads == 8)
    #expect(placement.seats.map(\.cores) == (0..<8).map { Array($0 * 8..<$0 * 8 + 8) })
    #expect(
      placement.lines == [
        "ranks 0 to 7 on big, 8 threads each, on cores 0-7 8-15 16-23 24-31 32-39 40-47 48-55 56-63 "
          + "in 2 NUMA domains"
      ])
  }

  @Test func ranksAboveCoresAreNotBound() {
    let small = Placement.Host(name: "small", cores: [0, 1], domains: [0, 0])
    let crowded = place([small], [Int](repeating: 0, count: 8))
    #expect(crowded.threads == 1 && !crowded.isBound)
    #expect(crowded.lines == ["ranks 0 to 7 on small, 1 thread each, not bound (2 free cores)"])
    #expect(!place([small], [0], threads: 3).isBound)
    #expect(place([small], [0]).threads == 2)
    #expect(!place([small], [0], threads: 1, binds: false).isBound)
  }

  /// Threads are the same everywhere: the host with the fewest cores for each rank says how many.
  @Test func unequalHostsAgreeOnThreads() {
    var half = Self.large
    half.name = "half"
    half.cores = Array(32..<64)
    half.domains = [Int](repeating: 1, count: 32)
    half.neighbours = ["process 812 (cores 0-31)"]
    let placement = place([Self.large, half], [0, 0, 0, 0, 1, 1, 1, 1])
    #expect(placement.threads == 8)
    #expect(placement.seats[4].cores == Array(32..<40))
    #expect(placement.lines[1].hasSuffix("; other cores are held by process 812 (cores 0-31)"))
    // One host may be bound where the other is crowded.
    let mixed = place([Self.large, half], [0, 1, 1, 1, 1, 1], threads: 7)
    #expect(mixed.seats.map { $0.cores.count } == [7, 0, 0, 0, 0, 0])
  }

  @Test func whoIsBoundAlreadyStays() {
    var bound = Self.large
    bound.isBoundAlready = true
    let placement = place([bound], [0, 0])
    #expect(
      placement.threads == 64 && !placement.isBound
        && placement.lines[0].hasSuffix("bound by who started them"))
  }

  /// As a pod has it whose cores are its own by time alone.
  @Test func aShareOfTimeIsNoCore() {
    var pod = Self.large
    pod.quota = 16
    let placement = place([pod], [0, 0, 0, 0])
    #expect(placement.threads == 4 && !placement.isBound)
    #expect(placement.lines[0].hasSuffix("not bound (16 cores' time, on any core)"))
  }

  @Test func noCoreIsGivenTwice() {
    for ranks in 1...64 {
      for threads in [nil, 1, 2, 3, 8] {
        let placement = place([Self.large], [Int](repeating: 0, count: ranks), threads: threads)
        let cores = placement.seats.flatMap(\.cores)
        #expect(Set(cores).count == cores.count)
        #expect(placement.isBound == (ranks * placement.threads <= 64))
        #expect(placement.seats.allSatisfy { [0, placement.threads].contains($0.cores.count) })
      }
    }
  }

  @Test func coresAsRanges() {
    #expect(Placement.text([0, 1, 2, 8, 10, 11]) == "0-2,8,10-11")
    #expect(Placement.text([]).isEmpty)
  }
}

@Suite struct HostListTests {
  @Test func listsAndFilesSayTheSame() throws {
    let list = try HostList(list: "node-1:4,node-2.cluster:2,10.0.0.3:2")
    let file = try HostList(
      file:
        "# ours\nnode-1 slots=4 max_slots=8\n\n  node-2.cluster\tslots=2 # old\n10.0.0.3 slots=2\r\n"
    )
    #expect(list == file)
    #expect(list.slots == 8)
    #expect(try list.blocks(ranks: 8) == [0..<4, 4..<6, 6..<8])
    #expect(try list.blocks(ranks: 5) == [0..<4, 4..<5, 5..<5])
    #expect(try list.argument(ranks: 5) == "node-1:4,node-2.cluster:1")
  }

  @Test func withoutSlotsRanksAreSpreadEvenly() throws {
    let list = try HostList(list: "a,b,c")
    #expect(list.slots == nil)
    #expect(try list.blocks(ranks: 8) == [0..<3, 3..<6, 6..<8])
    #expect(try list.argument(ranks: 2) == "a:1,b:1")
    // As mpirun has it: a name without a number beside others is one slot.
    #expect(try HostList(list: "a:3,b").slots == 4)
  }

  @Test(arguments: [
    ("", "no host name"), ("a,,b", "no host name"), ("a:0", "no number of slots"),
    ("a:x", "no number of slots"), ("a:4:4", "no number of slots"), ("-x:1", "no host name"),
    ("a b", "no host name"), ("a:1,a:2", "named twice"), ("a:99999", "no number of slots"),
  ])
  func wrongListsAreNamed(list: String, words: String) {
    let flaw = #expect(throws: HostList.Flaw.self) { try HostList(list: list) }
    #expect(flaw?.description.contains(words) == true, "\(String(describing: flaw))")
  }

  @Test(arguments: [
    ("", "no host is named"), ("# a\n", "no host is named"), ("a slot=4", "line 1: 'slot=4'"),
    ("a slots=4\nb slots=", "line 2"), ("a\na\n", "named twice"), ("a;rm", "line 1"),
  ])
  func wrongFilesAreNamed(text: String, words: String) {
    let flaw = #expect(throws: HostList.Flaw.self) { try HostList(file: text) }
    #expect(flaw?.description.contains(words) == true, "\(String(describing: flaw))")
  }

  @Test func ranksBeyondTheSlots() throws {
    let flaw = #expect(throws: HostList.Flaw.self) {
      try HostList(list: "a:2,b:2").blocks(ranks: 5)
    }
    #expect(flaw?.description.contains("5 ranks do not fit into 4 slots") == true)
  }
}
