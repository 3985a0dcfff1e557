import Glibc
import RunPlanning
import Synchronization
import Tensors

/// A thread in every rank that sees whether the ranks of its host get on, without MPI: from where
/// they know of each other until behind `MPI_Finalize`.
///
/// What makes no progress is named after `watchdog.warn_seconds`; where no rank of the host has made
/// any for `watchdog.abort_seconds`, the job ends with code 70. The lowest rank whose thread is awake
/// speaks. A rank whose parent, mpirun or its daemon, is gone ends too: nobody else would end it.
package final class Watchdog: Sendable {
  package let heartbeat: Heartbeat
  /// The configuration's once it is read, and the run's log, to which the speaker adds where it is
  /// there.
  private let settings: Mutex<(limits: RunConfig.Watchdog, log: String?)>
  private let isStopping = Atomic<Bool>(false)
  private let thread = Mutex<pthread_t?>(nil)

  /// Seconds without a sign of life after which a rank's thread counts as asleep.
  private static let sleepSeconds = 3.0

  package init(_ heartbeat: Heartbeat) {
    self.heartbeat = heartbeat
    settings = Mutex((.init(), nil))
  }

  /// From now on by these limits, and also into this log.
  package func follow(_ limits: RunConfig.Watchdog, log: String? = nil) {
    settings.withLock { $0 = (limits, log) }
  }

  /// Starts the thread. Where the system gives none, nobody watches, and that is said.
  package func start() {
    let parent = getppid()
    // Without mpirun a parent may go: whoever starts a job in the background expects that.
    let isLaunched = Machine.environment("OMPI_COMM_WORLD_RANK") != nil && parent > 1
    let started = ServiceThread.start { [self] in watch(parent: isLaunched ? parent : nil) }
    if started == nil {
      say("rank \(heartbeat.rank): no thread for the watchdog (see ulimit -u): hangs are not seen")
    }
    thread.withLock { $0 = started }
  }

  /// Ends the thread: the rank is done.
  package func stop() {
    heartbeat.enter(.ended)
    isStopping.store(true, ordering: .relaxed)
    if let thread = thread.withLock({ $0 }) { pthread_join(thread, nil) }
    thread.withLock { $0 = nil }
  }

  private func watch(parent: pid_t?) {
    var named: Set<Int> = []
    var filesSeen = FileProgress.count
    var isHopeless = false
    while !isStopping.load(ordering: .relaxed) {
      let limits = settings.withLock { $0.limits }
      let shortest = [limits.warnSeconds, limits.abortSeconds].filter { $0 > 0 }.min() ?? 5
      usleep(UInt32(min(0.5, shortest / 10) * 1e6))
      let hasSlept = heartbeat.ownSilence >= Self.sleepSeconds
      heartbeat.tick()
      if let parent, getppid() != parent {
        say("rank \(heartbeat.rank): mpirun is gone; the rank ends with it")
        _exit(ExitCode.ownFault.rawValue)
      }
      let filesDone = FileProgress.count
      // Files mark nothing by themselves.
      if filesDone != filesSeen, heartbeat.phase.isAtFiles { heartbeat.mark() }
      filesSeen = filesDone
      // A process that has been stopped, or all of them with the machine: what it was at begins anew,
      // and it judges from its next turn on.
      if hasSlept {
        heartbeat.mark()
        isHopeless = false
        continue
      }
      isHopeless = judge(heartbeat.states(), limits, wasHopeless: isHopeless, named: &named)
    }
  }

  /// Says what is to be said; whether nobody gets on. Where that was so a turn before already, the
  /// process ends: the states of a single turn may be those of before a stop.
  private func judge(
    _ states: [Heartbeat.RankState], _ limits: RunConfig.Watchdog, wasHopeless: Bool,
    named: inout Set<Int>
  ) -> Bool {
    let isSpeaker =
      states.first { $0.silentSeconds < Self.sleepSeconds && $0.phase != .ended }?.rank
      == heartbeat.rank
    let verdict = Self.verdict(states, limits, hasOtherHosts: heartbeat.hasOtherHosts)
    if let message = verdict, wasHopeless {
      // A moment for it to be said, and to reach the log.
      if isSpeaker { say(message) }
      usleep(300_000)
      _exit(ExitCode.ownFault.rawValue)
    }
    // Only the speaker remembers whom it has named: another one that takes over begins anew.
    if isSpeaker { Self.warnings(states, limits, named: &named).forEach(say) }
    return verdict != nil
  }

  /// One line on stderr and in the log, by `write`: nothing is kept back by a process that ends. The
  /// log by a thread of its own, which nobody waits for: its file system may be what hangs.
  private func say(_ line: String) {
    let host = heartbeat.hasOtherHosts ? "\(Machine.hostName): " : ""
    let bytes = Array("repvgg: watchdog: \(host)\(line)\n".utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    guard let log = settings.withLock({ $0.log }) else { return }
    let thread = ServiceThread.start {
      let descriptor = open(log, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else { return }
      _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      close(descriptor)
    }
    if let thread { pthread_detach(thread) }
  }
}

// MARK: - What the states say

extension Watchdog {
  /// Why the job must end; nil as long as any rank of the host gets on, or where all of them wait for
  /// other hosts that may still be at their files, at their own speed.
  static func verdict(
    _ states: [Heartbeat.RankState], _ settings: RunConfig.Watchdog, hasOtherHosts: Bool = false
  ) -> String? {
    let living = states.filter { $0.phase != .ended }
    guard settings.abortSeconds > 0, !living.isEmpty,
      living.allSatisfy({ $0.idleSeconds >= settings.abortSeconds })
    else { return nil }
    let waitForFiles = living.allSatisfy { $0.phase.isAtFiles && $0.isInCollective }
    if hasOtherHosts && waitForFiles { return nil }
    return
      "no progress for \(Int(settings.abortSeconds)) s (watchdog.abort_seconds), the job ends; "
      + "the same command goes on from the newest checkpoint. " + culprits(of: living)
      + ". Last seen: " + living.map(description).joined(separator: "; ")
  }

  /// Lines about ranks that have become slow, or get on again, since the last call. `named`: ranks
  /// that have been named.
  static func warnings(
    _ states: [Heartbeat.RankState], _ settings: RunConfig.Watchdog, named: inout Set<Int>
  ) -> [String] {
    guard settings.warnSeconds > 0 else { return [] }
    let living = states.filter { $0.phase != .ended }
    var lines: [String] = []
    for state in living where named.contains(state.rank) && state.idleSeconds < settings.warnSeconds
    {
      named.remove(state.rank)
      lines.append("rank \(state.rank) goes on: step \(state.step), \(state.phase.description)")
    }
    let idle = living.filter { $0.idleSeconds >= settings.warnSeconds }
    var slow = idle.filter { isAtFault($0) }
    // Where all wait for each other, those that are behind are awaited, or nobody here is.
    if slow.isEmpty && idle.count == living.count {
      let least = living.map(\.collectives).min()
      slow = idle.filter { $0.collectives == least }
    }
    for state in slow where !named.contains(state.rank) {
      named.insert(state.rank)
      let waiting = idle.filter { isWaiting($0) && $0.rank != state.rank }.map(\.rank)
      lines.append(
        "\(description(state)) since \(Int(state.idleSeconds)) s"
          + (waiting.isEmpty ? "" : "; \(words(waiting)) for it")
          + (settings.abortSeconds > 0
            ? "; without progress the job ends after \(Int(settings.abortSeconds)) s" : ""))
    }
    return lines
  }

  /// It does not wait for others: it works, or does not even do that.
  private static func isAtFault(_ state: Heartbeat.RankState) -> Bool {
    !isWaiting(state) || isAsleep(state)
  }

  private static func isWaiting(_ state: Heartbeat.RankState) -> Bool {
    state.isInCollective || state.phase == .gradients || state.phase == .ending
  }

  private static func isAsleep(_ state: Heartbeat.RankState) -> Bool {
    state.silentSeconds >= sleepSeconds && state.silentSeconds >= state.idleSeconds / 2
  }

  private static func culprits(of states: [Heartbeat.RankState]) -> String {
    let atFault = states.filter(isAtFault)
    if !atFault.isEmpty { return "It waits for " + words(atFault.map(\.rank), verb: nil) }
    let least = states.map(\.collectives).min()
    let behind = states.filter { $0.collectives == least }
    return behind.count < states.count
      ? "It waits for " + words(behind.map(\.rank), verb: nil)
      : "All ranks of this host wait in the same collective: for another host, or in MPI itself"
  }

  /// `rank 2 (pid 4711): step 12, forward pass, stopped`.
  private static func description(_ state: Heartbeat.RankState) -> String {
    "rank \(state.rank) (pid \(state.process)): step \(state.step), \(state.phase.description)"
      + (state.isInCollective ? ", in collective \(state.collectives)" : "")
      + (isAsleep(state) ? ", its process is stopped" : "")
  }

  private static func words(_ ranks: [Int], verb: String? = "wait") -> String {
    let list = ranks.map(String.init).joined(separator: ", ")
    let noun = ranks.count == 1 ? "rank" : "ranks"
    guard let verb else { return "\(noun) \(list)" }
    return "\(noun) \(list) \(ranks.count == 1 ? verb + "s" : verb)"
  }
}
