/// What is wrong with a configuration, where, and how to mend it; one line.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: String, Sendable {
    /// The configuration says something that cannot be done (exit 78).
    case configuration
    /// The configuration file is not there, or is not a file (exit 66).
    case missing
    /// The configuration file may not be read (exit 77).
    case permission
    /// Reading the configuration file failed (exit 74).
    case inputOutput
  }

  package var kind: Kind
  /// `config.yaml:12`, `--set training.shards=0`, or empty where no single line is to blame.
  package var place: String
  /// The key's path, such as `training.global_batch`; empty where no single key is to blame.
  package var key: String
  package var problem: String

  package init(
    _ kind: Kind = .configuration, place: String = "", key: String = "", _ problem: String
  ) {
    self.kind = kind
    self.place = place
    self.key = key
    self.problem = problem
  }

  /// One line whatever the file's keys and values hold: control characters are written out.
  package var description: String {
    let line = [place, key, problem].filter { !$0.isEmpty }.joined(separator: ": ")
    return line.unicodeScalars.reduce(into: "") { text, scalar in
      if scalar.properties.generalCategory == .control || scalar.properties.isWhitespace {
        text += scalar == " " ? " " : "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        text.unicodeScalars.append(scalar)
      }
    }
  }

  /// A value as messages show it: in quotes, and cut when long.
  static func quote(_ text: String) -> String {
    text.count <= 60 ? "'\(text)'" : "'\(text.prefix(57))...'"
  }
}
