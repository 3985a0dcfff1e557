import Glibc
import Synchronization
import Training

/// Looks on while MPI starts, before the ranks of a host know of each other: a rank that dies in these
/// moments may leave the others, and mpirun, waiting for it for ever.
package enum StartWatch {
  /// Seconds until the process ends, from the environment; 0: it waits for ever.
  package static let variable = "REPVGG_START_SECONDS"
  private static let standardLimit = 300.0
  /// Share of the limit that a request to stop waits for: MPI that comes back in order is better.
  private static let patience = 1.0 / 30

  /// Runs `body`, and ends the process with code 70 where that takes longer than the limit; says so
  /// after a tenth of it. Whoever asks meanwhile that the job stop waits for no more than a thirtieth:
  /// the process ends with code 75 then.
  package static func during<Result>(_ body: () throws -> Result) rethrows -> Result {
    let limit = Machine.environment(variable).flatMap(Double.init) ?? standardLimit
    guard limit > 0, limit.isFinite else { return try body() }
    let isDone = Flag()
    let thread = ServiceThread.start { watch(limit, isDone) }
    defer {
      isDone.value.store(true, ordering: .relaxed)
      if let thread { pthread_join(thread, nil) }
    }
    return try body()
  }

  private final class Flag: Sendable {
    let value = Atomic<Bool>(false)
  }

  private static func watch(_ limit: Double, _ isDone: Flag) {
    let start = monotonicSeconds()
    let rank = Machine.environment("OMPI_COMM_WORLD_RANK") ?? "0"
    var hasSpoken = false
    var end: Double?
    // Short turns: whoever is done waits for this thread.
    while !isDone.value.load(ordering: .relaxed) {
      usleep(2_000)
      let seconds = monotonicSeconds() - start
      if seconds >= limit {
        say(
          "rank \(rank): MPI_Init has not come back in \(Int(limit)) s (\(variable)), the job ends")
        _exit(ExitCode.ownFault.rawValue)
      }
      if StopAgreement.isRequested {
        end = end ?? seconds + limit * patience
        if let end, seconds >= end {
          say("rank \(rank): asked to stop while MPI_Init has not come back, the job ends")
          _exit(ExitCode.stopped.rawValue)
        }
      }
      guard seconds >= limit / 10, !hasSpoken else { continue }
      hasSpoken = true
      say(
        "rank \(rank) is in MPI_Init since \(max(1, Int(seconds))) s; it waits for those that do not say so"
      )
    }
  }

  private static func say(_ line: String) {
    let bytes = Array("repvgg: watchdog: \(line)\n".utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
