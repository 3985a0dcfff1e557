import Glibc
import Synchronization

/// The wish to stop, as signals express it; ranks agree on it in the step's summary.
///
/// SIGUSR1 or SIGTERM to any rank, or SIGUSR1 to mpirun, which hands it to all: the job stops at the
/// next step boundary, saves, and ends with exit code 75. The first SIGINT does the same, the second
/// ends the process at once.
package enum StopAgreement {
  private static let requested = Atomic<Bool>(false)
  private static let interrupts = Atomic<Int>(0)

  /// Installs the handlers. First thing in `main`, before MPI: an early forwarded signal would
  /// otherwise kill the rank.
  package static func installHandlers() {
    // Touched here, so that no handler is the first to initialise them.
    requested.store(false, ordering: .relaxed)
    interrupts.store(0, ordering: .relaxed)
    for number in [SIGUSR1, SIGTERM] {
      install(number) { _ in StopAgreement.requested.store(true, ordering: .relaxed) }
    }
    install(SIGINT) { _ in
      StopAgreement.requested.store(true, ordering: .relaxed)
      if StopAgreement.interrupts.add(1, ordering: .relaxed).newValue > 1 { _exit(130) }
    }
  }

  /// Whether this rank has been asked to stop.
  package static var isRequested: Bool { requested.load(ordering: .relaxed) }

  private static func install(_ number: Int32, _ handler: @escaping @convention(c) (Int32) -> Void)
  {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = handler
    // System calls that a signal interrupts go on.
    action.sa_flags = SA_RESTART
    sigemptyset(&action.sa_mask)
    sigaction(number, &action, nil)
  }
}
