import CMPI

/// Exchanges of messages with other ranks, several under way at once. Each has a place.
///
/// All are tested by one call into MPI: where ranks share cores a call that finds nothing gives the
/// core away, and eight in a row would give it away eight times.
final class Exchanges {
  /// Places are `0..<count`.
  static let count = Int(cmpi_exchange_count)

  private let world: cmpi_communicator
  private let all: UnsafeMutablePointer<cmpi_exchanges>
  private var partners = [Int](repeating: 0, count: count)
  /// Bytes that are to come in.
  private var sizes = [Int](repeating: 0, count: count)

  init(world: cmpi_communicator) {
    self.world = world
    all = .allocate(capacity: 1)
    all.initialize(to: cmpi_exchanges())
    cmpi_clear_exchanges(all)
  }

  deinit { all.deallocate() }

  /// Sends `outgoing` to the partner and receives `count` elements from it. The place must have no
  /// exchange under way; the memory must stay valid and untouched until this one is over.
  func start<Element>(
    _ place: Int, with partner: Int, tag: Int32, sending outgoing: UnsafeBufferPointer<Element>,
    into incoming: UnsafeMutablePointer<Element>, count: Int
  ) throws(MPIError) {
    var received: Int32 = 0
    precondition(
      cmpi_exchange_is_over(all, Int32(place), &received) != 0, "an exchange is under way there")
    let size = MemoryLayout<Element>.stride
    partners[place] = partner
    sizes[place] = count * size
    try check(
      "MPI_Irecv, MPI_Isend",
      cmpi_start_exchange(
        all, Int32(place), outgoing.baseAddress, Int32(outgoing.count * size), incoming,
        Int32(sizes[place]), Int32(partner), tag, world))
  }

  /// Makes MPI move messages, and says whether some were found complete: then others may be, too.
  func test() throws(MPIError) -> Bool {
    var done: Int32 = 0
    try check("MPI_Testsome", cmpi_test_exchanges(all, &done))
    return done > 0
  }

  /// Whether `test` has found both messages of the place complete.
  func isOver(_ place: Int) throws(MPIError) -> Bool {
    var received: Int32 = 0
    guard cmpi_exchange_is_over(all, Int32(place), &received) != 0 else { return false }
    guard Int(received) == sizes[place] else {
      throw MPIError(
        call: "MPI_Testsome",
        message: "rank \(partners[place]) sent \(received) bytes of a sum for \(sizes[place]): the "
          + "ranks sum messages of different sizes; find out where with communication.check_order")
    }
    return true
  }
}
