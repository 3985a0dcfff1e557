import Collectives
import Foundation

extension Doctor {
  /// Ranks of one host that find the same faults.
  package struct Report: Sendable {
    package var host: String
    package var ranks: [Int]
    /// Of the first of them.
    package var findings: [Finding]

    package var isWell: Bool { findings.allSatisfy { $0.mend == nil } }
  }

  /// What one rank sends.
  private struct Message: Codable {
    var host: String
    var findings: [Finding]

    /// Memory that happens to be free differs from rank to rank; faults do not.
    func isSame(as other: Message) -> Bool {
      host == other.host && findings.map(\.mend) == other.findings.map(\.mend)
    }
  }

  /// Bytes that a rank's findings may take.
  private static let messageBytes = 16_384

  /// The findings of all ranks, the same on every rank; the group of rank 0 comes first.
  package func examine(over communicator: any Communicator) throws -> [Report] {
    let own = Array(
      try JSONEncoder().encode(
        Message(host: Machine.hostName, findings: examine())))
    let bytes =
      own.prefix(Self.messageBytes)
      + [UInt8](repeating: 0x20, count: max(0, Self.messageBytes - own.count))
    var all = [UInt8](repeating: 0, count: Self.messageBytes * communicator.size)
    try Array(bytes).withUnsafeBytes { source in
      try all.withUnsafeMutableBytes { try communicator.gather(source, into: $0) }
    }
    var groups: [(message: Message, ranks: [Int])] = []
    for rank in 0..<communicator.size {
      let part = all[rank * Self.messageBytes..<(rank + 1) * Self.messageBytes]
      let message = try JSONDecoder().decode(Message.self, from: Data(part))
      if let group = groups.firstIndex(where: { $0.message.isSame(as: message) }) {
        groups[group].ranks.append(rank)
      } else {
        groups.append((message, [rank]))
      }
    }
    return groups.map {
      Report(host: $0.message.host, ranks: $0.ranks, findings: $0.message.findings)
    }
  }
}
