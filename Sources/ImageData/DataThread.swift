import Glibc
import Synchronization

/// Threads that work beside the one that trains: the loader's, and those of a run.
package enum DataThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a thread that takes no signals; its owner joins it.
  ///
  /// - Throws: `DataError` of kind `io` when the system gives no thread.
  package static func start(_ body: @escaping @Sendable () -> Void) throws(DataError) -> pthread_t {
    // Signals are for the main thread: a new thread inherits the mask of its maker.
    var everything = sigset_t()
    var before = sigset_t()
    sigfillset(&everything)
    pthread_sigmask(SIG_SETMASK, &everything, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    let argument = Unmanaged.passRetained(Body(body))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard status == 0 else {
      argument.release()
      throw DataError(
        .io, "the loader's thread does not start: \(errnoText(status)); see ulimit -u")
    }
    return thread
  }
}

/// Numbered items that threads take one after the other, while their owner looks on.
final class ParallelWork: Sendable {
  private struct State {
    var next = 0
    var running = 0
    var failure: (item: Int, error: DataError)?
  }

  private let count: Int
  private let state = Mutex(State())

  private init(_ count: Int) { self.count = count }

  /// Whether an item has failed: the others need not be finished.
  var isStopped: Bool { state.withLock { $0.failure != nil } }

  /// Calls `body` for every item in `0..<count` and returns when all calls have. After a failure
  /// no item is begun.
  ///
  /// - Parameters:
  ///   - watching: called on this thread now and then, and once behind the last item.
  ///   - scratch: made by each thread for itself.
  /// - Throws: the failure of the lowest item that failed.
  static func run<Scratch>(
    _ count: Int, threads: Int, watching: () -> Void, scratch: @escaping @Sendable () -> Scratch,
    _ body: @escaping @Sendable (Int, Scratch, ParallelWork) throws(DataError) -> Void
  ) throws(DataError) {
    let work = ParallelWork(count)
    var running: [pthread_t] = []
    defer { for thread in running { pthread_join(thread, nil) } }
    for _ in 0..<min(threads, count) {
      work.state.withLock { $0.running += 1 }
      do throws(DataError) {
        running.append(
          try DataThread.start {
            let own = scratch()
            while let item = work.next() {
              do throws(DataError) { try body(item, own, work) } catch { work.fail(item, error) }
            }
            work.state.withLock { $0.running -= 1 }
          })
      } catch {
        work.state.withLock { $0.running -= 1 }
        // Fewer threads do the same, only later.
        guard running.isEmpty else { break }
        throw error
      }
    }
    while work.state.withLock({ $0.running > 0 }) {
      usleep(5_000)
      watching()
    }
    watching()
    if let failure = work.state.withLock({ $0.failure }) { throw failure.error }
  }

  private func next() -> Int? {
    state.withLock { state in
      guard state.failure == nil, state.next < count else { return nil }
      defer { state.next += 1 }
      return state.next
    }
  }

  private func fail(_ item: Int, _ error: DataError) {
    state.withLock { state in
      if item < state.failure?.item ?? .max { state.failure = (item, error) }
    }
  }
}
