import CKernelBuild
import Glibc
import Synchronization

/// The threads of one rank. A parallel kernel is cut into tasks whose number and content depend on
/// shapes alone; threads take whole tasks, so results do not depend on how many threads there are.
///
/// Not `Sendable`: one thread (the rank's) owns the pool and hands out work.
package final class WorkerPool {
  /// Threads that work, the calling one included.
  package let threads: Int
  /// Whether each has a core to itself.
  package let ownCores: Bool
  /// Runs that threads have shared so far.
  package private(set) var sharedRuns = 0
  /// For tests: one thread takes tasks in the opposite order, which finds runs whose tasks depend on
  /// each other.
  package var takesLastTaskFirst = false
  /// Called by the calling thread between its tasks: for work that must not wait until a run is over,
  /// and that no task's result depends on.
  package var betweenTasks: () -> Void = {}
  private let job: Job
  private var handles: [pthread_t] = []

  /// `threads`: at least 1; with 1 every task runs on the calling thread. Where they have cores of
  /// their own, waiting in a loop takes nothing from others.
  package init(threads: Int, ownCores: Bool = true) {
    self.threads = max(1, threads)
    self.ownCores = ownCores
    job = Job(patience: ownCores ? 500e-6 : 25e-6)
    for worker in 1..<self.threads { start(worker) }
  }

  deinit {
    job.close()
    for handle in handles { pthread_join(handle, nil) }
  }

  /// Calls `body(task, worker)` once for every task in `0..<count` and returns when all are done.
  ///
  /// Tasks run in any order, on any worker `0..<threads`; two tasks with the same worker never run
  /// at the same time, so `worker` may choose a scratch buffer. `body` must not call `run`.
  package func run(_ count: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    if threads == 1 || count <= 1 {
      for task in 0..<count {
        body(takesLastTaskFirst ? count - 1 - task : task, 0)
        betweenTasks()
      }
      return
    }
    sharedRuns += 1
    // Takes a few tens of bytes for the closure.
    withoutActuallyEscaping(body) { escaping in
      job.open(count: count, body: escaping)
      job.takeTasks(worker: 0, afterEach: betweenTasks)
      job.awaitWorkers(threads - 1)
    }
  }

  private func start(_ worker: Int) {
    let entry = WorkerEntry(job: job, worker: worker)
    var handle = pthread_t()
    let status = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<WorkerEntry>.fromOpaque(argument).takeRetainedValue().serve()
        return nil
      }, Unmanaged.passRetained(entry).toOpaque())
    guard status == 0 else {
      fatalError("cannot start worker thread \(worker): \(String(cString: strerror(status)))")
    }
    handles.append(handle)
  }
}

/// What a worker thread is started with.
private final class WorkerEntry {
  let job: Job
  let worker: Int

  init(job: Job, worker: Int) {
    self.job = job
    self.worker = worker
  }

  func serve() {
    var generation = 0
    while job.awaitWork(after: &generation) {
      job.takeTasks(worker: worker)
      job.leave()
    }
  }
}

/// The work at hand, shared by the pool's threads. `@unchecked Sendable` because the body captures
/// pointers: `open` publishes it under the lock, and `awaitWorkers` withdraws it after every worker
/// has left.
private final class Job: @unchecked Sendable {
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let nextTask = Atomic<Int>(0)
  /// The two numbers that threads wait for, also written under the lock.
  private let opened = Atomic<Int>(0)
  private let finished = Atomic<Int>(0)
  private var body: ((Int, Int) -> Void)?
  private var count = 0
  private var isClosed = false
  /// Seconds for which a thread looks before it sleeps.
  private let patience: Double

  init(patience: Double) {
    self.patience = patience
    pthread_mutex_init(lock, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  func open(count: Int, body: @escaping (Int, Int) -> Void) {
    pthread_mutex_lock(lock)
    self.body = body
    self.count = count
    nextTask.store(0, ordering: .relaxed)
    finished.store(0, ordering: .relaxed)
    opened.add(1, ordering: .releasing)
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }

  /// Tasks follow each other within a fraction of a millisecond, and waking a sleeping thread takes a
  /// good part of one: so a thread first looks for a while, a short one where cores are short.
  private func spin(until isDone: () -> Bool) {
    let start = seconds()
    repeat {
      for _ in 0..<64 {
        if isDone() { return }
        kernel_build_pause()
      }
    } while seconds() - start < patience
  }

  private func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }

  func takeTasks(worker: Int, afterEach: (() -> Void)? = nil) {
    guard let body else { return }
    while true {
      let task = nextTask.add(1, ordering: .relaxed).oldValue
      if task >= count { return }
      body(task, worker)
      afterEach?()
    }
  }

  /// Waits for a job newer than `generation`; false when the pool is closed.
  func awaitWork(after generation: inout Int) -> Bool {
    let seen = generation
    spin { opened.load(ordering: .acquiring) != seen }
    pthread_mutex_lock(lock)
    while opened.load(ordering: .acquiring) == seen && !isClosed {
      pthread_cond_wait(changed, lock)
    }
    generation = opened.load(ordering: .acquiring)
    let isOpen = !isClosed
    pthread_mutex_unlock(lock)
    return isOpen
  }

  func leave() {
    pthread_mutex_lock(lock)
    finished.add(1, ordering: .releasing)
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }

  func awaitWorkers(_ workers: Int) {
    spin { finished.load(ordering: .acquiring) == workers }
    pthread_mutex_lock(lock)
    while finished.load(ordering: .acquiring) < workers { pthread_cond_wait(changed, lock) }
    body = nil
    pthread_mutex_unlock(lock)
  }

  func close() {
    pthread_mutex_lock(lock)
    isClosed = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }
}
