import Collectives
import Glibc
import Synchronization
import Tensors
import Training

/// What every rank of a host was last doing, in memory that they share: it can be read when ranks,
/// or MPI itself, are stuck.
///
/// A rank marks its own slot; any rank's watchdog reads all. Marks are stores to memory and cost
/// nothing beside what they mark.
package final class Heartbeat: Sendable {
  /// What a rank does between two marks.
  package enum Phase: UInt64, Sendable, CaseIterable {
    case starting, reading, resuming, batch, forward, backward, gradients, summary, update
    case evaluating, comparing, saving, delivering, ending, ended

    package var description: String {
      switch self {
      case .starting: "starting"
      case .reading: "reading the configuration and the data"
      case .resuming: "taking up the checkpoint"
      case .batch: "waiting for its batch"
      case .forward: "forward pass"
      case .backward: "backward pass"
      case .gradients: "waiting for the sums of gradients"
      case .summary: "exchanging the step's summary"
      case .update: "updating the weights"
      case .evaluating: "evaluating"
      case .comparing: "comparing the state of ranks"
      case .saving: "saving"
      case .delivering: "fusing and writing artifacts"
      case .ending: "waiting for the end of MPI"
      case .ended: "done"
      }
    }
  }

  /// One rank as the board shows it.
  package struct RankState: Sendable, Equatable {
    package var rank: Int
    package var process: Int32
    /// The step it works at, counted from 1; 0 before the first.
    package var step: Int
    package var phase: Phase
    /// Blocking collectives that it has entered so far, and whether it is in one now.
    package var collectives: Int
    package var isInCollective: Bool
    /// Seconds since its last mark, and since its watchdog last woke.
    package var idleSeconds: Double
    package var silentSeconds: Double
  }

  private enum Word {
    static let (process, step, phase, collectives, progress, tick) = (0, 1, 2, 3, 4, 5)
    /// A slot has two cache lines of its own.
    static let count = 16
  }

  /// The ranks of this host, lowest first, and which of them this one is.
  package let ranks: [Int]
  /// There are ranks on other hosts, of which nothing is seen.
  package let hasOtherHosts: Bool
  private let place: Int
  private let bytes: Int
  // Shared with other processes; every access is atomic.
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>

  private init(
    ranks: [Int], of size: Int, place: Int, memory: UnsafeMutableRawPointer, bytes: Int
  ) {
    self.ranks = ranks
    hasOtherHosts = ranks.count < size
    self.place = place
    self.bytes = bytes
    words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: bytes / 8)
    store(Word.process, UInt64(getpid()))
    tick()
    mark()
  }

  deinit { munmap(words, bytes) }

  private func store(_ word: Int, _ value: UInt64) {
    words[place * Word.count + word].store(value, ordering: .relaxed)
  }

  private func load(_ place: Int, _ word: Int) -> UInt64 {
    words[place * Word.count + word].load(ordering: .relaxed)
  }

  /// Milliseconds of the host's monotonic clock, which its processes share.
  private static var now: UInt64 { UInt64(monotonicSeconds() * 1000) }
}

// MARK: - A rank's own slot

extension Heartbeat {
  /// The rank has made progress.
  package func mark() { store(Word.progress, Self.now) }

  /// The rank comes to another phase.
  package func enter(_ phase: Phase) {
    store(Word.phase, phase.rawValue)
    mark()
  }

  /// What the rank does now.
  var phase: Phase { Phase(rawValue: load(place, Word.phase)) ?? .starting }

  /// The rank begins a step, counted from 1.
  package func begin(step: Int) { store(Word.step, UInt64(step)) }

  /// Around a blocking collective.
  package func collective<Result>(_ body: () throws -> Result) rethrows -> Result {
    let entered = load(place, Word.collectives) + 2
    store(Word.collectives, entered | 1)
    mark()
    defer {
      store(Word.collectives, entered)
      mark()
    }
    return try body()
  }

  /// The rank's watchdog is awake.
  func tick() { store(Word.tick, Self.now) }

  /// Seconds since this rank's watchdog last woke.
  var ownSilence: Double {
    let (now, tick) = (Self.now, load(place, Word.tick))
    return now > tick ? Double(now - tick) / 1000 : 0
  }

