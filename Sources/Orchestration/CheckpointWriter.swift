import Checkpoints
import Glibc
import Synchronization
import Training

/// Writes checkpoints by a thread of its own, one at a time: training goes on while the files reach
/// the disk. Belongs to the thread that made it.
final class CheckpointWriter {
  /// What became of a save.
  struct Outcome: Sendable {
    var step: Int
    /// Seconds of the thread.
    var seconds: Double
    /// Steps of the checkpoints that were removed.
    var removed: [Int]
    /// What a person should know.
    var notes: [String]
  }

  private final class Work: Sendable {
    let outcome = Mutex<Result<Outcome, any Error>?>(nil)
  }

  private let write: @Sendable (RunCopy) throws -> Outcome
  private var thread: pthread_t?
  private var work: Work?

  convenience init(_ store: CheckpointStore) { self.init { try Self.write($0, to: store) } }

  /// - Parameter write: what the thread does with a copy.
  init(write: @escaping @Sendable (RunCopy) throws -> Outcome) { self.write = write }

  /// A process that ends leaves no save half done, where it can help it.
  deinit { join() }

  /// Whether a save is still being written.
  var isBusy: Bool { work.map { $0.outcome.withLock { $0 == nil } } ?? false }

  /// Waits until no save is being written, or so many seconds; whether none is.
  func wait(atMost seconds: Double = .infinity) -> Bool {
    let end = monotonicSeconds() + seconds
    while isBusy {
      guard monotonicSeconds() < end else { return false }
      usleep(1_000)
    }
    return true
  }

  /// Begins to write `copy`. The last save must be done and its outcome taken.
  func begin(_ copy: RunCopy) {
    precondition(work == nil, "one save at a time")
    let work = Work()
    self.work = work
    let write = write
    let body: @Sendable () -> Void = {
      let result = Result { try write(copy) }
      work.outcome.withLock { $0 = result }
    }
    thread = ServiceThread.start(body)
    // Without a thread the save is written all the same.
    if thread == nil { body() }
  }

  /// The outcome of a save that is done, once; nil while none is.
  func take() throws -> Outcome? {
    guard let result = work?.outcome.withLock({ $0 }) else { return nil }
    join()
    work = nil
    return try result.get()
  }

  private func join() {
    if let thread { pthread_join(thread, nil) }
    thread = nil
  }

  /// Commits a checkpoint, marks the best one and removes old ones.
  private static func write(_ copy: RunCopy, to store: CheckpointStore) throws -> Outcome {
    let start = monotonicSeconds()
    let step = copy.state.step
    let notes = try store.commit(step: step, files: try copy.snapshot().files())
    if copy.state.best?.step == step { try store.setBest(step: step) }
    let removed = try store.prune()
    return Outcome(
      step: step, seconds: monotonicSeconds() - start, removed: removed, notes: notes)
  }
}
