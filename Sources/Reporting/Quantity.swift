/// Numbers as people read them; the same on every machine and locale.
package enum Quantity {
  /// `12.35`: rounded to `decimals` digits behind the point.
  package static func fixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard let digits = UInt64(exactly: scaled), scaled < 1e15 else { return "\(value)" }
    let (whole, part) = digits.quotientAndRemainder(dividingBy: UInt64(scale))
    let sign = value < 0 && digits > 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(whole)" }
    let fraction = String(part)
    return "\(sign)\(whole)." + String(repeating: "0", count: decimals - fraction.count) + fraction
  }

  /// `60,000`: thousands separated.
  package static func count(_ value: Int) -> String {
    var text = ""
    for (index, digit) in String(value.magnitude).reversed().enumerated() {
      if index > 0, index.isMultiple(of: 3) { text.append(",") }
      text.append(digit)
    }
    return (value < 0 ? "-" : "") + String(text.reversed())
  }

  /// `12.3 %` of a share in 0…1.
  package static func percent(_ share: Double, decimals: Int = 1) -> String {
    fixed(share * 100, decimals: decimals) + " %"
  }

  /// `850 B`, `4.2 MB`: decimal units, one digit behind the point.
  package static func bytes(_ value: Int) -> String {
    guard value.magnitude >= 1000 else { return "\(value) B" }
    var scaled = Double(value)
    var unit = ""
    for next in ["kB", "MB", "GB", "TB", "PB"] {
      // 999,950 B would be rounded to 1000.0 kB.
      if !unit.isEmpty, scaled.magnitude < 999.95 { break }
      scaled /= 1000
      unit = next
    }
    return fixed(scaled, decimals: 1) + " " + unit
  }

  /// `0.42 s`, `12.3 s`, `3 m 12 s`, `2 h 05 m`, `3 d 04 h`.
  package static func duration(seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "-" }
    if seconds < 9.995 { return fixed(seconds, decimals: 2) + " s" }
    if seconds < 59.95 { return fixed(seconds, decimals: 1) + " s" }
    func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
      "\(large) \(largeUnit) \(small < 10 ? "0" : "")\(small) \(smallUnit)"
    }
    let whole = Int(seconds.rounded())
    if whole < 3600 { return pair(whole / 60, "m", whole % 60, "s") }
    let minutes = Int((seconds / 60).rounded())
    if minutes < 24 * 60 { return pair(minutes / 60, "h", minutes % 60, "m") }
    let hours = Int((seconds / 3600).rounded())
    return pair(hours / 24, "d", hours % 24, "h")
  }
}
