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

  /// Multiply-accumulates: `1.513 G`, `12.345 M`, `640`.
  static func macs(_ count: Int) -> String {
    if count >= 1_000_000_000 { return "\(decimal(Double(count) / 1e9, places: 3)) G" }
    if count >= 1_000_000 { return "\(decimal(Double(count) / 1e6, places: 3)) M" }
    return grouped(count)
  }

  /// `3 h 20 min`, `4 min 5 s`, `12.5 s`, `0.8 ms`.
  static func duration(_ seconds: Double) -> String {
    if seconds < 1 { return "\(decimal(seconds * 1000, places: 1)) ms" }
    if seconds < 60 { return "\(decimal(seconds, places: 1)) s" }
    guard let whole = Int(exactly: seconds.rounded()) else { return "\(seconds) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(grouped(whole / 3600)) h \(whole % 3600 / 60) min"
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
