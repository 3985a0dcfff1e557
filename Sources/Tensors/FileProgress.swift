import Synchronization

/// How far the reading and writing of files has come, for whoever watches from another thread: large
/// data sets and checkpoints on a slow disk take minutes, and that is no hang.
package enum FileProgress {
  private static let operations = Atomic<Int>(0)

  /// Reads, writes, fsyncs and directory entries of this process so far.
  package static var count: Int { operations.load(ordering: .relaxed) }

  /// To be called after each of them.
  package static func advance() { operations.add(1, ordering: .relaxed) }
}
