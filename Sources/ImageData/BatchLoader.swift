import Glibc
import RunPlanning

/// Keeps a rank's batches ready ahead of the step, by threads of its own.
///
/// Batches come in the order of the plan, whatever the depth and the number of threads; the same
/// batches for the same start. Belongs to the thread that made it. The memory of `depth` + 1 batches
/// is allocated once; beside it every thread has room for one image as it is stored and decoded.
package final class BatchLoader {
  private let ring: BatchRing
  private var running: [pthread_t] = []

  /// Starts the threads.
  ///
  /// - Parameters:
  ///   - ownedShards: this rank's shards; its batches hold these alone. Possibly empty.
  ///   - depth: batches kept ready beside the one in use, at least 1.
  ///   - threads: that read and decode, at least 1.
  ///   - damaged: what happens at a sample that cannot be decoded.
  ///   - startEpoch, startStep: the first batch, as a resumed run needs it; the step counts within
  ///     its epoch.
  ///   - epochs: the epoch after the last one.
  /// - Throws: `DataError` of kind `io` when the system gives no thread.
  package init(
    dataset: any Dataset, plan: ShardPlan, ownedShards: Range<Int>, transform: SampleTransform,
    depth: Int, threads: Int = 1, damaged: RunConfig.Damaged = .fail, startEpoch: Int = 0,
    startStep: Int = 0, epochs: Int
  ) throws(DataError) {
    precondition(dataset.count == plan.sampleCount, "a plan for another dataset")
    precondition(
      ownedShards.lowerBound >= 0 && ownedShards.upperBound <= plan.shards, "shards out of range")
    precondition(startEpoch >= 0 && startStep >= 0, "start out of range")
    precondition(depth > 0 && threads > 0, "depth or threads out of range")
    let first = startEpoch * plan.stepsPerEpoch + startStep
    ring = BatchRing(
      source: BatchSource(
        dataset: dataset, plan: plan, ownedShards: ownedShards, transform: transform,
        damaged: damaged, steps: first..<max(first, epochs * plan.stepsPerEpoch)),
      buffers: depth + 1)
    do throws(DataError) {
      for _ in 0..<threads { running.append(try DataThread.start { [ring] in ring.produce() }) }
    } catch {
      stop()
      throw error
    }
  }

  deinit { stop() }

  /// The next batch, as soon as it is ready; nil behind the last one, and after `stop`. The batch
  /// before it must no longer be used.
  ///
  /// - Throws: what the dataset threw at this batch, once the batches before it are through, and at
  ///   every call from then on.
  package func next() throws(DataError) -> Batch? { try ring.take() }

  /// Ends the threads and waits for them. What they have prepared is dropped.
  package func stop() {
    ring.stop()
    for thread in running { pthread_join(thread, nil) }
    running = []
  }
}
