/// A JSON value whose objects keep their order, and its text.
enum JSONText: Sendable {
  case null
  case boolean(Bool)
  case integer(Int)
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONText])
  case object([(String, JSONText)])

  /// One line; values that JSON does not have (infinities) become null.
  var compact: String {
    switch self {
    case .null: "null"
    case .boolean(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .unsigned(let value): String(value)
    case .number(let value): value.isFinite ? value.description : "null"
    case .string(let value): Self.quoted(value)
    case .array(let items): "[" + items.map(\.compact).joined(separator: ", ") + "]"
    case .object(let members):
      "{"
        + members.map { "\(Self.quoted($0.0)): \($0.1.compact)" }.joined(separator: ", ") + "}"
    }
  }

  /// Two spaces a level; values without objects inside stay on one line.
  func pretty(indentation: String = "") -> String {
    let inner = indentation + "  "
    switch self {
    case .object(let members) where !members.isEmpty:
      let lines = members.map {
        "\(inner)\(Self.quoted($0.0)): \($0.1.pretty(indentation: inner))"
      }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(indentation)}"
    case .array(let items) where items.contains(where: \.isObject):
      let lines = items.map { inner + $0.compact }
      return "[\n" + lines.joined(separator: ",\n") + "\n\(indentation)]"
    default:
      return compact
    }
  }

  /// As a person reads it, without the quotes of a bare string and with whole numbers short.
  var plain: String {
    switch self {
    case .string(let value): value
    case .number(let value) where value == value.rounded() && value.magnitude < 1e15:
      String(Int(value))
    case .array(let items): "[" + items.map(\.plain).joined(separator: ", ") + "]"
    case .object(let members):
      "{" + members.map { "\($0.0): \($0.1.plain)" }.joined(separator: ", ") + "}"
    default: compact
    }
  }

  private var isObject: Bool {
    if case .object = self { return true }
    return false
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
