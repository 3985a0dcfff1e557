import Collectives
import Failpoints
import Glibc
import RunPlanning
import Tensors

/// Sums the gradient arena over ranks in buckets, which leave as soon as the backward pass has
/// completed them.
///
/// Gradients are read from one arena and their sums written to another: reductions in place are slow
/// in Open MPI (DESIGN: MPI rules). Every rank starts the same buckets in the same order.
package final class GradientReduction {
  /// Sums over all ranks, valid after `finish`; the network's own gradients with one rank.
  package let reduced: Arena
  package private(set) var statistics = Statistics()

  /// What the reductions of one step cost.
  package struct Statistics: Sendable, Equatable {
    package var collectives = 0
    package var bytes = 0
    /// Seconds in which the step did nothing but start, push on or wait for reductions, outside the sums
    /// of statistics; but for the waiting, the thread's own time.
    package var exposedSeconds = 0.0
  }

  private let communicator: any Communicator
  private let gradients: Arena
  private let buckets: [Range<Int>]
  private let layout: ArenaLayout
  private let reducesNorms: Bool
  private var started = 0
  private var pending: [any PendingReduction] = []
  /// Of a poll that could not throw.
  private var failure: (any Error)?
  private var lastPoll = 0.0
  package let pollInterval: Double

  /// Seconds between polls. Each costs microseconds, and the next message of a sum should not wait for
  /// much longer than its latency. (A poll makes MPI move messages or finds some, so one may take two.)
  /// Where ranks share cores a poll gives the core away besides: no more often than the system does.
  package static func pollInterval(ownCores: Bool) -> Double { ownCores ? 200e-6 : 5e-3 }

  /// `buckets`: slices of the weight region in backward order. With local BatchNorm the scales and
  /// shifts are one more bucket at the end.
  package init(
    communicator: any Communicator, gradients: Arena, layout: ArenaLayout, buckets: [Range<Int>],
    batchNorm: RunConfig.BatchNormMode, pollInterval: Double
  ) {
    self.communicator = communicator
    self.gradients = gradients
    self.layout = layout
    self.buckets = buckets
    self.pollInterval = pollInterval
    reducesNorms = batchNorm == .local
    reduced = communicator.size == 1 ? gradients : Arena(count: gradients.count)
    pending.reserveCapacity(buckets.count + 1)
  }

  /// To be called at the start of a backward pass.
  package func begin() {
    started = 0
    pending.removeAll(keepingCapacity: true)
    statistics = Statistics()
  }

  /// Elements `0..<end` of the gradients are complete: starts the buckets in them, and makes progress
  /// with those under way.
  package func gradientsReady(_ end: Int) throws {
    if end > 0, let value = Failpoint.value(.ownGradient) { gradients.base[0] += Float(value) }
    guard communicator.size > 1 else { return }
    try rethrow()
    while started < buckets.count && buckets[started].upperBound <= end {
      try start(buckets[started])
      started += 1
    }
    makeProgress()
    try rethrow()
  }

  /// Makes progress with the reductions under way, if there are any and the last time was long enough
  /// ago; to be called often, from the communicator's thread. An error is thrown by `rethrow`, or by
  /// the next `gradientsReady` or `finish`.
  package func makeProgress() {
    guard !pending.isEmpty, failure == nil, monotonicSeconds() - lastPoll > pollInterval else {
      return
    }
    do { try timed(by: CLOCK_THREAD_CPUTIME_ID, poll) } catch { failure = error }
  }

  /// Throws what `makeProgress` could not: to be called before any other collective.
  package func rethrow() throws { if let failure { throw failure } }

  /// After the backward pass: starts what is left and waits for all.
  package func finish() throws {
    guard communicator.size > 1 else { return }
    try rethrow()
    while started < buckets.count {
      try start(buckets[started])
      started += 1
    }
    let norms = layout.weightCount..<layout.count
    if reducesNorms {
      try start(norms)
    } else {
      // Already global: the same sums on every rank.
      let source = gradients.base + norms.lowerBound
      (reduced.base + norms.lowerBound).update(from: source, count: norms.count)
    }
    try timed(by: CLOCK_MONOTONIC) {
      for reduction in pending { try reduction.wait() }
    }
    pending.removeAll(keepingCapacity: true)
  }

  private func start(_ bucket: Range<Int>) throws {
    // A rank that is to send another size than the others.
    let range = bucket.lowerBound..<bucket.upperBound - Int(Failpoint.value(.bucketSize) ?? 0)
    let source = UnsafeBufferPointer(start: gradients.base + range.lowerBound, count: range.count)
    let target = UnsafeMutableBufferPointer(
      start: reduced.base + range.lowerBound, count: range.count)
    try timed(by: CLOCK_THREAD_CPUTIME_ID) {
      pending.append(try communicator.startSum(source, into: target))
    }
    statistics.collectives += 1
    statistics.bytes += range.count * MemoryLayout<Float>.stride
    Failpoint.pass(.bucketPosted)
  }

  /// Only the oldest is asked, for all of its kind move with it: where ranks share cores, asking may
  /// give the core away. (A bucket that is so small that it goes to the MPI library holds up those
  /// behind it, until the next sum of statistics.)
  private func poll() throws {
    while let oldest = pending.first, try oldest.poll() { pending.removeFirst() }
    lastPoll = monotonicSeconds()
  }

  /// What waits for nothing is timed by the thread's own clock: where ranks share cores, others compute
  /// while it is interrupted.
  private func timed(by clock: clockid_t, _ body: () throws -> Void) rethrows {
    let start = seconds(of: clock)
    try body()
    statistics.exposedSeconds += seconds(of: clock) - start
  }
}

/// Seconds of the monotonic clock: nothing in training depends on the time of day.
package func monotonicSeconds() -> Double { seconds(of: CLOCK_MONOTONIC) }

private func seconds(of clock: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
