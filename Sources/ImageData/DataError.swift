/// Why images could not be opened or read: one line that names the file and field, and the mend.
package struct DataError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// The content is damaged or contradicts itself or the configuration's classes (exit 65).
    case malformed
    /// A named file or directory does not exist (exit 66).
    case missing
    /// The system failed to read, or to lend a resource (exit 74).
    case io
    /// The file exists but may not be read (exit 77).
    case permission
    /// What is to be written cannot be made there (exit 73).
    case cannotCreate
    /// The configuration's `data` section does not fit the data (exit 78).
    case configuration
  }

  package var kind: Kind
  package var message: String
  package var description: String { message }

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = Self.oneLine(message)
  }

  /// Names of files may hold line breaks and what moves a terminal's cursor: `\u{a}` in their place.
  private static func oneLine(_ text: String) -> String {
    func isControl(_ scalar: Unicode.Scalar) -> Bool {
      scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
        || (0x2028...0x2029).contains(scalar.value)
    }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return text.unicodeScalars.reduce(into: "") {
      $0 += isControl($1) ? "\\u{\(String($1.value, radix: 16))}" : String($1)
    }
  }
}