  /// The ranks of this host that have come so far as to have a slot, lowest first.
  package func states() -> [RankState] {
    let now = Self.now
    func seconds(since time: UInt64) -> Double { now > time ? Double(now - time) / 1000 : 0 }
    return ranks.enumerated().compactMap { place, rank in
      // A rank that has not come so far, or could not share the memory.
      guard load(place, Word.process) != 0 else { return nil }
      let collectives = load(place, Word.collectives)
      return RankState(
        rank: rank, process: Int32(truncatingIfNeeded: load(place, Word.process)),
        step: Int(load(place, Word.step)),
        phase: Phase(rawValue: load(place, Word.phase)) ?? .starting,
        collectives: Int(collectives / 2), isInCollective: collectives & 1 == 1,
        idleSeconds: seconds(since: load(place, Word.progress)),
        silentSeconds: seconds(since: load(place, Word.tick)))
    }
  }

  package var rank: Int { ranks[place] }
}

// MARK: - Making it

extension Heartbeat {
  /// Every rank calls it; ranks of one host share the result. Where a host gives them no memory to
  /// share, each has a board of its own.
  package static func make(over communicator: any Communicator) throws -> Heartbeat {
    var own = [hostHash, UInt64.random(in: .min ... .max)]
    var all = [UInt64](repeating: 0, count: 2 * communicator.size)
    try own.withUnsafeMutableBytes { source in
      try all.withUnsafeMutableBytes {
        try communicator.gather(UnsafeRawBufferPointer(source), into: $0)
      }
    }
    let ranks = (0..<communicator.size).filter { all[2 * $0] == own[0] }
    let place = ranks.firstIndex(of: communicator.rank) ?? 0
    let bytes = ranks.count * Word.count * 8
    // The token of the lowest rank of the host names the file.
    let token = String(all[2 * (ranks.first ?? communicator.rank) + 1], radix: 16)
    let paths = places.map { "\($0)/repvgg-heartbeat-\(token)" }
    var memory: UnsafeMutableRawPointer?
    func map(creating: Bool) {
      for path in paths where memory == nil {
        memory = Self.map(path, bytes: bytes, creating: creating)
      }
    }
    if place == 0 { map(creating: true) }
    try communicator.barrier()
    if place > 0 { map(creating: false) }
    try communicator.barrier()
    // What is mapped stays, and nothing is left behind by a kill from here on.
    if place == 0 { for path in paths { unlink(path) } }
    return try Agreement.all(communicator) {
      if let memory {
        return Heartbeat(
          ranks: ranks, of: communicator.size, place: place, memory: memory, bytes: bytes)
      }
      return try alone(rank: communicator.rank, of: communicator.size)
    }
  }

  /// A board for one rank.
  static func alone(rank: Int, of size: Int = 1) throws -> Heartbeat {
    let bytes = Word.count * 8
    guard let memory = Self.map(nil, bytes: bytes, creating: true) else {
      throw JobFailure(.inputOutput, "mmap: \(String(cString: strerror(errno)))")
    }
    return Heartbeat(ranks: [rank], of: size, place: 0, memory: memory, bytes: bytes)
  }

  private static var places: [String] {
    ["/dev/shm", Machine.environment("TMPDIR") ?? "/tmp"]
  }

  /// Processes with the same one see the same files and the same clock.
  private static var hostHash: UInt64 {
    var hash = StateHash()
    for part in [Machine.hostName, Machine.bootIdentifier] {
      Array(part.utf8).withUnsafeBytes { hash.combine($0) }
    }
    return hash.value
  }

  /// Memory of a file, or of no file where `path` is nil; nil where the system gives none.
  private static func map(
    _ path: String?, bytes: Int, creating: Bool
  ) -> UnsafeMutableRawPointer? {
    var descriptor: Int32 = -1
    if let path {
      let mode = creating ? O_CREAT | O_EXCL : 0
      descriptor = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | mode, 0o600)
      guard descriptor >= 0 else { return nil }
    }
    defer { if descriptor >= 0 { close(descriptor) } }
    // Allocated and not only sized: a full file system must not become SIGBUS later.
    if descriptor >= 0, creating, posix_fallocate(descriptor, 0, off_t(bytes)) != 0 {
      if let path { unlink(path) }
      return nil
    }
    let sharing = descriptor >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS
    guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, sharing, descriptor, 0),
      memory != MAP_FAILED
    else { return nil }
    return memory
  }
}

extension Heartbeat.Phase {
  /// Files are read or written, which may take long and is counted where it is done.
  var isAtFiles: Bool {
    switch self {
    case .reading, .resuming, .saving, .delivering: true
    default: false
    }
  }

  init(_ phase: StepPhase) {
    self =
      switch phase {
      case .forward: .forward
      case .backward: .backward
      case .gradients: .gradients
      case .summary: .summary
      case .update: .update
      }
  }
}
