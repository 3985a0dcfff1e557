// How an architecture is written in a configuration, and which ones are sound.

extension Architecture {
  package static let largestWidth = 16_384
  package static let largestDepth = 128
  package static let stageCounts = 1...8
  /// A plain number of groups applies to every second layer from 2 through this one, as in the
  /// published code.
  private static let lastGroupedLayer = 26

  /// The zoo's network of that name; `A0`, `repvgg_a0` and `RepVGG-A0` are the same.
  static func named(_ value: ConfigurationValue) throws(ConfigurationError) -> Architecture {
    guard case .scalar(let text, _) = value.node.content else {
      throw value.refusal("is neither a name nor a mapping")
    }
    func short(_ name: String) -> String {
      let letters = name.lowercased().filter { $0 != "-" && $0 != "_" }
      return letters.hasPrefix("repvgg") ? String(letters.dropFirst(6)) : letters
    }
    if let member = zoo.first(where: { short($0.name) == short(text) }) { return member }
    var problem = "unknown architecture \(ConfigurationError.quote(text))"
    let near =
      NearestName.of(text, among: zoo.map(\.name))
      ?? NearestName.of(short(text), among: zoo.map { short($0.name) })
    if let near, let member = zoo.first(where: { short($0.name) == short(near) }) {
      problem += ", did you mean \(member.name)"
    }
    throw value.refusal(problem)
  }

  /// Groups by layer from a plain number or from a mapping.
  static func groups(
    _ value: ConfigurationValue, layers: Int
  ) throws(ConfigurationError) -> [Int: Int] {
    guard case .mapping(let entries) = value.node.content else {
      let count = try value.integer(1...largestWidth)
      guard count > 1 else { return [:] }
      let grouped = stride(from: 2, through: min(lastGroupedLayer, layers - 1), by: 2)
      return Dictionary(uniqueKeysWithValues: grouped.map { ($0, count) })
    }
    var groups: [Int: Int] = [:]
    for entry in entries {
      guard ConfigurationValue.isWholeNumber(entry.key), let layer = Int(entry.key),
        (0..<layers).contains(layer)
      else {
        throw ConfigurationError(
          place: entry.place, key: value.key,
          "\(ConfigurationError.quote(entry.key)) is no layer; expects layers from 0 (the stem) to "
            + "\(layers - 1)")
      }
      let item = ConfigurationValue(
        key: "\(value.key).\(layer)", form: .integer(1...largestWidth), node: entry.value)
      let count = try item.integer(1...largestWidth)
      if count > 1 { groups[layer] = count }
    }
    return groups
  }

  /// What keeps the network from being built, as (part of the spelled-out form, problem).
  package func flaw(inputChannels: Int) -> (part: String, problem: String)? {
    guard widths.count == depths.count else {
      return ("widths", "\(widths.count) widths for \(depths.count) stages; expects one each")
    }
    guard strides.count == depths.count else {
      return ("strides", "\(strides.count) strides for \(depths.count) stages; expects one each")
    }
    if squeezeExcitation, let narrow = ([stemWidth] + widths).first(where: { $0 < 16 }) {
      return (
        "squeeze_excitation", "\(narrow) channels cannot be squeezed by 16; expects 16 or more"
      )
    }
    for block in blocks(inputChannels: inputChannels, height: 1, width: 1)
    where block.inputChannels % block.groups != 0 || block.outputChannels % block.groups != 0 {
      return (
        "groups",
        "\(block.groups) groups on layer \(block.layer) (\(block.key)) do not divide its channels, "
          + "\(block.inputChannels) in and \(block.outputChannels) out"
      )
    }
    return nil
  }

  /// The value of `model.architecture`: a name of the zoo, or the spelled-out form without strides
  /// (they stand in `model.strides`).
  var spelling: JSONText {
    if let member = Self.zoo.first(where: { $0.name == name }), member.isSame(but: self) {
      return .string(name)
    }
    var members: [(String, JSONText)] = [
      ("stem", .integer(stemWidth)),
      ("depths", .array(depths.map { .integer($0) })),
      ("widths", .array(widths.map { .integer($0) })),
    ]
    if !groups.isEmpty {
      let layers = groups.sorted { $0.key < $1.key }
      members.append(("groups", .object(layers.map { (String($0.key), .integer($0.value)) })))
    }
    if squeezeExcitation { members.append(("squeeze_excitation", .boolean(true))) }
    return .object(members)
  }

  /// Equal apart from the strides.
  private func isSame(but other: Architecture) -> Bool {
    var other = other
    (other.stemStride, other.strides) = (stemStride, strides)
    return self == other
  }
}
