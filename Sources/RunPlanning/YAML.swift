import CYAML

/// A value of a YAML text with its place. The strict subset that a configuration needs: one
/// document of mappings, sequences and scalars, without anchors, aliases, tags and merge keys.
struct YAMLNode: Sendable, Equatable {
  enum Content: Sendable, Equatable {
    /// Nothing, `~` or `null`.
    case null
    case scalar(text: String, quoted: Bool)
    case sequence([YAMLNode])
    case mapping([Entry])
  }

  struct Entry: Sendable, Equatable {
    var key: String
    /// Where the key stands.
    var place: String
    var value: YAMLNode
  }

  var content: Content
  /// `file:line`, or the `--set` argument that the value came from.
  var place: String
}

/// Reads one YAML text through libyaml's events.
///
/// Every limit is checked before memory is spent on what it limits; libyaml itself looks no further
/// ahead than one simple key (1024 characters).
struct YAMLReader {
  static let maximumBytes = 1 << 20
  static let maximumDepth = 64
  static let maximumValues = 10_000

  /// What stands before the line number in places.
  private let source: String
  /// Whether the source has lines; a `--set` argument has none.
  private let hasLines: Bool
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let bytes: UnsafeBufferPointer<UInt8>
  private var values = 0

  /// The root value of `bytes`, UTF-8 with or without a byte order mark; `.null` when empty.
  static func read(
    _ bytes: [UInt8], source: String, hasLines: Bool = true
  ) throws(ConfigurationError) -> YAMLNode {
    guard bytes.count <= maximumBytes else {
      throw ConfigurationError(
        place: source, "\(bytes.count) bytes; a configuration has at most \(maximumBytes)")
    }
    let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    let lines = content.split(separator: 0x0A, omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated()
    where String(validating: line, as: UTF8.self) == nil {
      throw ConfigurationError(
        place: hasLines ? "\(source):\(index + 1)" : source, "not valid UTF-8; save it as UTF-8")
    }
    return try content.withUnsafeBufferPointer { (buffer) throws(ConfigurationError) in
      let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
      defer { parser.deallocate() }
      guard yaml_parser_initialize(parser) == 1 else {
        throw ConfigurationError(.inputOutput, place: source, "no memory for the YAML parser")
      }
      defer { yaml_parser_delete(parser) }
      yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
      yaml_parser_set_input_string(parser, buffer.baseAddress, buffer.count)
      var reader = YAMLReader(
        source: source, hasLines: hasLines, parser: parser, bytes: buffer)
      return try reader.document()
    }
  }

  private init(
    source: String, hasLines: Bool, parser: UnsafeMutablePointer<yaml_parser_t>,
    bytes: UnsafeBufferPointer<UInt8>
  ) {
    self.source = source
    self.hasLines = hasLines
    self.parser = parser
    self.bytes = bytes
  }
}

extension YAMLReader {
  private enum Event {
    case streamStart, streamEnd, documentStart, documentEnd, alias
    case scalar(text: String, quoted: Bool)
    case sequenceStart, sequenceEnd, mappingStart, mappingEnd
  }

  private func place(line: Int) -> String { hasLines ? "\(source):\(line)" : source }

  /// The next event and its place, with anchors and tags refused.
  private func next() throws(ConfigurationError) -> (event: Event, place: String) {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else { throw syntaxError() }
    defer { yaml_event_delete(&event) }
    let place = place(line: event.start_mark.line + 1)
    func plain(
      anchor: UnsafeMutablePointer<UInt8>?, tag: UnsafeMutablePointer<UInt8>?
    ) throws(ConfigurationError) {
      if anchor != nil { throw Self.refused("anchors (&name)", place) }
      if tag != nil { throw Self.refused("tags (!name)", place) }
    }
    switch event.type {
    case YAML_STREAM_START_EVENT: return (.streamStart, place)
    case YAML_STREAM_END_EVENT: return (.streamEnd, place)
    case YAML_DOCUMENT_START_EVENT: return (.documentStart, place)
    case YAML_DOCUMENT_END_EVENT: return (.documentEnd, place)
    case YAML_ALIAS_EVENT: return (.alias, place)
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      try plain(anchor: scalar.anchor, tag: scalar.tag)
      let text = String(
        decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      return (.scalar(text: text, quoted: scalar.style != YAML_PLAIN_SCALAR_STYLE), place)
    case YAML_SEQUENCE_START_EVENT:
      try plain(anchor: event.data.sequence_start.anchor, tag: event.data.sequence_start.tag)
      return (.sequenceStart, place)
    case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, place)
    case YAML_MAPPING_START_EVENT:
      try plain(anchor: event.data.mapping_start.anchor, tag: event.data.mapping_start.tag)
      return (.mappingStart, place)
    case YAML_MAPPING_END_EVENT: return (.mappingEnd, place)
    default: throw ConfigurationError(place: place, "not valid YAML")
    }
  }

