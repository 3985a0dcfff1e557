/// Numbers as people read them.
enum Quantity {
  /// `9,108,968`.
  static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var text = value < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  /// `1.84 GB`, `27.0 MB`, `640 B`; powers of ten.
  static func bytes(_ count: Int) -> String {
    let units: [(size: Double, name: String)] = [
      (1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"),
    ]
    guard let unit = units.first(where: { Double(count) >= $0.size }) else { return "\(count) B" }
    return "\(decimal(Double(count) / unit.size, places: 2)) \(unit.name)"
  }

  /// Multiply-accumulates: `1.513 G`, `12.345 M`.
  static func macs(_ count: Int) -> String {
    count >= 1_000_000_000
      ? "\(decimal(Double(count) / 1e9, places: 3)) G"
      : "\(decimal(Double(count) / 1e6, places: 3)) M"
  }

  /// Rounded to `places` decimals, whatever the locale.
  static func decimal(_ value: Double, places: Int) -> String {
    var scale = 1
    for _ in 0..<places { scale *= 10 }
    guard let scaled = Int(exactly: (value.magnitude * Double(scale)).rounded()) else {
      return value.description
    }
    let fraction = String(scaled % scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if places == 0 { return "\(sign)\(scaled)" }
    return "\(sign)\(scaled / scale)."
      + String(repeating: "0", count: places - fraction.count) + fraction
  }

  /// A number without superfluous zeros: `0.1`, `12`, `1e-05`.
  static func plain(_ value: Double) -> String { JSONText.number(value).plain }
}
