/// A JSON value whose objects keep the order of their keys, so that the same facts are always the
/// same bytes.
package enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case int(Int)
  /// Written with the shortest digits that read back as the same number; what is not finite, which
  /// JSON cannot say, becomes null.
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  /// JSON text: on one line, or for people with `indented`.
  package func text(indented: Bool = false) -> String {
    var text = ""
    append(to: &text, indentation: indented ? 0 : nil)
    return text
  }

  private func append(to text: inout String, indentation: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += String(value)
    case .double(let value): text += value.isFinite ? value.description : "null"
    case .string(let value): Self.append(quoted: value, to: &text)
    case .array(let values):
      Self.append(values, between: ("[", "]"), to: &text, indentation) { value, text, inner in
        value.append(to: &text, indentation: inner)
      }
    case .object(let members):
      Self.append(members, between: ("{", "}"), to: &text, indentation) { member, text, inner in
        Self.append(quoted: member.0, to: &text)
        text += inner == nil ? ":" : ": "
        member.1.append(to: &text, indentation: inner)
      }
    }
  }

  private static func append<Element>(
    _ elements: [Element], between brackets: (String, String), to text: inout String,
    _ indentation: Int?, element: (Element, inout String, Int?) -> Void
  ) {
    let inner = indentation.map { $0 + 2 }
    text += brackets.0
    for (index, value) in elements.enumerated() {
      if index > 0 { text += "," }
      if let inner { text += "\n" + String(repeating: " ", count: inner) }
      element(value, &text, inner)
    }
    if let indentation, !elements.isEmpty {
      text += "\n" + String(repeating: " ", count: indentation)
    }
    text += brackets.1
  }

  /// RFC 8259, section 7: quotation mark, reverse solidus and control characters are escaped.
  private static func append(quoted value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(integerLiteral value: Int) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(stringLiteral value: String) { self = .string(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements) }
}
