import Foundation

/// Where ranks that are threads of one process meet: the n-th call of every rank is the n-th
/// operation, which is computed when the last rank has brought its part.
///
/// `@unchecked Sendable` because every access to its state is under `condition`'s lock, which the
/// compiler cannot see; a mutex alone would make waiting ranks spin.
final class Rendezvous: @unchecked Sendable {
  /// What every rank must agree on.
  struct Call: Equatable, CustomStringConvertible {
    enum Kind: String { case sumDouble, sumFloat, startSum, maximum, broadcast, gather, barrier }

    var kind: Kind
    var count: Int
    var root = 0

    var description: String {
      "\(kind.rawValue) of \(count)" + (kind == .broadcast ? " from rank \(root)" : "")
    }
  }

  enum Values: Sendable {
    case doubles([Double])
    case floats([Float])
    case integers([Int64])
    case bytes([UInt8])
  }

  private struct Operation {
    var call: Call
    var firstRank: Int
    var parts: [Values?]
    var result: Values?
    var collected = 0
  }

  private let size: Int
  private let condition = NSCondition()
  private var operations: [Int: Operation] = [:]
  private var finished: Set<Int> = []
  private var failure: (any Error)?

  init(size: Int) { self.size = size }

  /// The first error of any rank.
  var firstFailure: (any Error)? { condition.withLock { failure } }

  /// Releases every waiting rank with an error; the first failure is the one that is kept.
  func fail(_ error: any Error) {
    condition.withLock {
      failure = failure ?? error
      condition.broadcast()
    }
  }

  /// Notes that `rank` will make no more calls.
  func finish(rank: Int) {
    condition.withLock {
      finished.insert(rank)
      condition.broadcast()
    }
  }

  /// Brings `rank`'s part to operation `number`.
  func join(_ number: Int, rank: Int, _ call: Call, part: Values) throws {
    try condition.withLock {
      try throwIfFailed()
      var operation =
        operations[number]
        ?? Operation(
          call: call, firstRank: rank, parts: [Values?](repeating: nil, count: size))
      guard operation.call == call else {
        let error = CollectiveError(
          .mismatch,
          "operation \(number): rank \(rank) calls \(call), "
            + "rank \(operation.firstRank) \(operation.call)")
        failure = error
        condition.broadcast()
        throw error
      }
      operation.parts[rank] = part
      let parts = operation.parts.compactMap(\.self)
      if parts.count == size {
        operation.result = Self.combine(call, parts)
        operation.parts = []
        condition.broadcast()
      }
      operations[number] = operation
    }
  }

  /// The result of operation `number`, for each rank once; nil where it is not there and the caller
  /// does not wait.
  func collect(_ number: Int, wait: Bool) throws -> Values? {
    try condition.withLock {
      while true {
        try throwIfFailed()
        guard var operation = operations[number] else {
          preconditionFailure("a reduction is collected once")
        }
        if let result = operation.result {
          operation.collected += 1
          operations[number] = operation.collected == size ? nil : operation
          return result
        }
        if let absent = finished.first(where: { operation.parts[$0] == nil }) {
          throw CollectiveError(
            .mismatch,
            "operation \(number): rank \(absent) ended without calling \(operation.call)")
        }
        guard wait else { return nil }
        condition.wait()
      }
    }
  }

  private func throwIfFailed() throws {
    if let failure { throw CollectiveError(.abandoned, "another rank failed: \(failure)") }
  }

  private static func combine(_ call: Call, _ parts: [Values]) -> Values {
    switch call.kind {
    case .sumDouble:
      .doubles(
        ReductionTree.sum(parts: parts.map { if case .doubles(let v) = $0 { v } else { [] } }))
    case .sumFloat, .startSum:
      .floats(ReductionTree.sum(parts: parts.map { if case .floats(let v) = $0 { v } else { [] } }))
    case .maximum:
      .integers(largest(parts, count: call.count))
    case .broadcast: parts[call.root]
    case .gather, .barrier:
      .bytes(parts.flatMap { if case .bytes(let bytes) = $0 { bytes } else { [UInt8]() } })
    }
  }

  private static func largest(_ parts: [Values], count: Int) -> [Int64] {
    var largest = [Int64](repeating: .min, count: count)
    for case .integers(let values) in parts {
      for index in values.indices { largest[index] = max(largest[index], values[index]) }
    }
    return largest
  }
}
