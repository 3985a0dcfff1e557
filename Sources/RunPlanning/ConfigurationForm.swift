/// What a key's value may be: its type and its range. Drives decoding, messages and the reference.
enum ConfigurationForm: Sendable {
  case integer(ClosedRange<Int>)
  /// A whole number of 64 bits.
  case seed
  case number(NumberRange)
  case boolean
  /// A word that becomes part of file names.
  case name
  case path
  case text
  case choice([String])
  case integers(each: ClosedRange<Int>, count: ClosedRange<Int>)
  case numbers(each: NumberRange, count: ClosedRange<Int>)
  case architecture
  case groups
  case resolutions

  /// Completes "expects …".
  var expectation: String {
    switch self {
    case .integer(let range):
      "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .seed: "a whole number from 0 to \(UInt64.max)"
    case .number(let range): "a number \(range.words)"
    case .boolean: "true or false"
    case .name: "a name without / and not beginning with . or -"
    case .path: "a path"
    case .text: "a text of one line"
    case .choice(let values): values.joined(separator: " | ")
    case .integers(let each, let count):
      "a list of \(Self.words(count)) whole numbers from \(each.lowerBound) to \(each.upperBound)"
    case .numbers(let each, let count):
      "a list of \(Self.words(count)) numbers \(each.words)"
    case .architecture:
      "one of \(Architecture.zoo.map(\.name).joined(separator: " ")), or {stem, depths, widths, …}"
    case .groups: "1, 2, 4, … or {layer: groups, …}"
    case .resolutions: "{epoch: pixels, …}"
    }
  }

  private static func words(_ count: ClosedRange<Int>) -> String {
    count.lowerBound == count.upperBound
      ? "\(count.lowerBound)" : "\(count.lowerBound) to \(count.upperBound)"
  }
}

/// An interval of real numbers, open or closed at either end.
struct NumberRange: Sendable {
  var lower: Double
  var upper: Double
  var includesLower = true
  var includesUpper = true

  func contains(_ value: Double) -> Bool {
    (includesLower ? value >= lower : value > lower)
      && (includesUpper ? value <= upper : value < upper)
  }

  var words: String {
    let from = includesLower ? "from" : "above"
    let to = includesUpper ? "to" : "to below"
    return "\(from) \(JSONText.number(lower).plain) \(to) \(JSONText.number(upper).plain)"
  }

  static func from(_ lower: Double, through upper: Double) -> NumberRange {
    NumberRange(lower: lower, upper: upper)
  }
  static func from(_ lower: Double, below upper: Double) -> NumberRange {
    NumberRange(lower: lower, upper: upper, includesUpper: false)
  }
  static func above(_ lower: Double, through upper: Double) -> NumberRange {
    NumberRange(lower: lower, upper: upper, includesLower: false)
  }
}

/// A value of the configuration on its way to a typed one: read strictly as YAML 1.2 spells numbers
/// and booleans in decimal, with place, key and expectation in every refusal.
struct ConfigurationValue {
  var key: String
  var form: ConfigurationForm
  var node: YAMLNode

  func refusal(_ problem: String) -> ConfigurationError {
    ConfigurationError(
      place: node.place, key: key, "\(problem); expects \(form.expectation)")
  }

  /// The same expectation applied to one item of a list or mapping.
  private func item(_ node: YAMLNode) -> ConfigurationValue {
    ConfigurationValue(key: key, form: form, node: node)
  }

  /// The text of an unquoted scalar.
  private func plainText() throws(ConfigurationError) -> String {
    switch node.content {
    case .null: throw refusal("has no value")
    case .scalar(let text, let quoted):
      guard !quoted else {
        throw refusal("\(ConfigurationError.quote(text)) is quoted text: leave the quotes out")
      }
      return text
    case .sequence: throw refusal("is a list")
    case .mapping: throw refusal("is a mapping")
    }
  }

  func integer(_ range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
    let text = try plainText()
    guard Self.isWholeNumber(text) else {
      throw refusal("\(ConfigurationError.quote(text)) is not a whole number")
    }
    guard let value = Int(text), range.contains(value) else {
      throw refusal("\(ConfigurationError.quote(text)) is out of range")
    }
    return value
  }

  func seed() throws(ConfigurationError) -> UInt64 {
    let text = try plainText()
    guard Self.isWholeNumber(text) else {
      throw refusal("\(ConfigurationError.quote(text)) is not a whole number")
    }
    guard let value = UInt64(text) else {
      throw refusal("\(ConfigurationError.quote(text)) is out of range")
    }
    return value
  }

  func number(_ range: NumberRange) throws(ConfigurationError) -> Double {
    let text = try plainText()
    guard Self.isDecimalNumber(text), let value = Double(text) else {
      throw refusal("\(ConfigurationError.quote(text)) is not a number")
    }
    // 1e-999 would silently become zero, -0 would pass for one.
    let vanished = value == 0 && Self.mantissa(text).contains { ("1"..."9").contains($0) }
    guard value.isFinite, !vanished, range.contains(value), value != 0 || value.sign == .plus
    else { throw refusal("\(ConfigurationError.quote(text)) is out of range") }
    return value
  }

