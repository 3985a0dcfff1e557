/// One rank's end of the collectives that training needs.
///
/// Every rank calls the same operations in the same order with the same counts. Sums over ranks are
/// deterministic for a given world size, and for world sizes that are powers of two every backend
/// combines ranks in the balanced pairwise tree ((0+1)+(2+3))+((4+5)+(6+7)), which `ReductionTree`
/// computes locally; a run proves that of its backend at its start. Not `Sendable`: a communicator
/// belongs to the thread that made it.
package protocol Communicator: AnyObject {
  /// This process's place, `0..<size`. Rank 0 is the coordinator.
  var rank: Int { get }
  /// Number of ranks.
  var size: Int { get }
  /// Backend name for plan and metrics: `solo`, `threads`, `mpi`.
  var backend: String { get }

  /// Chooses how sums are made from here on, started ones and blocking ones of Float64: every rank the
  /// same, with none under way.
  func use(_ algorithm: ReductionAlgorithm)

  /// Replaces `values` by their sum over ranks, on every rank. Blocking.
  func sum(_ values: UnsafeMutableBufferPointer<Double>) throws
  /// Replaces `values` by their sum over ranks, on every rank. Blocking.
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws
  /// Replaces `values` by their maximum over ranks, on every rank. Blocking.
  func maximum(_ values: UnsafeMutableBufferPointer<Int64>) throws

  /// Starts summing `source` over ranks into `destination`. Both must stay valid and untouched, and
  /// must not overlap, until the reduction is complete. Progress is made only in `poll` and `wait`,
  /// of this sum or another, and where the backend can in blocking sums of Float64.
  func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws -> any PendingReduction

  /// Copies `bytes` of rank `root` to every rank. Blocking.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws
  /// Concatenates every rank's `bytes` (equal counts) in rank order into `all`, on every rank.
  func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer) throws
  /// Returns when every rank has called it.
  func barrier() throws
}

/// How a backend makes sums; those with no choice ignore it. All have the tree's bits.
package enum ReductionAlgorithm: String, Sendable, CaseIterable {
  /// Our own exchange, nearest ranks first: inside a host before between hosts.
  case halving
  /// The one that the message passing library picks.
  case library
}

extension Communicator {
  package func use(_ algorithm: ReductionAlgorithm) {}
}

/// A reduction under way. Complete exactly once, by `poll` returning true or by `wait`.
package protocol PendingReduction: AnyObject {
  /// Makes progress and says whether the reduction is complete. Cheap; call it between layers.
  func poll() throws -> Bool
  /// Returns when the reduction is complete.
  func wait() throws
}
