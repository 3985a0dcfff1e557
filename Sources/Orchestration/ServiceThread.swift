import Glibc
import ImageData

/// A thread beside the one that trains, for whoever can do without one.
enum ServiceThread {
  /// Starts it, as the loader starts its own; its owner joins it. Nil where the system gives no thread.
  static func start(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
    try? DataThread.start(body)
  }
}
