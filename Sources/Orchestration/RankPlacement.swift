import CAffinity
import Collectives
import Glibc
import RunPlanning
import Synchronization

/// Finds out which ranks share a host and gives each its cores.
///
/// Ranks bind themselves: it is the same under every launcher, and a job beside this one is seen. Two
/// jobs that start at once may choose the same cores; each looks again after it has bound its ranks, so
/// that the later one sees the other, gives way and chooses anew.
package enum RankPlacement {
  private struct Identity: Codable {
    var host: String
    var process: Int
  }

  /// What one rank sends.
  private struct Message: Codable {
    var host: Placement.Host
    /// As `Placement.text`.
    var allowedCores: String
  }

  /// Enough for thousands of cores.
  private static let messageBytes = 65_536
  /// Choices before the ranks are left unbound.
  private static let attempts = 4
  /// Microseconds by which the pause before another choice differs between jobs.
  private static let pauseUnit = 2_000

  /// Whether this process has been given cores that no other rank has.
  private static let isBoundHere = Atomic<Bool>(false)
  static var isBound: Bool { isBoundHere.load(ordering: .relaxed) }

  /// The same placement on every rank, in force when it returns. Every rank calls it, before it starts
  /// threads that compute.
  ///
  /// - Parameters:
  ///   - threads: nil takes as many as there are cores for each rank.
  ///   - binds: false leaves ranks where they are.
  package static func place(
    over communicator: any Communicator, threads: Int?, binds: Bool
  ) throws -> Placement {
    let here = Doctor.Surroundings(ranks: nil)
    let topology = CoreTopology(here)
    let isBoundAlready = here.variables["OMPI_MCA_orte_bound_at_launch"] == "1"
    let identities = try communicator.gather(
      Identity(host: Machine.hostName, process: Int(getpid())), bytes: 512)
    let own = Set(identities.filter { $0.host == Machine.hostName }.map(\.process))
    for attempt in 0..<attempts {
      let message = Message(
        host: topology.host(own: own, isBoundAlready: isBoundAlready),
        allowedCores: Placement.text(here.allowedCores))
      let messages = try communicator.gather(message, bytes: messageBytes)
      // The last attempt only says how it is.
      let placement = placement(
        messages, threads: threads, binds: binds && attempt < attempts - 1)
      guard let seat = placement.seats.first(where: { $0.rank == communicator.rank }),
        placement.isBound
      else { return placement }
      bind(to: seat.cores.isEmpty ? here.allowedCores : seat.cores)
      let announcement = seat.cores.count == here.allowedCores.count ? announce() : -1
      try communicator.barrier()
      let mine = Set(seat.cores)
      var clash: Int64 =
        topology.neighbours(besides: own).contains { !$0.cores.isDisjoint(with: mine) } ? 1 : 0
      try withUnsafeMutablePointer(to: &clash) {
        try communicator.maximum(UnsafeMutableBufferPointer(start: $0, count: 1))
      }
      if clash == 0 {
        isBoundHere.store(!seat.cores.isEmpty, ordering: .relaxed)
        return placement
      }
      bind(to: here.allowedCores)
      close(announcement)
      usleep(UInt32((identities[0].process % 97 + 1) * pauseUnit))
      try communicator.barrier()
    }
    preconditionFailure("the last attempt binds nothing and returns")
  }

  /// Says to other jobs of this host that this process holds all cores, which its mask does not show: by
  /// the name of a socket, which ends with the process. The socket, or -1.
  private static func announce() -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return -1 }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // A first byte of 0 keeps it out of the file system.
    let name = [0] + Array("\(CoreTopology.holder)\(getpid())".utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(descriptor, $0, length)
      }
    }
    return descriptor
  }

  /// Ranks that share a host's name share the host; what its first rank found counts.
  private static func placement(_ messages: [Message], threads: Int?, binds: Bool) -> Placement {
    var hosts: [Placement.Host] = []
    var masks: [String] = []
    let hostOfRank = messages.map { message -> Int in
      if let known = hosts.firstIndex(where: { $0.name == message.host.name }) {
        // Ranks that may run in different places have been put there.
        if masks[known] != message.allowedCores { hosts[known].isBoundAlready = true }
        return known
      }
      hosts.append(message.host)
      masks.append(message.allowedCores)
      return hosts.count - 1
    }
    return Placement(hosts: hosts, hostOfRank: hostOfRank, threads: threads, binds: binds)
  }

  /// Binds the calling thread, and so those that it starts. Where the system refuses, ranks run as well.
  private static func bind(to cores: [Int]) {
    guard let last = cores.max() else { return }
    var words = [UInt](repeating: 0, count: max(last / UInt.bitWidth + 1, 16))
    for core in cores { words[core / UInt.bitWidth] |= 1 << UInt(core % UInt.bitWidth) }
    _ = words.withUnsafeBytes { affinity_bind($0.baseAddress, $0.count) }
  }
}
