/// A key whose value may not change when a run is resumed, and both values as text.
package struct ConfigurationDifference: Sendable, Equatable {
  package var key: String
  package var old: String
  package var new: String
}

extension RunConfig {
  /// The keys in which this configuration differs from that of the run to be resumed although they
  /// may not; empty when the run may go on. Which keys those are, and why the others are free,
  /// stands in docs/configuration.md.
  package func differencesRefusedAtResume(from old: RunConfig) -> [ConfigurationDifference] {
    ConfigurationKey.all.compactMap { key in
      guard case .fixed = key.atResume else { return nil }
      let (before, after) = (key.encode(old).plain, key.encode(self).plain)
      return before == after
        ? nil : ConfigurationDifference(key: key.path, old: before, new: after)
    }
  }

  /// Every key with its value as text, in the order of the reference.
  package var keyValues: [(key: String, value: String)] {
    ConfigurationKey.all.map { ($0.path, $0.encode(self).plain) }
  }

  /// All keys with their values, as a configuration that decodes to this one; what is empty is left
  /// out.
  var json: JSONText { Self.nested(ConfigurationKey.all.map { ($0.path, $0.encode(self)) }) }

  /// Paths with dots turned into objects within objects; nulls and empty texts are left out.
  private static func nested(_ values: [(path: String, value: JSONText)]) -> JSONText {
    var members: [(String, JSONText)] = []
    var sections: [String: [(path: String, value: JSONText)]] = [:]
    for (path, value) in values {
      if value.plain.isEmpty || value.compact == "null" { continue }
      guard let dot = path.firstIndex(of: ".") else {
        members.append((path, value))
        continue
      }
      let section = String(path[..<dot])
      if sections[section] == nil { members.append((section, .null)) }
      sections[section, default: []].append((String(path[path.index(after: dot)...]), value))
    }
    return .object(members.map { ($0.0, sections[$0.0].map(nested) ?? $0.1) })
  }
}