  func boolean() throws(ConfigurationError) -> Bool {
    switch try plainText() {
    case "true": return true
    case "false": return false
    case let text: throw refusal("\(ConfigurationError.quote(text)) is neither true nor false")
    }
  }

  /// Quoted or plain text without control characters; a plain `true` or `false` is no text.
  func text() throws(ConfigurationError) -> String {
    guard case .scalar(let text, let quoted) = node.content else {
      _ = try plainText()
      throw refusal("is not text")
    }
    if !quoted, text == "true" || text == "false" {
      throw refusal("\(text) is not text: put it in quotes")
    }
    guard !text.isEmpty else { throw refusal("is empty") }
    guard text.utf8.count <= 4095 else { throw refusal("is longer than 4095 bytes") }
    guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else { throw refusal("\(ConfigurationError.quote(text)) holds control characters") }
    return text
  }

  func name() throws(ConfigurationError) -> String {
    let text = try text()
    guard Self.isName(text) else {
      throw refusal("\(ConfigurationError.quote(text)) does not do for file names")
    }
    return text
  }

  func choice<Choice: RawRepresentable<String>>(
    _ type: Choice.Type
  ) throws(ConfigurationError) -> Choice {
    let text = try text()
    if let choice = Choice(rawValue: text) { return choice }
    guard case .choice(let known) = form, let near = NearestName.of(text, among: known) else {
      throw refusal("\(ConfigurationError.quote(text)) is unknown")
    }
    throw refusal("\(ConfigurationError.quote(text)) is unknown, did you mean \(near)")
  }

  /// The items of a list, each to be read by the caller.
  func items(_ count: ClosedRange<Int>) throws(ConfigurationError) -> [ConfigurationValue] {
    guard case .sequence(let nodes) = node.content else {
      if case .mapping = node.content { throw refusal("is a mapping") }
      if case .null = node.content { throw refusal("has no value") }
      throw refusal("is not a list")
    }
    guard count.contains(nodes.count) else { throw refusal("has \(nodes.count) items") }
    return nodes.map { item($0) }
  }

  func integers(
    _ each: ClosedRange<Int>, _ count: ClosedRange<Int>
  ) throws(ConfigurationError) -> [Int] {
    var values: [Int] = []
    for item in try items(count) { values.append(try item.integer(each)) }
    return values
  }

  /// Whole numbers by epochs, which count from 0.
  func resolutions() throws(ConfigurationError) -> [Int: Int] {
    guard case .mapping(let entries) = node.content else { throw refusal("is not a mapping") }
    var values: [Int: Int] = [:]
    for entry in entries {
      guard Self.isWholeNumber(entry.key), let epoch = Int(entry.key), (0...100_000).contains(epoch)
      else {
        throw ConfigurationError(
          place: entry.place, key: key,
          "\(ConfigurationError.quote(entry.key)) is no epoch; expects \(form.expectation)")
      }
      let item = ConfigurationValue(
        key: "\(key).\(epoch)", form: .integer(1...4096), node: entry.value)
      values[epoch] = try item.integer(1...4096)
    }
    return values
  }

  func numbers(
    _ each: NumberRange, _ count: ClosedRange<Int>
  ) throws(ConfigurationError) -> [Double] {
    var values: [Double] = []
    for item in try items(count) { values.append(try item.number(each)) }
    return values
  }
}

extension ConfigurationValue {
  /// `-`? then digits, without leading zeros (010 is eight to some readers) and without -0.
  static func isWholeNumber(_ text: String) -> Bool {
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    guard let first = digits.first, digits.allSatisfy(isDigit) else { return false }
    return first != "0" || text == "0"
  }

  /// A decimal number as YAML 1.2 has it, without a leading plus or leading zeros.
  private static func isDecimalNumber(_ text: String) -> Bool {
    let unsigned = text.hasPrefix("-") ? text.dropFirst() : text[...]
    let parts = unsigned.split(
      maxSplits: 1, omittingEmptySubsequences: false, whereSeparator: { $0 == "e" || $0 == "E" })
    if parts.count == 2 {
      let exponent =
        parts[1].first == "-" || parts[1].first == "+" ? parts[1].dropFirst() : parts[1]
      guard !exponent.isEmpty, exponent.allSatisfy(isDigit) else { return false }
    }
    let halves = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard halves.allSatisfy({ $0.allSatisfy(isDigit) }), halves.contains(where: { !$0.isEmpty })
    else { return false }
    return halves[0].count <= 1 || halves[0].first != "0"
  }

  private static func mantissa(_ text: String) -> Substring {
    text.prefix { $0 != "e" && $0 != "E" }
  }

  private static func isDigit(_ character: Character) -> Bool {
    ("0"..."9").contains(character) && character.utf8.count == 1
  }

  /// Whether `text` can begin a file name in any directory.
  static func isName(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 128 && !text.contains("/") && !text.hasPrefix(".")
      && !text.hasPrefix("-")
      && !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
  }
}
