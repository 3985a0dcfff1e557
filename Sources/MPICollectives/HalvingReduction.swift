import CMPI
import Collectives

/// Sums of large messages and of statistics by recursive halving and doubling, the large ones in
/// pieces that overtake one another's waiting (Rabenseifner, Optimization of Collective Reduction Operations, 2004).
///
/// The nearest ranks exchange first. So the additions are those of the balanced tree; and where the
/// ranks of a host are neighbours and a power of two, all that a host sums over its own ranks happens
/// in shared memory, and of a message of n bytes only 2(H−1)/H·n cross the link of each of H hosts, in
/// each direction: the least there can be. While one piece is on the network others are in memory.
final class HalvingReduction {
  /// Elements of a started sum below which the library's own schedule is taken: latency is all there is
  /// to it.
  static let smallestCount = 16_384
  /// Values of a blocking sum up to which it is made by doubling: 16 KiB.
  private static let largestDoubling = 2048
  /// Elements: 256 KiB.
  private static let pieceCount = 65_536
  /// Pieces under way at once: as much as keeps a link and the memory busy, and no more, for what is
  /// under way on a link is what the next sum of statistics waits behind.
  private static let window = sumPlace
  /// Pieces exchange in the places before it.
  private static let sumPlace = Exchanges.count - 1
  /// MPI promises tags up to it. It is that of blocking sums, the others are of pieces.
  private static let largestTag: Int32 = 32_767

  private let exchanges: Exchanges
  private let rank: Int
  private let levels: Int
  /// Pieces started so far, the same number on every rank: each has its own tag.
  private var sequence = 0
  private var waiting: [Piece] = []
  /// By place, and what comes in there.
  private var active = [Piece?](repeating: nil, count: window)
  private var scratch = [UnsafeMutablePointer<Float>?](repeating: nil, count: window)
  /// What comes in for a blocking sum.
  private var sumScratch = UnsafeMutableBufferPointer<Double>(start: nil, count: 0)

  /// Nil where the ranks are no power of two, or one.
  init?(world: cmpi_communicator, rank: Int, size: Int) {
    guard size > 1, size.nonzeroBitCount == 1 else { return nil }
    exchanges = Exchanges(world: world)
    self.rank = rank
    levels = size.trailingZeroBitCount
  }

