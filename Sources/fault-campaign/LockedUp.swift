import Foundation
import Synchronization
import _TestSupport

/// Ends an mpirun that has not taken note of its ranks' end for ten seconds: PMIx 4.2.2 locks itself up
/// where a rank is killed while it starts. That is no fault of the job, and is counted.
final class LockedUp: Sendable {
  private let isOver = Atomic<Bool>(false)
  private let hasKilled = Atomic<Bool>(false)

  init(_ launcher: Int32) {
    Thread.detachNewThread { [self] in
      var turns = 0
      while !isOver.load(ordering: .relaxed) {
        usleep(500_000)
        turns = RunningProgram.hasOnlyEndedChildren(launcher) ? turns + 1 : 0
        guard turns >= 20 else { continue }
        hasKilled.store(true, ordering: .relaxed)
        kill(launcher, SIGKILL)
        return
      }
    }
  }

  /// Whether it was killed.
  func stop() -> Bool {
    isOver.store(true, ordering: .relaxed)
    return hasKilled.load(ordering: .relaxed)
  }
}
