/// The proof, at the start of a run, that its sums over ranks are the balanced tree's bits.
///
/// MPI does not promise an order of summation; Open MPI's default schedules happen to have the
/// right one. So every message that a run will send is sent once with values whose sum depends on
/// the order, and the result is held against the tree.
package enum BitInvariance {
  /// A message that a run will send.
  package struct Probe: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
      /// `sum` of doubles, `sum` of floats, `startSum`.
      case blockingDouble, blockingFloat, startedFloat
    }

    package var kind: Kind
    /// Elements of the message.
    package var count: Int

    package init(kind: Kind, count: Int) {
      self.kind = kind
      self.count = count
    }
  }

  /// Sends every probe and says, the same on every rank, whether all sums had the tree's bits.
  ///
  /// Every rank calls it with the same arguments. False without a message for world sizes that
  /// are no powers of two: no tree over them gives the bits of another world size.
  package static func prove(
    _ probes: [Probe], over communicator: any Communicator, seed: UInt64
  ) throws -> Bool {
    guard communicator.size.nonzeroBitCount == 1 else { return false }
    var different: Int64 = 0
    for (index, probe) in probes.enumerated() {
      // A short message shows an order less surely than a long one.
      for round in 0..<(probe.count < 256 ? 8 : 1) {
        let stream = seed &+ UInt64(index * 8 + round) &* 0x9E37_79B9_7F4A_7C15
        let same =
          switch probe.kind {
          case .blockingDouble:
            try hasTreeBits(probe.count, stream, communicator) { (values: DoubleBuffer) in
              try communicator.sum(values)
            }
          case .blockingFloat:
            try hasTreeBits(probe.count, stream, communicator) { (values: FloatBuffer) in
              try communicator.sum(values)
            }
          case .startedFloat:
            try hasTreeBits(probe.count, stream, communicator) { (values: FloatBuffer) in
              try startAndWait(values, communicator)
            }
          }
        if !same { different = 1 }
      }
    }
    try withUnsafeMutablePointer(to: &different) {
      try communicator.maximum(UnsafeMutableBufferPointer(start: $0, count: 1))
    }
    return different == 0
  }

  private typealias DoubleBuffer = UnsafeMutableBufferPointer<Double>
  private typealias FloatBuffer = UnsafeMutableBufferPointer<Float>

  /// Sums as gradient buckets are summed: started, then waited for, between two buffers.
  private static func startAndWait(_ values: FloatBuffer, _ communicator: any Communicator) throws {
    let destination = FloatBuffer.allocate(capacity: values.count)
    defer { destination.deallocate() }
    destination.initialize(repeating: 0)
    try communicator.startSum(UnsafeBufferPointer(values), into: destination).wait()
    _ = values.update(from: destination)
  }

  /// Sums this rank's values by `sum` and compares with the tree over all ranks' values.
  private static func hasTreeBits<Element: ProbeElement>(
    _ count: Int, _ stream: UInt64, _ communicator: any Communicator,
    _ sum: (UnsafeMutableBufferPointer<Element>) throws -> Void
  ) throws -> Bool {
    let values = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
    defer { values.deallocate() }
    Element.fill(values, from: 0, stream: Element.stream(stream, rank: communicator.rank))
    try sum(values)
    // One row for each level of the tree; blocks small enough that all rows stay in the cache.
    let levels = communicator.size.trailingZeroBitCount + 1
    let block = 2_048
    let rows = UnsafeMutableBufferPointer<Element>.allocate(capacity: levels * block)
    defer { rows.deallocate() }
    var isSame = true
    for start in stride(from: 0, to: count, by: block) {
      let length = min(block, count - start)
      let row = { UnsafeMutableBufferPointer(rebasing: rows[$0 * block..<$0 * block + length]) }
      for rank in 0..<communicator.size {
        // Binary counter: rank r completes as many levels as r + 1 has trailing zeros.
        let merged = (rank + 1).trailingZeroBitCount
        let level = row(merged)
        Element.fill(level, from: start, stream: Element.stream(stream, rank: rank))
        for lower in 0..<merged { add(row(lower), to: level) }
      }
      isSame = isSame && areSame(row(levels - 1), values[start..<start + length])
    }
    return isSame
  }

  private static func add<Element: ProbeElement>(
    _ part: UnsafeMutableBufferPointer<Element>, to sum: UnsafeMutableBufferPointer<Element>
  ) {
    for index in sum.indices { sum[index] += part[index] }
  }

  private static func areSame<Element: ProbeElement>(
    _ expected: UnsafeMutableBufferPointer<Element>,
    _ values: Slice<UnsafeMutableBufferPointer<Element>>
  ) -> Bool {
    let values = UnsafeMutableBufferPointer(rebasing: values)
    return expected.indices.allSatisfy { expected[$0].isBitEqual(to: values[$0]) }
  }
}
