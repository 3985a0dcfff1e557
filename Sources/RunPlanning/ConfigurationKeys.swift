/// One key of the configuration. The table `all` is the only list of keys: decoding, `--set`,
/// suggestions, the comparison at a resume and the reference in docs/configuration.md are made of it.
struct ConfigurationKey: Sendable {
  /// Whether the value may be another one when a run is resumed, and why.
  enum AtResume: Sendable {
    case fixed
    case free(String)
  }

  typealias Decode =
    @Sendable (inout RunConfig, ConfigurationValue) throws(ConfigurationError) -> Void

  /// Such as `training.global_batch`.
  let path: String
  let form: ConfigurationForm
  /// Unit of the value, or empty.
  let unit: String
  let meaning: String
  let atResume: AtResume
  /// The default in words; nil: the encoded value of `RunConfig()`.
  private let statedDefault: String?
  /// What other trainers call it, for suggestions.
  let otherNames: [String]
  let decode: Decode
  /// The value in a configuration; null for a part of `model.architecture`, which encodes whole.
  let encode: @Sendable (RunConfig) -> JSONText

  init(
    _ path: String, _ form: ConfigurationForm, unit: String = "", default: String? = nil,
    otherNames: [String] = [], atResume: AtResume, _ meaning: String, decode: @escaping Decode,
    encode: @escaping @Sendable (RunConfig) -> JSONText
  ) {
    self.path = path
    self.form = form
    self.unit = unit
    self.meaning = meaning
    self.atResume = atResume
    self.statedDefault = `default`
    self.otherNames = otherNames
    self.decode = decode
    self.encode = encode
  }

  var section: String { path.split(separator: ".").dropLast().joined(separator: ".") }
  var lastWord: String { path.split(separator: ".").last.map(String.init) ?? path }

  var defaultText: String {
    if let statedDefault { return statedDefault }
    let text = encode(RunConfig()).plain
    return text.isEmpty ? "empty" : text
  }
}

extension ConfigurationKey {
  typealias Field<Value> = any WritableKeyPath<RunConfig, Value> & Sendable

  static func integer(
    _ path: String, _ field: Field<Int>, _ range: ClosedRange<Int>, unit: String = "",
    otherNames: [String] = [], atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .integer(range), unit: unit, otherNames: otherNames, atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.integer(range)
      },
      encode: { .integer($0[keyPath: field]) })
  }

  static func number(
    _ path: String, _ field: Field<Double>, _ range: NumberRange, unit: String = "",
    otherNames: [String] = [], atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .number(range), unit: unit, otherNames: otherNames, atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.number(range)
      },
      encode: { .number($0[keyPath: field]) })
  }

  static func numbers(
    _ path: String, _ field: Field<[Double]>, each: NumberRange, count: ClosedRange<Int>,
    unit: String = "", atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .numbers(each: each, count: count), unit: unit, atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.numbers(each, count)
      },
      encode: { .array($0[keyPath: field].map { .number($0) }) })
  }

  static func boolean(
    _ path: String, _ field: Field<Bool>, atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .boolean, atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.boolean()
      },
      encode: { .boolean($0[keyPath: field]) })
  }

  static func path(
    _ path: String, _ field: Field<String>, default: String? = nil, otherNames: [String] = [],
    atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .path, default: `default`, otherNames: otherNames, atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.text()
      },
      encode: { .string($0[keyPath: field]) })
  }

  static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
    _ path: String, _ field: Field<Choice>, atResume: AtResume, _ meaning: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      path, .choice(Choice.allCases.map(\.rawValue)), atResume: atResume, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        config[keyPath: field] = try value.choice(Choice.self)
      },
      encode: { .string($0[keyPath: field].rawValue) })
  }
}

extension ConfigurationKey {
  /// Every key, in the order of the reference.
  static let all = run + model + data + training + optimizer + schedule + housekeeping

  static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

  /// Paths below which keys lie: `training`, `model`, `model.architecture`, ….
  static let sections = Set(all.map(\.section).filter { !$0.isEmpty })

  /// The key or section that an unknown path was probably meant to be.
  static func nearest(to path: String) -> String? {
    let lastWord = path.split(separator: ".").last.map(String.init) ?? path
    // The right word in the wrong place, or another trainer's word for it.
    if let key = all.first(where: {
      $0.lastWord == lastWord || $0.otherNames.contains(lastWord.lowercased())
    }) {
      return key.path
    }
    if let near = NearestName.of(path, among: all.map(\.path) + sections.sorted()) { return near }
    guard let near = NearestName.of(lastWord, among: all.map(\.lastWord)) else { return nil }
    return all.first { $0.lastWord == near }?.path
  }

  /// The refusal of a path that is neither key nor section.
  static func unknown(_ path: String, place: String) -> ConfigurationError {
    if let near = nearest(to: path) {
      return ConfigurationError(place: place, key: path, "unknown key; did you mean \(near)?")
    }
    let section = path.split(separator: ".").dropLast().joined(separator: ".")
    var known = all.filter { $0.section == section }.map(\.lastWord)
    if section.isEmpty { known += sections.filter { !$0.contains(".") }.sorted() }
    if known.isEmpty { known = sections.sorted() }
    return ConfigurationError(
      place: place, key: path, "unknown key; known here: \(known.joined(separator: ", "))")
  }
}
