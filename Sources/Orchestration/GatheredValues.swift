import Collectives
import Foundation

extension Communicator {
  /// Every rank's value, by rank, on every rank. A value that takes more than `bytes` as JSON is an
  /// error of the caller.
  func gather<Value: Codable>(_ value: Value, bytes size: Int = 131_072) throws -> [Value] {
    let own = Array(try JSONEncoder().encode(value))
    precondition(own.count <= size, "what is gathered is cut to a length that fits")
    let bytes = own + [UInt8](repeating: 0x20, count: size - own.count)
    var all = [UInt8](repeating: 0, count: size * self.size)
    try bytes.withUnsafeBytes { source in
      try all.withUnsafeMutableBytes { try gather(source, into: $0) }
    }
    return try (0..<self.size).map { rank in
      try JSONDecoder().decode(Value.self, from: Data(all[rank * size..<(rank + 1) * size]))
    }
  }
}
