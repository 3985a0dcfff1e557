extension RunConfig {
  /// The configuration in the file at `path`, with `overrides` (`key=value`, the value in YAML's
  /// flow form, the last of a key wins) in place of what the file says.
  ///
  /// Throws kind `.missing`, `.permission` or `.inputOutput` when the file cannot be read, and
  /// `.configuration` with line and key for everything that is wrong in it.
  package static func load(
    path: String, overrides: [String] = []
  ) throws(ConfigurationError) -> RunConfig {
    try load(ConfigurationFile(reading: path), overrides: overrides)
  }

  /// The same for a file that has been read.
  package static func load(
    _ file: ConfigurationFile, overrides: [String] = []
  ) throws(ConfigurationError) -> RunConfig {
    try decode(bytes: file.bytes, file: file.path, overrides: overrides)
  }

  /// The same for a configuration in memory; `file` names it in messages and gives the default of
  /// `name`.
  package static func decode(
    text: String, file: String, overrides: [String] = []
  ) throws(ConfigurationError) -> RunConfig {
    try decode(bytes: Array(text.utf8), file: file, overrides: overrides)
  }

  private static func decode(
    bytes: [UInt8], file: String, overrides: [String]
  ) throws(ConfigurationError) -> RunConfig {
    var root = try YAMLReader.read(bytes, source: file)
    guard root.content != .null else {
      throw ConfigurationError(
        place: root.place, "the file says nothing; write at least model: {architecture: RepVGG-A0}")
    }
    guard case .mapping = root.content else {
      throw ConfigurationError(place: root.place, "expects a mapping of keys, such as training:")
    }
    for override in overrides { try root.apply(override) }
    var decoding = ConfigurationDecoding(file: file)
    try decoding.collect(root, path: "")
    return try decoding.configuration()
  }
}

/// One configuration on its way from nodes to values.
struct ConfigurationDecoding {
  let file: String
  /// Every key that was given.
  private(set) var given: [String: YAMLNode] = [:]

  init(file: String) { self.file = file }

  /// Where a key or the key around it was given, or the file where neither was.
  func place(of path: String) -> String {
    if let node = given[path] { return node.place }
    guard let dot = path.lastIndex(of: ".") else { return file }
    return place(of: String(path[..<dot]))
  }

  /// Finds the keys below `node`, refusing those that the table does not know.
  mutating func collect(_ node: YAMLNode, path: String) throws(ConfigurationError) {
    guard case .mapping(let entries) = node.content else {
      // A section whose keys are all commented out is an empty one.
      if node.content == .null { return }
      throw ConfigurationError(
        place: node.place, key: path, "is a section; expects keys below it")
    }
    if path == "model.architecture" { given[path] = node }
    for entry in entries {
      let entryPath = path.isEmpty ? entry.key : "\(path).\(entry.key)"
      if entry.key.contains(".") {
        let steps = entry.key.split(separator: ".").joined(separator: ": {")
        throw ConfigurationError(
          place: entry.place, key: entryPath,
          "keys are nested in a file: \(steps): …}; dots are for --set")
      }
      let isSection = ConfigurationKey.sections.contains(entryPath)
      if ConfigurationKey.byPath[entryPath] != nil, !(isSection && entry.value.isMapping) {
        given[entryPath] = entry.value
      } else if isSection {
        try collect(entry.value, path: entryPath)
      } else {
        throw ConfigurationKey.unknown(entryPath, place: entry.place)
      }
    }
  }

  /// Decodes the given keys over the defaults, in the order of the table, and checks the whole.
  func configuration() throws(ConfigurationError) -> RunConfig {
    var config = RunConfig()
    config.name = Self.defaultName(file: file)
    let isSpelled = given["model.architecture"]?.isMapping ?? false
    if isSpelled {
      for part in ["stem", "depths", "widths"] where given["model.architecture.\(part)"] == nil {
        throw ConfigurationError(
          place: place(of: "model.architecture"), key: "model.architecture.\(part)",
          "is required where a network is spelled out")
      }
      config.model.architecture = Architecture(stemWidth: 1, depths: [], widths: [])
    }
    for key in ConfigurationKey.all {
      guard let node = given[key.path] else { continue }
      if key.path == "model.architecture", isSpelled { continue }
      try key.decode(
        &config, ConfigurationValue(key: key.path, form: key.form, node: node))
      if key.path == "model.architecture.depths", given["model.architecture.strides"] == nil {
        config.model.architecture.strides = config.model.architecture.depths.map { _ in 2 }
      }
    }
    if given["output"] == nil { config.output = "runs/\(config.name)" }
    try complete(&config)
    try check(config)
    return config
  }

  /// The file's name without directories and extension, where that makes a name.
  private static func defaultName(file: String) -> String {
    let last = file.split(separator: "/").last ?? "run"
    let stem = last.lastIndex(of: ".").map { last[..<$0] } ?? last
    return ConfigurationValue.isName(String(stem)) ? String(stem) : "run"
  }
}

extension YAMLNode {
  var isMapping: Bool {
    if case .mapping = content { return true }
    return false
  }

  /// Puts the value of one `--set` argument in the place of the file's.
  mutating func apply(_ override: String) throws(ConfigurationError) {
    let place = "--set \(override)"
    guard let equals = override.firstIndex(of: "="), equals != override.startIndex else {
      throw ConfigurationError(
        place: place, "expects KEY=VALUE, such as training.epochs=20")
    }
    let path = String(override[..<equals])
    guard ConfigurationKey.byPath[path] != nil else {
      if ConfigurationKey.sections.contains(path) {
        throw ConfigurationError(
          place: place, key: path,
          "is a section; set its keys one by one, such as \(path).KEY=VALUE")
      }
      throw ConfigurationKey.unknown(path, place: place)
    }
    let text = override[override.index(after: equals)...]
    let value = try YAMLReader.read(Array(text.utf8), source: place, hasLines: false)
    let steps = path.split(separator: ".").map(String.init)
    try insert(value, at: steps[...], of: path, place: place)
  }

  private mutating func insert(
    _ value: YAMLNode, at steps: ArraySlice<String>, of path: String, place: String
  ) throws(ConfigurationError) {
    guard let step = steps.first else {
      self = value
      return
    }
    var entries: [Entry]
    switch content {
    case .mapping(let present): entries = present
    case .null: entries = []
    case .scalar, .sequence:
      let section = path.split(separator: ".").dropLast(steps.count).joined(separator: ".")
      throw ConfigurationError(
        place: place, key: path,
        "\(section) is not a mapping at \(self.place); set \(section) as a whole")
    }
    if let index = entries.firstIndex(where: { $0.key == step }) {
      try entries[index].value.insert(value, at: steps.dropFirst(), of: path, place: place)
    } else {
      var inner = YAMLNode(content: .null, place: place)
      try inner.insert(value, at: steps.dropFirst(), of: path, place: place)
      entries.append(Entry(key: step, place: place, value: inner))
    }
    content = .mapping(entries)
  }
}
