/// The collectives of a single process: every sum is its only part.
package final class SoloCommunicator: Communicator {
  package init() {}

  package var rank: Int { 0 }
  package var size: Int { 1 }
  package var backend: String { "solo" }

  package func sum(_ values: UnsafeMutableBufferPointer<Double>) {}
  package func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
  package func maximum(_ values: UnsafeMutableBufferPointer<Int64>) {}

  package func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) -> any PendingReduction {
    precondition(source.count == destination.count, "a sum has as many elements as its parts")
    _ = destination.update(from: source)
    return Finished()
  }

  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {
    precondition(root == 0, "root is a rank")
  }

  package func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer) {
    precondition(all.count == bytes.count, "room for every rank's bytes")
    all.copyMemory(from: bytes)
  }

  package func barrier() {}

  private final class Finished: PendingReduction {
    func poll() -> Bool { true }
    func wait() {}
  }
}
