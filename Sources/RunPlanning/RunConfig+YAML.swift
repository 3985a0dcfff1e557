extension RunConfig {
  /// All keys with their values as a configuration file that decodes to this one, for whoever wants
  /// to train the same network again. `output` is left out: where a run lies is no part of what it is.
  package func yaml() -> String {
    guard case .object(let members) = json else { return "" }
    return JSONText.object(members.filter { $0.0 != "output" }).yaml()
  }
}

extension JSONText {
  /// Objects as YAML's blocks, two spaces a level; lists and scalars as in JSON, which YAML contains.
  fileprivate func yaml(indentation: String = "") -> String {
    guard case .object(let members) = self else { return compact }
    return members.map { key, value in
      guard case .object(let inner) = value, !inner.isEmpty else {
        return "\(indentation)\(key): \(value.compact)\n"
      }
      return "\(indentation)\(key):\n" + value.yaml(indentation: indentation + "  ")
    }.joined()
  }
}
