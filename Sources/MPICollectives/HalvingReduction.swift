import CMPI
import Collectives

/// Sums of large messages by recursive halving and doubling, in pieces that overtake one another's
/// waiting (Rabenseifner, Optimization of Collective Reduction Operations, 2004).
///
/// The nearest ranks exchange first. So the additions are those of the balanced tree; and where the
/// ranks of a host are neighbours and a power of two, all that a host sums over its own ranks happens
/// in shared memory, and of a message of n bytes only 2(H−1)/H·n cross the link of each of H hosts, in
/// each direction: the least there can be. While one piece is on the network others are in memory.
final class HalvingReduction {
  /// Elements below which the library's own schedule is taken: latency is all there is to it.
  static let smallestCount = 16_384
  /// Elements: 1 MiB.
  private static let pieceCount = 262_144
  /// Pieces under way at once: as much as keeps a link and the memory busy, and bounds the scratch.
  private static let window = 8

  private let world: cmpi_communicator
  private let rank: Int
  private let levels: Int
  /// Pieces started so far, the same number on every rank: each has its own tag.
  private var sequence = 0
  private var waiting: [Piece] = []
  private var active: [Piece] = []
  private var scratch: [UnsafeMutablePointer<Float>] = []

  /// Nil where the ranks are no power of two, or one.
  init?(world: cmpi_communicator, rank: Int, size: Int) {
    guard size > 1, size.nonzeroBitCount == 1 else { return nil }
    self.world = world
    self.rank = rank
    levels = size.trailingZeroBitCount
  }

  // After an error MPI may still write into what active pieces have; the process ends then.
  deinit { for buffer in scratch { buffer.deallocate() } }

  func start(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(MPIError) -> any PendingReduction {
    let pending = Pending(self)
    for start in stride(from: 0, to: source.count, by: Self.pieceCount) {
      let range = start..<min(start + Self.pieceCount, source.count)
      waiting.append(
        Piece(
          source: UnsafeBufferPointer(rebasing: source[range]),
          destination: UnsafeMutableBufferPointer(rebasing: destination[range]),
          // MPI promises tags up to 32767.
          tag: Int32(sequence % 32_767), owner: pending))
      sequence += 1
      pending.remaining += 1
    }
    try progress()
    return pending
  }

  /// Moves every piece under way as far as it goes without waiting, and lets others follow.
  ///
  /// All of them, whoever asks: another rank may be waiting for a piece that is not asked for here.
  private func progress() throws(MPIError) {
    var index = 0
    while index < active.count || (active.count < Self.window && !waiting.isEmpty) {
      if index == active.count {
        var piece = waiting.removeFirst()
        piece.scratch = scratch.popLast() ?? .allocate(capacity: Self.pieceCount / 2 + 1)
        try post(&piece)
        active.append(piece)
      }
      if try advance(&active[index]) {
        let piece = active.remove(at: index)
        if let buffer = piece.scratch { scratch.append(buffer) }
        piece.owner.remaining -= 1
      } else {
        index += 1
      }
    }
  }

  /// Whether the piece is complete.
  private func advance(_ piece: inout Piece) throws(MPIError) -> Bool {
    while true {
      var (done, received): (Int32, Int32) = (0, 0)
      try check("MPI_Testall", cmpi_test_exchange(&piece.exchange, &done, &received))
      guard done != 0 else { return false }
      let plan = exchange(piece)
      guard Int(received) == plan.incoming.count else {
        throw MPIError(
          call: "MPI_Testall",
          message: "rank \(plan.partner) sent \(received) elements of a sum for "
            + "\(plan.incoming.count): the ranks sum messages of different sizes; find out where with "
            + "communication.check_order")
      }
      if piece.step < levels { add(&piece, plan.incoming) }
      piece.step += 1
      guard piece.step < 2 * levels else { return true }
      try post(&piece)
    }
  }

  private func post(_ piece: inout Piece) throws(MPIError) {
    guard let scratch = piece.scratch, let destination = piece.destination.baseAddress else {
      preconditionFailure("a piece under way has memory")
    }
    let plan = exchange(piece)
    let incoming =
      piece.step < levels ? scratch : destination + plan.incoming.lowerBound
    try check(
      "MPI_Irecv, MPI_Isend",
      cmpi_start_exchange(
        piece.current + plan.outgoing.lowerBound, Int32(plan.outgoing.count), incoming,
        Int32(plan.incoming.count), Int32(plan.partner), piece.tag, world, &piece.exchange))
  }

  /// What the current step of a piece sends and receives: halves of what is left, outwards from the
  /// nearest rank, then the sums on the way back.
  private func exchange(_ piece: Piece) -> (
    partner: Int, outgoing: Range<Int>, incoming: Range<Int>
  ) {
    let isHalving = piece.step < levels
    let level = isHalving ? piece.step : 2 * levels - 1 - piece.step
    var (lower, upper) = (0, piece.source.count)
    var (kept, given) = (0..<0, 0..<0)
    for bit in 0...level {
      let middle = lower + (upper - lower) / 2
      let keepsLower = rank >> bit & 1 == 0
      kept = keepsLower ? lower..<middle : middle..<upper
      given = keepsLower ? middle..<upper : lower..<middle
      (lower, upper) = (kept.lowerBound, kept.upperBound)
    }
    return (rank ^ 1 << level, isHalving ? given : kept, isHalving ? kept : given)
  }

  /// destination ← what this rank has of `range` + what has come in.
  private func add(_ piece: inout Piece, _ range: Range<Int>) {
    guard let incoming = piece.scratch, let base = piece.destination.baseAddress else { return }
    let own = piece.current + range.lowerBound
    let sums = base + range.lowerBound
    for index in 0..<range.count { sums[index] = own[index] + incoming[index] }
  }

  private struct Piece {
    let source: UnsafeBufferPointer<Float>
    let destination: UnsafeMutableBufferPointer<Float>
    let tag: Int32
    let owner: Pending
    /// `0..<levels` halve, `levels..<2 * levels` double.
    var step = 0
    var exchange = cmpi_exchange()
    var scratch: UnsafeMutablePointer<Float>?

    init(
      source: UnsafeBufferPointer<Float>, destination: UnsafeMutableBufferPointer<Float>,
      tag: Int32, owner: Pending
    ) {
      self.source = source
      self.destination = destination
      self.tag = tag
      self.owner = owner
    }

    /// Where this rank's part of the sums so far lies.
    var current: UnsafePointer<Float> {
      let base = step == 0 ? source.baseAddress : destination.baseAddress.map { UnsafePointer($0) }
      guard let base else { preconditionFailure("a piece has elements") }
      return base
    }
  }

  private final class Pending: PendingReduction {
    /// Pieces that are not complete.
    var remaining = 0
    private let reduction: HalvingReduction

    init(_ reduction: HalvingReduction) { self.reduction = reduction }

    func poll() throws -> Bool {
      if remaining > 0 { try reduction.progress() }
      return remaining == 0
    }

    func wait() throws { while remaining > 0 { try reduction.progress() } }
  }
}
