import Collectives
import Tensors

/// Whether all ranks have the same values, and which have not.
struct RankComparison {
  /// By rank.
  private let values: [[UInt64]]

  /// Every rank calls it with as many values.
  init(_ own: [UInt64], over communicator: any Communicator) throws {
    var all = [UInt64](repeating: 0, count: own.count * communicator.size)
    try own.withUnsafeBytes { source in
      try all.withUnsafeMutableBytes { try communicator.gather(source, into: $0) }
    }
    values = (0..<communicator.size).map { rank in
      Array(all[rank * own.count..<(rank + 1) * own.count])
    }
  }

  /// The first value in which ranks differ and the ranks that stand against the most, or, of equally
  /// many, against rank 0's; nil where all are the same.
  var difference: (index: Int, ranks: [Int])? {
    for index in values[0].indices {
      let column = values.map { $0[index] }
      var counts: [UInt64: Int] = [:]
      for value in column { counts[value, default: 0] += 1 }
      guard counts.count > 1 else { continue }
      let most = counts.values.max() ?? 0
      let norm = column.first { counts[$0] == most } ?? column[0]
      return (index, column.indices.filter { column[$0] != norm })
    }
    return nil
  }
}

/// What ranks must have in common before they train together.
struct RankFacts {
  private var facts: [(name: String, value: String)] = []

  mutating func add(_ name: String, _ value: String) { facts.append((name, value)) }

  /// Throws on every rank, naming the rank and what differs; code 78.
  func requireSame(over communicator: any Communicator) throws {
    guard communicator.size > 1 else { return }
    let comparison = try RankComparison(facts.map { Self.hash($0.value) }, over: communicator)
    guard let (index, ranks) = comparison.difference, let odd = ranks.first else { return }
    let norm = (0..<communicator.size).first { !ranks.contains($0) } ?? 0
    let own = facts[index].value
    let (theirs, others) = Self.difference(
      try Self.text(own, of: odd, over: communicator),
      try Self.text(own, of: norm, over: communicator))
    let more = ranks.count > 1 ? " (and \(ranks.count - 1) more like it)" : ""
    let name = Machine.name(ofRank: communicator.rank, of: communicator.size)
    let oddName = try Self.text(name, of: odd, over: communicator)
    let normName = try Self.text(name, of: norm, over: communicator)
    throw JobFailure(
      .configuration,
      "\(oddName)\(more) differs from \(normName) in \(facts[index].name): \(theirs), not \(others); "
        + "start all ranks with the same program, configuration and data on machines of one kind")
  }

  private static func hash(_ text: String) -> UInt64 {
    var hash = StateHash()
    Array(text.utf8).withUnsafeBytes { hash.combine($0) }
    return hash.value
  }

  /// Both texts where they are short, else what surrounds the first difference.
  private static func difference(_ first: String, _ second: String) -> (String, String) {
    let most = 120
    let same = zip(first, second).prefix { $0 == $1 }.count
    func part(_ text: String) -> String {
      guard text.count > most else { return text }
      let start = max(0, min(same - most / 4, text.count - most))
      let end = start + most < text.count ? "…" : ""
      return (start > 0 ? "…" : "") + text.dropFirst(start).prefix(most) + end
    }
    return (part(first), part(second))
  }

  /// As much of rank `root`'s text as a thousand names of classes take, on every rank.
  private static func text(
    _ own: String, of root: Int, over communicator: any Communicator
  ) throws -> String {
    var bytes = [UInt8](repeating: 0, count: 32_768)
    for (place, byte) in own.utf8.prefix(bytes.count).enumerated() { bytes[place] = byte }
    try bytes.withUnsafeMutableBytes { try communicator.broadcast($0, from: root) }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
