import Glibc
import RunPlanning

/// What the loader's threads read, as a value.
struct BatchSource: Sendable {
  let dataset: any Dataset
  let plan: ShardPlan
  let ownedShards: Range<Int>
  let transform: SampleTransform
  let damaged: RunConfig.Damaged
  /// Steps counted from the first step of epoch 0.
  let steps: Range<Int>

  /// Samples that a thread takes at a time: decoding a file is worth a turn of its own, copying a few
  /// hundred bytes is not.
  var samplesPerTurn: Int { dataset.form == .encoded ? 1 : 32 }
}

/// Batches handed from the loader's threads to its owner.
///
/// Unchecked: `lock` guards every variable. Threads take runs of samples in order, of the next batch
/// too while there is a buffer for it; a batch is published when its last sample is done, whichever
/// thread does it, and handed out in the order of the plan. The buffer of batch i is the threads'
/// until batch i is handed out, then the consumer's until it is given back; then it serves batch
/// i + `buffers.count`.
final class BatchRing: @unchecked Sendable {
  private struct Work {
    var remaining = 0
    var isComplete = false
    /// The failure of the first sample that failed.
    var failure: (index: Int, error: DataError)?
    var replaced: [(index: Int, error: DataError)] = []
    var batch: Batch?
  }

  private let source: BatchSource
  private let buffers: [BatchBuffer]
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  private var work: [Work]
  private var order: EpochOrder?
  /// Batches that were begun, and the next sample of the last of them.
  private var begunCount = 0
  private var nextSample = 0
  private var takenCount = 0
  private var returnedCount = 0
  private var isStopped = false
  /// Nothing is begun behind a batch that failed.
  private var hasFailed = false

  init(source: BatchSource, buffers count: Int) {
    self.source = source
    buffers = (0..<count).map { _ in
      BatchBuffer(
        plan: source.plan, ownedShards: source.ownedShards, transform: source.transform)
    }
    work = Array(repeating: Work(), count: count)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  private func locked<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure)
    -> Result
  {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return try body()
  }

  // MARK: - Threads

  /// The body of each of the loader's threads.
  func produce() {
    let reader = SampleReader(dataset: source.dataset, transform: source.transform)
    while let (slot, samples) = locked({ nextTurn() }) {
      for index in samples { read(index, slot: slot, reader) }
      finish(samples.count, slot: slot)
    }
  }

  /// The next run of samples, as soon as there is one; nil when nothing is left or the loader has
  /// been stopped.
  private func nextTurn() -> (slot: Int, samples: Range<Int>)? {
    while !isStopped {
      if begunCount > 0 {
        let slot = (begunCount - 1) % buffers.count
        let count = buffers[slot].count
        if nextSample < count {
          let turn = nextSample..<min(count, nextSample + source.samplesPerTurn)
          nextSample = turn.upperBound
          return (slot, turn)
        }
      }
      guard begunCount < source.steps.count, !hasFailed else { return nil }
      if begunCount >= returnedCount + buffers.count {
        pthread_cond_wait(changed, lock)
      } else {
        begin()
      }
    }
    return nil
  }

  private func begin() {
    let plan = source.plan
    let step = source.steps.lowerBound + begunCount
    let (epoch, stepInEpoch) = step.quotientAndRemainder(dividingBy: plan.stepsPerEpoch)
    if order?.epoch != epoch { order = nil }  // Before the next is made: each has a word a sample.
    let current = order ?? plan.order(epoch: epoch)
    order = current
    let slot = begunCount % buffers.count
    buffers[slot].begin(step: stepInEpoch, order: current)
    work[slot] = Work(remaining: buffers[slot].count)
    begunCount += 1
    nextSample = 0
    // A rank may have no samples in an epoch's last step.
    if work[slot].remaining == 0 { publish(buffers[slot].finish(plan: plan, replaced: []), slot) }
  }

  private func read(_ index: Int, slot: Int, _ reader: SampleReader) {
    do throws(DataError) {
      let replaced = try reader.read(buffers[slot].place(index), damaged: source.damaged)
      if let replaced { locked { work[slot].replaced.append((index, replaced)) } }
    } catch {
      locked {
        if index < work[slot].failure?.index ?? .max { work[slot].failure = (index, error) }
        hasFailed = true
      }
    }
  }

  /// The thread that does a batch's last sample ends the batch, without holding up the others.
  private func finish(_ count: Int, slot: Int) {
    let ended: (replaced: [DataError], hasFailed: Bool)? = locked {
      work[slot].remaining -= count
      guard work[slot].remaining == 0 else { return nil }
      let replaced = work[slot].replaced.sorted { $0.index < $1.index }.map(\.error)
      return (replaced, work[slot].failure != nil)
    }
    guard let ended else { return }
    let batch =
      ended.hasFailed ? nil : buffers[slot].finish(plan: source.plan, replaced: ended.replaced)
    locked { publish(batch, slot) }
  }

  private func publish(_ batch: Batch?, _ slot: Int) {
    work[slot].batch = batch
    work[slot].isComplete = true
    pthread_cond_broadcast(changed)
  }

  // MARK: - Owner

  /// Gives the batch before back and waits for the next one.
  func take() throws(DataError) -> Batch? {
    try locked { () throws(DataError) -> Batch? in
      let wanted = takenCount
      let slot = wanted % buffers.count
      if returnedCount < wanted {
        returnedCount = wanted
        pthread_cond_broadcast(changed)
      }
      while !isStopped, wanted < source.steps.count, !isReady(wanted) {
        pthread_cond_wait(changed, lock)
      }
      guard !isStopped, wanted < source.steps.count else { return nil }
      if let failure = work[slot].failure { throw failure.error }
      takenCount = wanted + 1
      return work[slot].batch
    }
  }

  private func isReady(_ batch: Int) -> Bool {
    batch < begunCount && work[batch % buffers.count].isComplete
  }

  func stop() {
    locked {
      isStopped = true
      pthread_cond_broadcast(changed)
    }
  }
}