  private static func refused(_ what: String, _ place: String) -> ConfigurationError {
    ConfigurationError(
      place: place, "\(what) are not supported here; write the value out, in quotes if it is text")
  }

  private func syntaxError() -> ConfigurationError {
    let parser = self.parser.pointee
    let problem = parser.problem.map { String(cString: $0) } ?? "no memory"
    // The reader's errors carry a byte offset, all others a mark.
    if parser.error == YAML_READER_ERROR {
      let offset = min(parser.problem_offset, bytes.count)
      let line = bytes[..<offset].reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) }
      return ConfigurationError(place: place(line: line), "not valid YAML: \(problem)")
    }
    let mark = parser.problem_mark
    return ConfigurationError(
      place: place(line: mark.line + 1),
      "not valid YAML: \(problem) (column \(mark.column + 1))")
  }

  private mutating func document() throws(ConfigurationError) -> YAMLNode {
    _ = try next()
    guard case .documentStart = try next().event else {
      return YAMLNode(content: .null, place: place(line: 1))
    }
    let (event, start) = try next()
    let root = try value(event, at: start, path: "", depth: 1)
    _ = try next()
    let (end, place) = try next()
    guard case .streamEnd = end else {
      throw ConfigurationError(
        place: place, "a second document begins here; a configuration is one document")
    }
    return root
  }

  private mutating func value(
    _ event: Event, at place: String, path: String, depth: Int
  ) throws(ConfigurationError) -> YAMLNode {
    values += 1
    guard values <= Self.maximumValues else {
      throw ConfigurationError(place: place, "more than \(Self.maximumValues) values")
    }
    guard depth <= Self.maximumDepth else {
      throw ConfigurationError(place: place, "nested more than \(Self.maximumDepth) deep")
    }
    switch event {
    case .scalar(let text, let quoted):
      let isNull = !quoted && ["", "~", "null", "Null", "NULL"].contains(text)
      return YAMLNode(
        content: isNull ? .null : .scalar(text: text, quoted: quoted), place: place)
    case .sequenceStart:
      return try sequence(at: place, path: path, depth: depth)
    case .mappingStart:
      return try mapping(at: place, path: path, depth: depth)
    case .alias:
      throw Self.refused("aliases (*name)", place)
    default:
      throw ConfigurationError(place: place, "not valid YAML: a value was expected")
    }
  }

  private mutating func sequence(
    at place: String, path: String, depth: Int
  ) throws(ConfigurationError) -> YAMLNode {
    var items: [YAMLNode] = []
    while true {
      let (event, start) = try next()
      if case .sequenceEnd = event { return YAMLNode(content: .sequence(items), place: place) }
      items.append(try value(event, at: start, path: path, depth: depth + 1))
    }
  }

  private mutating func mapping(
    at place: String, path: String, depth: Int
  ) throws(ConfigurationError) -> YAMLNode {
    var entries: [YAMLNode.Entry] = []
    var places: [String: String] = [:]
    while true {
      let (event, start) = try next()
      if case .mappingEnd = event { return YAMLNode(content: .mapping(entries), place: place) }
      guard case .scalar(let key, let quoted) = event else {
        throw ConfigurationError(place: start, key: path, "a key must be a plain word")
      }
      if key == "<<", !quoted { throw Self.refused("merge keys (<<)", start) }
      let keyPath = path.isEmpty ? key : "\(path).\(key)"
      if let first = places.updateValue(start, forKey: key) {
        throw ConfigurationError(
          place: start, key: keyPath, "given twice, first at \(first); remove one")
      }
      let (valueEvent, valueStart) = try next()
      let value = try value(valueEvent, at: valueStart, path: keyPath, depth: depth + 1)
      entries.append(YAMLNode.Entry(key: key, place: start, value: value))
    }
  }
}
