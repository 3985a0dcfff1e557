import Synchronization

/// How far reading and writing checkpoints has come, for whoever watches from another thread: large
/// ones on a slow disk take minutes, and that is no hang.
package enum StoreProgress {
  private static let operations = Atomic<Int>(0)

  /// Reads, writes and fsyncs of this process so far.
  package static var count: Int { operations.load(ordering: .relaxed) }

  static func advance() { operations.add(1, ordering: .relaxed) }
}