  // After an error MPI may still write into what active pieces have; the process ends then.
  deinit {
    for buffer in scratch { buffer?.deallocate() }
    sumScratch.deallocate()
  }

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
          tag: Int32(sequence % Int(Self.largestTag)), owner: pending))
      sequence += 1
      pending.remaining += 1
    }
    try advance()
    return pending
  }

  /// Replaces `values` by their sum over ranks, nearest ranks first, and keeps pieces moving while it
  /// waits: where ranks share cores, or wait for a slow one, much of a step is spent in the sums of
  /// statistics. Few values by doubling alone, for half as many messages follow each other.
  func sum(_ values: UnsafeMutableBufferPointer<Double>) throws(MPIError) {
    if sumScratch.count < values.count {
      sumScratch.deallocate()
      sumScratch = .allocate(capacity: values.count)
    }
    guard let base = values.baseAddress, let incoming = sumScratch.baseAddress else { return }
    if values.count <= Self.largestDoubling {
      for level in 0..<levels {
        try exchange(
          with: rank ^ 1 << level, sending: UnsafeBufferPointer(values), into: incoming,
          count: values.count)
        // Both of a pair add the same two numbers: the order makes no difference.
        for index in 0..<values.count { base[index] += incoming[index] }
      }
      return
    }
    for step in 0..<2 * levels {
      let plan = exchange(step: step, count: values.count)
      let (isHalving, sums) = (step < levels, base + plan.incoming.lowerBound)
      try exchange(
        with: plan.partner, sending: UnsafeBufferPointer(rebasing: values[plan.outgoing]),
        into: isHalving ? incoming : sums, count: plan.incoming.count)
      if isHalving { for index in 0..<plan.incoming.count { sums[index] += incoming[index] } }
    }
  }

  private func exchange(
    with partner: Int, sending outgoing: UnsafeBufferPointer<Double>,
    into incoming: UnsafeMutablePointer<Double>, count: Int
  ) throws(MPIError) {
    try exchanges.start(
      Self.sumPlace, with: partner, tag: Self.largestTag, sending: outgoing, into: incoming,
      count: count)
    // Not a test more than it takes: where ranks share cores it may give the core away.
    while try !exchanges.isOver(Self.sumPlace) { try poll() }
  }

  /// Moves every piece under way as far as it goes without waiting, and lets others follow.
  ///
  /// All of them, whoever asks: another rank may be waiting for a piece that is not asked for here.
  private func advance() throws(MPIError) {
    for place in active.indices { try advance(place) }
  }

  /// The same after a look at what has come in.
  private func poll() throws(MPIError) {
    if try exchanges.test() { try advance() }
  }

  /// Posts what the piece of a place is to exchange next, if it waits for nothing, or makes it complete
  /// and begins another.
  private func advance(_ place: Int) throws(MPIError) {
    if var piece = active[place] {
      guard try exchanges.isOver(place) else { return }
      if piece.step < levels { add(piece, scratch[place], exchange(piece).incoming) }
      piece.step += 1
      active[place] = piece
      if piece.step < 2 * levels { return try post(piece, place) }
      piece.owner.remaining -= 1
      active[place] = nil
    }
    guard !waiting.isEmpty else { return }
    let piece = waiting.removeFirst()
    if scratch[place] == nil { scratch[place] = .allocate(capacity: Self.pieceCount / 2 + 1) }
    active[place] = piece
    try post(piece, place)
  }

  private func post(_ piece: Piece, _ place: Int) throws(MPIError) {
    guard let scratch = scratch[place], let destination = piece.destination.baseAddress else {
      preconditionFailure("a piece under way has memory")
    }
    let plan = exchange(piece)
    try exchanges.start(
      place, with: plan.partner, tag: piece.tag,
      sending: UnsafeBufferPointer(
        start: piece.current + plan.outgoing.lowerBound, count: plan.outgoing.count),
      into: piece.step < levels ? scratch : destination + plan.incoming.lowerBound,
      count: plan.incoming.count)
  }

  private func exchange(_ piece: Piece) -> Exchange {
    exchange(step: piece.step, count: piece.source.count)
  }

  /// What a step sends and receives, of `2 * levels`: halves of what is left, outwards from the nearest
  /// rank, then the sums on the way back.
  private func exchange(step: Int, count: Int) -> Exchange {
    let isHalving = step < levels
    let level = isHalving ? step : 2 * levels - 1 - step
    var (lower, upper) = (0, count)
    var (kept, given) = (0..<0, 0..<0)
    for bit in 0...level {
      let middle = lower + (upper - lower) / 2
      let keepsLower = rank >> bit & 1 == 0
      kept = keepsLower ? lower..<middle : middle..<upper
      given = keepsLower ? middle..<upper : lower..<middle
      (lower, upper) = (kept.lowerBound, kept.upperBound)
    }
    return Exchange(
      partner: rank ^ 1 << level, outgoing: isHalving ? given : kept,
      incoming: isHalving ? kept : given)
  }

  /// destination ← what this rank has of `range` + what has come in.
  private func add(
    _ piece: Piece, _ incoming: UnsafeMutablePointer<Float>?, _ range: Range<Int>
  ) {
    guard let incoming, let base = piece.destination.baseAddress else { return }
    let own = piece.current + range.lowerBound
    let sums = base + range.lowerBound
    for index in 0..<range.count { sums[index] = own[index] + incoming[index] }
  }

  private struct Exchange {
    let partner: Int
    let outgoing: Range<Int>
    let incoming: Range<Int>
  }

  private struct Piece {
    let source: UnsafeBufferPointer<Float>
    let destination: UnsafeMutableBufferPointer<Float>
    let tag: Int32
    let owner: Pending
    /// `0..<levels` halve, `levels..<2 * levels` double.
    var step = 0

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
      if remaining > 0 { try reduction.poll() }
      return remaining == 0
    }

    func wait() throws { while remaining > 0 { try reduction.poll() } }
  }
}
