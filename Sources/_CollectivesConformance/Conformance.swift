import Collectives

/// What a backend of the collectives did wrong.
package struct ConformanceFailure: Error, Sendable, CustomStringConvertible {
  package let rank: Int
  /// Name of the check.
  package let check: String
  package let message: String

  package var description: String { "rank \(rank), \(check): \(message)" }
}

/// The conformance suite: every rank calls it with its communicator, and every backend must pass
/// it for every world size.
///
/// - Returns: the names of the checks that were made.
/// - Throws: `ConformanceFailure` on every rank where a check failed on any, or the backend's own
///   error.
@discardableResult
package func runConformance(_ communicator: any Communicator) throws -> [String] {
  for (name, check) in checks {
    let problem = try check(communicator)
    // All ranks agree, so that none goes on to wait for one that has stopped.
    var failedRank = Int64(problem == nil ? -1 : communicator.rank)
    try withUnsafeMutablePointer(to: &failedRank) {
      try communicator.maximum(UnsafeMutableBufferPointer(start: $0, count: 1))
    }
    if let problem {
      throw ConformanceFailure(rank: communicator.rank, check: name, message: problem)
    }
    guard failedRank < 0 else {
      throw ConformanceFailure(rank: Int(failedRank), check: name, message: "failed there")
    }
  }
  return checks.map(\.name)
}

/// Takes part in collectives and says what went wrong, nil if nothing did. A check never returns
/// before its last collective.
typealias Check = @Sendable (any Communicator) throws -> String?

private let checks: [(name: String, run: Check)] = [
  ("ranks are numbered", checkRanks),
  ("sum of doubles", checkSumOfDoubles),
  ("sum of floats", checkSumOfFloats),
  ("started sum", checkStartedSum),
  ("many started sums", checkManyStartedSums),
  ("special values", checkSpecialValues),
  ("maximum", checkMaximum),
  ("broadcast", checkBroadcast),
  ("gather", checkGather),
  ("barrier", checkBarrier),
]

/// Element counts at which backends change their ways: none, few, odd, more than a page.
let counts = [0, 1, 2, 7, 8, 1_000, 2_048, 2_049, 100_003]

/// A value that differs between ranks and elements and whose sum depends on the order: signs,
/// mantissas and 24 binary orders of magnitude.
func value(rank: Int, index: Int, salt: Int) -> Double {
  var bits = UInt64(rank) << 40 ^ UInt64(index) << 8 ^ UInt64(salt) &* 0x9E37_79B9_7F4A_7C15
  bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
  bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
  bits ^= bits >> 31
  let exponent = 1_011 + bits >> 57 % 24
  return Double(bitPattern: bits & 0x800F_FFFF_FFFF_FFFF | exponent << 52)
}

private func checkRanks(_ communicator: any Communicator) throws -> String? {
  var ranks = [Int64](repeating: -1, count: communicator.size)
  try withUnsafeBytes(of: Int64(communicator.rank)) { own in
    try ranks.withUnsafeMutableBytes { try communicator.gather(own, into: $0) }
  }
  guard communicator.size > 0, ranks == (0..<Int64(communicator.size)).map(\.self) else {
    return "the ranks call themselves \(ranks)"
  }
  return nil
}

private func checkMaximum(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for count in counts {
    func own(_ rank: Int, _ index: Int) -> Int64 {
      index == 0 ? .min + Int64(rank) : Int64(value(rank: rank, index: index, salt: 5) * 1e6)
    }
    var values = (0..<count).map { own(communicator.rank, $0) }
    try values.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    for index in 0..<count where problem == nil {
      let expected = (0..<communicator.size).map { own($0, index) }.max()
      guard values[index] != expected else { continue }
      problem = "count \(count), element \(index): \(values[index])"
    }
  }
  return problem
}

private func byte(_ rank: Int, _ index: Int) -> UInt8 {
  UInt8(truncatingIfNeeded: rank &* 31 &+ index &* 7 &+ index >> 8)
}

private func checkBroadcast(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for count in counts {
    for root in 0..<communicator.size {
      var bytes = (0..<count).map { byte(communicator.rank, $0) }
      try bytes.withUnsafeMutableBytes { try communicator.broadcast($0, from: root) }
      if let index = bytes.indices.first(where: { bytes[$0] != byte(root, $0) }) {
        problem = problem ?? "count \(count) from rank \(root), byte \(index): \(bytes[index])"
      }
    }
  }
  return problem
}

private func checkGather(_ communicator: any Communicator) throws -> String? {
  var problem: String?
  for count in counts {
    let own = (0..<count).map { byte(communicator.rank, $0) }
    var all = [UInt8](repeating: 0, count: count * communicator.size)
    try own.withUnsafeBytes { bytes in
      try all.withUnsafeMutableBytes { try communicator.gather(bytes, into: $0) }
    }
    if let index = all.indices.first(where: { all[$0] != byte($0 / count, $0 % count) }) {
      problem = problem ?? "count \(count), rank \(index / count), byte \(index % count)"
    }
  }
  return problem
}

private func checkBarrier(_ communicator: any Communicator) throws -> String? {
  for _ in 0..<100 { try communicator.barrier() }
  return nil
}
