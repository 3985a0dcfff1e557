import CMPI
import Collectives

/// The ranks of an MPI job. Made by `MPIEnvironment`; used from its thread only.
package final class MPICommunicator: Communicator {
  package let rank: Int
  package let size: Int
  package var backend: String { "mpi" }

  private var world: cmpi_communicator
  /// Sums of large messages and of statistics; nil where the library's are to be used.
  private var halving: HalvingReduction?

  init() throws(MPIError) {
    var world = cmpi_communicator()
    try check("MPI_Comm_dup", cmpi_duplicate_world(&world))
    var (rank, size): (Int32, Int32) = (0, 0)
    try check("MPI_Comm_rank", cmpi_rank(world, &rank))
    try check("MPI_Comm_size", cmpi_size(world, &size))
    self.world = world
    self.rank = Int(rank)
    self.size = Int(size)
  }

  package func use(_ algorithm: ReductionAlgorithm) {
    halving =
      algorithm == .halving ? HalvingReduction(world: world, rank: rank, size: size) : nil
  }

  func free() throws(MPIError) { try check("MPI_Comm_free", cmpi_free(&world)) }

  // An empty message is none: MPI's handling of null buffers is left alone.

  package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
    guard let base = values.baseAddress, !values.isEmpty else { return }
    if let halving { return try halving.sum(values) }
    let call = "MPI_Allreduce"
    try check(call, cmpi_sum_double(base, try count(values.count, call), world))
  }

  package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
    guard let base = values.baseAddress, !values.isEmpty else { return }
    let call = "MPI_Allreduce"
    try check(call, cmpi_sum_float(base, try count(values.count, call), world))
  }

  package func maximum(_ values: UnsafeMutableBufferPointer<Int64>) throws {
    guard let base = values.baseAddress, !values.isEmpty else { return }
    let call = "MPI_Allreduce"
    try check(call, cmpi_maximum_int64(base, try count(values.count, call), world))
  }

  package func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws -> any PendingReduction {
    precondition(source.count == destination.count, "a sum has as many elements as its parts")
    guard let from = source.baseAddress, let to = destination.baseAddress, !source.isEmpty else {
      return Pending(nil)
    }
    if let halving, source.count >= HalvingReduction.smallestCount {
      return try halving.start(source, into: destination)
    }
    let call = "MPI_Iallreduce"
    var request = cmpi_request()
    try check(
      call, cmpi_start_sum_float(from, to, try count(source.count, call), world, &request))
    return Pending(request)
  }

  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
    precondition((0..<size).contains(root), "root is a rank")
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    let call = "MPI_Bcast"
    try check(call, cmpi_broadcast(base, try count(bytes.count, call), Int32(root), world))
  }

  package func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer)
    throws
  {
    precondition(all.count == bytes.count * size, "room for every rank's bytes")
    guard let from = bytes.baseAddress, let to = all.baseAddress, !bytes.isEmpty else { return }
    let call = "MPI_Allgather"
    try check(call, cmpi_gather(from, try count(bytes.count, call), to, world))
  }

  package func barrier() throws { try check("MPI_Barrier", cmpi_barrier(world)) }

  /// MPI counts elements in 32 bits.
  private func count(_ elements: Int, _ call: String) throws(MPIError) -> Int32 {
    guard let count = Int32(exactly: elements) else {
      throw MPIError(
        call: call, message: "\(elements) elements are more than a message carries (2147483647)")
    }
    return count
  }

  private final class Pending: PendingReduction {
    /// Nil for an empty message, which is complete from the start.
    private var request: cmpi_request?

    init(_ request: cmpi_request?) { self.request = request }

    func poll() throws -> Bool {
      guard var current = request else { return true }
      var done: Int32 = 0
      try check("MPI_Test", cmpi_test(&current, &done))
      request = done == 0 ? current : nil
      return done != 0
    }

    func wait() throws {
      guard var current = request else { return }
      request = nil
      try check("MPI_Wait", cmpi_wait(&current))
    }
  }
}
