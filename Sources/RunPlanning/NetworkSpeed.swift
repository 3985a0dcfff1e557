import Foundation

/// What joins hosts: `bandwidth=25Gb/s,latency=10us`.
package struct NetworkSpeed: Sendable, Equatable {
  /// Of a host's link, each way.
  package var bytesPerSecond: Double
  /// Of a small message from one host to another.
  package var latency: Double

  package init(bytesPerSecond: Double, latency: Double) {
    self.bytesPerSecond = bytesPerSecond
    self.latency = latency
  }

  /// Why a text is none.
  package struct Flaw: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
  }

  package static let form = "bandwidth=25Gb/s,latency=10us"

  package init(_ text: String) throws(Flaw) {
    var values: [String: Double] = [:]
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(pair[0])
      guard pair.count == 2, let units = Self.units[name] else {
        throw Flaw(
          description: "'\(part)' is neither bandwidth=… nor latency=…, as in \(Self.form)")
      }
      guard let value = Self.quantity(String(pair[1]), units) else {
        throw Flaw(
          description: "\(name) '\(pair[1])' is not a positive number with a unit, as in "
            + Self.form)
      }
      guard values.updateValue(value, forKey: name) == nil else {
        throw Flaw(description: "\(name) is given twice")
      }
    }
    guard let bandwidth = values["bandwidth"], let latency = values["latency"] else {
      let missing = values["bandwidth"] == nil ? "bandwidth" : "latency"
      throw Flaw(description: "\(missing) is missing, as in \(Self.form)")
    }
    self.init(bytesPerSecond: bandwidth, latency: latency)
  }

  private static let units: [String: [(name: String, size: Double)]] = [
    "bandwidth": [
      ("Tb/s", 1e12 / 8), ("Gb/s", 1e9 / 8), ("Mb/s", 1e6 / 8), ("kb/s", 1e3 / 8),
      ("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3),
    ],
    // Seconds last: every other one ends with their letter.
    "latency": [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1)],
  ]

  private static func quantity(
    _ text: String, _ units: [(name: String, size: Double)]
  ) -> Double? {
    guard let unit = units.first(where: { text.hasSuffix($0.name) }) else { return nil }
    let number = text.dropLast(unit.name.count)
    // Digits and a point alone: Double would also take infinity and hexadecimal digits.
    guard number.first?.isNumber == true,
      number.allSatisfy({ $0 == "." || ("0"..."9").contains($0) }),
      let value = Double(String(number))
    else { return nil }
    let result = value * unit.size
    return result.isFinite && result > 0 ? result : nil
  }
}
