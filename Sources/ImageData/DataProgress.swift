import Synchronization

/// How far the opening of data has come, for whoever watches from another thread: a large data set on
/// a slow file system takes minutes, and that is no hang.
package enum DataProgress {
  private static let operations = Atomic<Int>(0)

  /// Reads and directory entries of this process so far.
  package static var count: Int { operations.load(ordering: .relaxed) }

  static func advance() { operations.add(1, ordering: .relaxed) }
}
