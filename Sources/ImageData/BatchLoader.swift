import Glibc
import Tensors

/// Keeps a rank's batches ready ahead of the step, by one thread of its own.
///
/// Batches come in the order of the plan, whatever the depth; the same batches for the same start.
/// Belongs to the thread that made it. The memory of `depth` + 1 batches is allocated once.
package final class BatchLoader {
  private let ring: BatchRing
  private var thread: pthread_t?

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - ownedShards: this rank's shards; its batches hold these alone. Possibly empty.
  ///   - depth: batches kept ready beside the one in use, at least 1.
  ///   - startEpoch, startStep: the first batch, as a resumed run needs it; the step counts within
  ///     its epoch.
  ///   - epochs: the epoch after the last one.
  /// - Throws: `DataError` of kind `io` when the system gives no thread.
  package init(
    dataset: any Dataset, plan: ShardPlan, ownedShards: Range<Int>, transform: SampleTransform,
    depth: Int, startEpoch: Int = 0, startStep: Int = 0, epochs: Int
  ) throws(DataError) {
    precondition(dataset.count == plan.sampleCount, "a plan for another dataset")
    precondition(
      ownedShards.lowerBound >= 0 && ownedShards.upperBound <= plan.shards, "shards out of range")
    precondition(startEpoch >= 0 && startStep >= 0 && depth > 0, "start or depth out of range")
    let first = startEpoch * plan.stepsPerEpoch + startStep
    ring = BatchRing(
      source: BatchSource(
        dataset: dataset, plan: plan, ownedShards: ownedShards, transform: transform,
        steps: first..<max(first, epochs * plan.stepsPerEpoch)),
      buffers: depth + 1)
    thread = try Self.startThread(ring)
  }

  deinit { stop() }

  /// The next batch, as soon as it is ready; nil behind the last one, and after `stop`. The batch
  /// before it must no longer be used.
  ///
  /// - Throws: what the dataset threw at this batch, once the batches before it are through, and at
  ///   every call from then on.
  package func next() throws(DataError) -> Batch? { try ring.take() }

  /// Ends the thread and waits for it. What it has prepared is dropped.
  package func stop() {
    guard let thread else { return }
    ring.stop()
    pthread_join(thread, nil)
    self.thread = nil
  }

  private static func startThread(_ ring: BatchRing) throws(DataError) -> pthread_t {
    // Signals are for the main thread: a new thread inherits the mask of its maker.
    var everything = sigset_t()
    var before = sigset_t()
    sigfillset(&everything)
    pthread_sigmask(SIG_SETMASK, &everything, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    let argument = Unmanaged.passRetained(ring)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<BatchRing>.fromOpaque(argument).takeRetainedValue().produce()
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

/// What the loader's thread reads, as a value.
private struct BatchSource: Sendable {
  let dataset: any Dataset
  let plan: ShardPlan
  let ownedShards: Range<Int>
  let transform: SampleTransform
  /// Steps counted from the first step of epoch 0.
  let steps: Range<Int>
}

/// Batches handed from the loader's thread to its owner.
///
/// Unchecked: `lock` guards every variable. The buffer of batch i is the producer's until batch i is
/// published, then the consumer's until batch i is given back; then it serves batch
/// i + `buffers.count`.
private final class BatchRing: @unchecked Sendable {
  private let source: BatchSource
  private let buffers: [BatchBuffer]
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  private var ready: [Batch?]
  private var publishedCount = 0
  private var takenCount = 0
  private var returnedCount = 0
  private var isStopped = false
  private var isFinished = false
  private var failure: DataError?

  init(source: BatchSource, buffers count: Int) {
    self.source = source
    buffers = (0..<count).map { _ in
      BatchBuffer(
        plan: source.plan, ownedShards: source.ownedShards,
        elementsPerSample: source.transform.elementsPerSample)
    }
    ready = Array(repeating: nil, count: count)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  /// The body of the loader's thread.
  func produce() {
    let plan = source.plan
    let reader = SampleReader(dataset: source.dataset, transform: source.transform)
    var order: EpochOrder?
    do throws(DataError) {
      for (index, step) in source.steps.enumerated() {
        guard waitForBuffer(index) else { return }
        let (epoch, stepInEpoch) = step.quotientAndRemainder(dividingBy: plan.stepsPerEpoch)
        let current =
          if let order, order.epoch == epoch { order } else { plan.order(epoch: epoch) }
        order = current
        let batch = try buffers[index % buffers.count].fill(
          step: stepInEpoch, order: current, reader: reader)
        publish(batch, index)
      }
      finish(nil)
    } catch {
      finish(error)
    }
  }

  /// Consumer: gives the batch before back and waits for the next one.
  func take() throws(DataError) -> Batch? {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    let wanted = takenCount
    if returnedCount < wanted {
      ready[(wanted - 1) % buffers.count] = nil
      returnedCount = wanted
      pthread_cond_broadcast(changed)
    }
    while publishedCount <= wanted, !isFinished, !isStopped { pthread_cond_wait(changed, lock) }
    guard publishedCount > wanted, !isStopped else {
      if let failure { throw failure }
      return nil
    }
    takenCount = wanted + 1
    return ready[wanted % buffers.count]
  }

  func stop() {
    pthread_mutex_lock(lock)
    isStopped = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }

  /// Waits until the buffer of batch `index` is free; false when the loader has been stopped.
  private func waitForBuffer(_ index: Int) -> Bool {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while index >= returnedCount + buffers.count, !isStopped { pthread_cond_wait(changed, lock) }
    return !isStopped
  }

  private func publish(_ batch: Batch, _ index: Int) {
    pthread_mutex_lock(lock)
    ready[index % buffers.count] = batch
    publishedCount = index + 1
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }

  private func finish(_ failure: DataError?) {
    pthread_mutex_lock(lock)
    self.failure = failure
    isFinished = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }
}
