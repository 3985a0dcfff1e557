import Glibc

/// Seconds that a reader's samples took, by what was done with them: for measurements. Belongs to the
/// reader's thread.
package final class StageTimes {
  package enum Stage: String, CaseIterable, Sendable {
    /// Opening and reading what is stored.
    case read
    /// Entropy decoding, inverse transform and colours of the part that the crop needs.
    case decode
    /// Resizing and mirroring; of stored pixels also their padding.
    case resize
    /// Random operations.
    case augment
    /// Bytes to normalised Float32, and erasing.
    case normalise
  }

  package private(set) var seconds: [Stage: Double] = [:]
  private var last = 0.0

  package init() {}

  package var total: Double { seconds.values.reduce(0, +) }

  /// A sample begins.
  func begin() { last = Self.now }

  /// What has passed since the stage before was this stage's.
  func end(_ stage: Stage) {
    let now = Self.now
    seconds[stage, default: 0] += now - last
    last = now
  }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
