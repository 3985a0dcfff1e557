import Collectives

/// Every rank's values of one message.
private func parts(_ communicator: any Communicator, _ count: Int, salt: Int) -> [[Double]] {
  (0..<communicator.size).map { rank in
    (0..<count).map { value(rank: rank, index: $0, salt: salt) }
  }
}

/// Holds a sum against the tree: exactly where the world size is a power of two, else to a few
/// roundings of the sum of magnitudes.
private func difference<Element: BinaryFloatingPoint>(
  _ sums: [Element], _ parts: [[Element]], tree: [Element], what: String
) -> String? {
  let isTree = parts.count.nonzeroBitCount == 1
  for index in sums.indices {
    let magnitude = parts.reduce(Element(0)) { $0 + abs($1[index]) }
    let tolerance = isTree ? 0 : magnitude * Element.ulpOfOne * Element(parts.count)
    guard abs(sums[index] - tree[index]) <= tolerance else {
      return "\(what), element \(index): \(sums[index]), expected \(tree[index])"
    }
  }
  return nil
}

/// Whether all ranks hold the same bytes, by comparing a hash (FNV-1a) of each.
private func areEqualOnAllRanks(
  _ bytes: UnsafeRawBufferPointer, _ communicator: any Communicator
) throws -> Bool {
  let hash = bytes.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  var hashes = [UInt64](repeating: 0, count: communicator.size)
  try withUnsafeBytes(of: hash) { own in
    try hashes.withUnsafeMutableBytes { try communicator.gather(own, into: $0) }
  }
  return hashes.allSatisfy { $0 == hash }
}

func checkSumOfDoubles(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for count in counts {
    let parts = parts(communicator, count, salt: 1)
    var sums = parts[communicator.rank]
    try sums.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    let tree = ReductionTree.sum(parts: parts)
    problem = problem ?? difference(sums, parts, tree: tree, what: "count \(count)")
    guard try sums.withUnsafeBytes({ try areEqualOnAllRanks($0, communicator) }) else {
      return "count \(count): ranks got different bits"
    }
  }
  return problem
}

func checkSumOfFloats(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for count in counts {
    let parts = parts(communicator, count, salt: 2).map { $0.map(Float.init) }
    // Twice, as a run repeats its messages and relies on the same bits.
    for _ in 0..<2 {
      var sums = parts[communicator.rank]
      try sums.withUnsafeMutableBufferPointer { try communicator.sum($0) }
      let tree = ReductionTree.sum(parts: parts)
      problem = problem ?? difference(sums, parts, tree: tree, what: "count \(count)")
      guard try sums.withUnsafeBytes({ try areEqualOnAllRanks($0, communicator) }) else {
        return "count \(count): ranks got different bits"
      }
    }
  }
  return problem
}

func checkStartedSum(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for (index, count) in counts.enumerated() {
    let message = StartedSum(communicator, count, salt: 3)
    let pending = try message.start(communicator)
    // Both ways of completion, by turns.
    if index.isMultiple(of: 2) { try pending.wait() } else { while try !pending.poll() {} }
    problem = problem ?? message.problem()
  }
  return problem
}

/// Several sums under way at once, with other collectives between, completed in an order that
/// differs between ranks.
func checkManyStartedSums(_ communicator: any Communicator) throws -> String? {
  // The largest is cut into more pieces than any backend has under way at once.
  let messages = (0..<12).map {
    StartedSum(communicator, $0 == 5 ? 655_361 : counts[$0 % counts.count] + $0, salt: 10 + $0)
  }
  var problem: String?
  var pending: [Int: any PendingReduction] = [:]
  for (index, message) in messages.enumerated() {
    pending[index] = try message.start(communicator)
    if index.isMultiple(of: 3) {
      let parts = parts(communicator, [1, 2_048, 2_049][index / 3 % 3], salt: 40 + index)
      var sums = parts[communicator.rank]
      try sums.withUnsafeMutableBufferPointer { try communicator.sum($0) }
      let tree = ReductionTree.sum(parts: parts)
      problem = problem ?? difference(sums, parts, tree: tree, what: "a sum in between")
    }
  }
  let forwards = communicator.rank.isMultiple(of: 2)
  let order = forwards ? Array(messages.indices) : messages.indices.reversed()
  while !pending.isEmpty {
    for index in order {
      guard let reduction = pending[index] else { continue }
      if try reduction.poll() { pending[index] = nil }
    }
  }
  return problem ?? messages.lazy.compactMap { $0.problem() }.first
}

func checkSpecialValues(_ communicator: any Communicator) throws -> String? {
  let isLast = communicator.rank == communicator.size - 1
  var floats: [Float] = [isLast ? .nan : 1, isLast ? .infinity : 1, -0.0, 0x1p-149]
  try floats.withUnsafeMutableBufferPointer { try communicator.sum($0) }
  let expected = Float(communicator.size) * 0x1p-149
  guard floats[0].isNaN, floats[1] == .infinity, floats[2] == 0, floats[2].sign == .minus,
    floats[3] == expected
  else { return "sums of NaN, infinity, -0 and the smallest number are \(floats)" }
  return nil
}

/// A started sum between guarded buffers.
private final class StartedSum {
  private static let guardValue: Float = -12_345

  private let parts: [[Float]]
  private let rank: Int
  private let source: UnsafeMutableBufferPointer<Float>
  /// One guard element on each side.
  private let destination: UnsafeMutableBufferPointer<Float>
  private let count: Int

  init(_ communicator: any Communicator, _ count: Int, salt: Int) {
    parts = _CollectivesConformance.parts(communicator, count, salt: salt).map {
      $0.map(Float.init)
    }
    rank = communicator.rank
    self.count = count
    source = .allocate(capacity: count)
    _ = source.initialize(from: parts[rank])
    destination = .allocate(capacity: count + 2)
    destination.initialize(repeating: Self.guardValue)
  }

  deinit {
    source.deallocate()
    destination.deallocate()
  }

  func start(_ communicator: any Communicator) throws -> any PendingReduction {
    try communicator.startSum(
      UnsafeBufferPointer(source),
      into: UnsafeMutableBufferPointer(rebasing: destination[1..<count + 1]))
  }

  /// What is wrong with the completed sum.
  func problem() -> String? {
    guard destination[0] == Self.guardValue, destination[count + 1] == Self.guardValue else {
      return "count \(count): wrote beyond the destination"
    }
    guard Array(source) == parts[rank] else { return "count \(count): changed the source" }
    let sums = Array(destination[1..<count + 1])
    let tree = ReductionTree.sum(parts: parts)
    return difference(sums, parts, tree: tree, what: "count \(count)")
  }
}
