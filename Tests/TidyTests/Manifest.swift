import Foundation

/// The targets of Package.swift with the dependencies that they declare, read from its text:
/// `room("Name", [...])`, `tests("Name", [...])`, `.executableTarget(name:dependencies:)` and
/// `.systemLibrary(name:)`.
struct Manifest {
  /// Target → declared dependencies; those of tests include `_TestSupport`, which all tests get.
  let dependencies: [String: Set<String>]

  init(text: String) {
    let code = text.split(separator: "\n").map(\.withoutComment).joined(separator: "\n")
    let list = code.firstRange(of: "targets: [\n").map { code[$0.lowerBound...] }
    var found: [String: Set<String>] = [:]
    for (opening, shared) in [
      ("room(", []), ("tests(", ["_TestSupport"]), (".executableTarget(", []),
      (".systemLibrary(", []),
    ] as [(String, Set<String>)] {
      var rest = list ?? ""
      while let call = rest.firstRange(of: opening) {
        let arguments = Self.balanced(rest[call.upperBound...])
        rest = rest[call.upperBound...]
        guard let name = Self.strings(arguments).first else { continue }
        found[name] = Self.firstList(arguments).union(shared)
        if opening == ".systemLibrary(" { found[name] = [] }
      }
    }
    dependencies = found
  }

  /// The text up to the parenthesis that closes the one before it.
  private static func balanced(_ text: Substring) -> Substring {
    var depth = 1
    for index in text.indices {
      if text[index] == "(" { depth += 1 }
      if text[index] == ")" { depth -= 1 }
      if depth == 0 { return text[..<index] }
    }
    return text
  }

  /// The names in the first list among arguments, that of the dependencies; `excluding:` and
  /// `settings:` have lists of their own.
  private static func firstList(_ arguments: Substring) -> Set<String> {
    var arguments = arguments
    for label in ["excluding:", "settings:"] {
      if let found = arguments.firstRange(of: label) { arguments = arguments[..<found.lowerBound] }
    }
    guard let start = arguments.firstIndex(of: "["),
      let end = arguments[start...].firstIndex(of: "]")
    else { return [] }
    return Set(strings(arguments[start..<end]))
  }

  private static func strings(_ text: Substring) -> [String] {
    text.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
      .filter { $0.offset % 2 == 1 }.map { String($0.element) }
  }
}
