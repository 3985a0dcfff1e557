/// Which rank runs on which cores of which host.
///
/// A rank's threads get cores of their own where a host has as many, in one block, so that they share
/// caches and the memory that is near; where it has not, the ranks of the host go wherever the system
/// puts them.
package struct Placement: Sendable, Equatable {
  /// A host as its ranks find it.
  package struct Host: Sendable, Equatable, Codable {
    package var name: String
    /// Numbers of its cores that are free for the job: one for each physical core, those of one NUMA
    /// domain and package side by side.
    package var cores: [Int]
    /// NUMA domain of each of them.
    package var domains: [Int]
    /// Cores' worth of time that the container may take, where that is less than it may run on. Others
    /// may then have the same cores, unseen.
    package var quota: Int?
    /// What holds other cores, in words: `process 812 (repvgg)`.
    package var neighbours: [String]
    /// Somebody else has bound the ranks: they stay.
    package var isBoundAlready: Bool

    package init(
      name: String, cores: [Int], domains: [Int], quota: Int? = nil, neighbours: [String] = [],
      isBoundAlready: Bool = false
    ) {
      self.name = name
      self.cores = cores
      self.domains = domains
      self.quota = quota
      self.neighbours = neighbours
      self.isBoundAlready = isBoundAlready
    }
  }

  package struct Seat: Sendable, Equatable {
    package var rank: Int
    /// Index of its host.
    package var host: Int
    /// `threads` cores of its own; empty where it is not bound.
    package var cores: [Int]
  }

  package let hosts: [Host]
  /// By rank.
  package let seats: [Seat]
  /// Threads of each rank.
  package let threads: Int

  /// - Parameters:
  ///   - hostOfRank: index into `hosts`, by rank.
  ///   - threads: nil takes as many as each rank can have cores of its own, on every host.
  ///   - binds: whether ranks are to be bound at all.
  package init(hosts: [Host], hostOfRank: [Int], threads: Int?, binds: Bool) {
    self.hosts = hosts
    let counts = hosts.indices.map { host in hostOfRank.count { $0 == host } }
    let shares = zip(hosts, counts).filter { $1 > 0 }.map { host, ranks in
      // Cores of a rank that is bound are its own already.
      let cores = min(host.cores.count, host.quota ?? .max)
      return max(1, host.isBoundAlready ? cores : cores / ranks)
    }
    let share = shares.min() ?? 1
    let threadCount = threads ?? share
    self.threads = threadCount
    var taken = [Int](repeating: 0, count: hosts.count)
    seats = hostOfRank.enumerated().map { rank, host in
      let place = hosts[host]
      let fits = place.quota == nil && counts[host] * threadCount <= place.cores.count
      guard binds, fits, !place.isBoundAlready else {
        return Seat(rank: rank, host: host, cores: [])
      }
      let start = taken[host]
      taken[host] += threadCount
      return Seat(rank: rank, host: host, cores: Array(place.cores[start..<start + threadCount]))
    }
  }

  /// Ranks of one host wherever the system puts them.
  package static func unbound(ranks: Int, threads: Int = 1) -> Placement {
    Placement(
      hosts: [Host(name: "localhost", cores: [], domains: [])],
      hostOfRank: [Int](repeating: 0, count: ranks), threads: threads, binds: false)
  }

  /// Of hosts that are all like `pattern`: what can be known before anything runs there.
  package init(
    _ list: HostList, ranks: Int, threads: Int?, binds: Bool, like pattern: Host
  ) throws(HostList.Flaw) {
    let blocks = try list.blocks(ranks: ranks)
    let hosts = list.hosts.map { host in
      var copy = pattern
      copy.name = host.name
      return copy
    }
    let hostOfRank = blocks.enumerated().flatMap { Array(repeating: $0, count: $1.count) }
    self.init(hosts: hosts, hostOfRank: hostOfRank, threads: threads, binds: binds)
  }

  package var isBound: Bool { seats.contains { !$0.cores.isEmpty } }

  /// A line for each host: `ranks 0 to 3 on a, 8 threads each, on cores 0-7 8-15 16-23 24-31`.
  package var lines: [String] {
    hosts.indices.compactMap { host in
      let seats = seats.filter { $0.host == host }
      guard let first = seats.first, let last = seats.last else { return nil }
      let ranks =
        seats.count == 1
        ? "rank \(first.rank)"
        : last.rank - first.rank == seats.count - 1
          ? "ranks \(first.rank) to \(last.rank)"
          : "ranks " + seats.map { String($0.rank) }.joined(separator: ", ")
      let each = threads == 1 ? "1 thread" : "\(threads) threads"
      return "\(ranks) on \(hosts[host].name), \(each)\(seats.count > 1 ? " each" : ""), "
        + cores(of: seats, hosts[host])
    }
  }

  private func cores(of seats: [Seat], _ host: Host) -> String {
    let neighbours =
      host.neighbours.isEmpty
      ? "" : "; other cores are held by " + host.neighbours.joined(separator: ", ")
    if host.isBoundAlready { return "bound by who started them" }
    if let quota = host.quota { return "not bound (\(quota) cores' time, on any core)" }
    guard !seats[0].cores.isEmpty else {
      return "not bound (\(host.cores.count) free cores)" + neighbours
    }
    let cores = seats.map { Self.text($0.cores) }
    let list = cores.count > 16 ? cores.prefix(15) + ["…", cores[cores.count - 1]] : cores[...]
    let domains = Set(
      seats.flatMap { seat in
        seat.cores.compactMap { core in
          host.cores.firstIndex(of: core).map { host.domains[$0] }
        }
      })
    let numa = domains.count > 1 ? " in \(domains.count) NUMA domains" : ""
    return "on cores " + list.joined(separator: " ") + numa + neighbours
  }

  /// `0-3,8`.
  package static func text(_ cores: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for core in cores.sorted() {
      if let last = runs.last, last.upperBound + 1 == core {
        runs[runs.count - 1] = last.lowerBound...core
      } else {
        runs.append(core...core)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }
}
