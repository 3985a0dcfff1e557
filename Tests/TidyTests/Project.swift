import Foundation

/// The project's files as they lie around these tests.
enum Project {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// A text file and its place below the root.
  struct File: Sendable, CustomStringConvertible {
    let path: String
    let text: String

    var description: String { path }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    /// The part of the path above the file: `Sources/Kernels`.
    var directory: String { path.split(separator: "/").dropLast().joined(separator: "/") }
    /// `Kernels` for whatever lies below `Sources/Kernels`.
    var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    var isSwift: Bool { path.hasSuffix(".swift") }
  }

  static let sources = files(below: "Sources")
  static let tests = files(below: "Tests")
  static let scripts = files(below: "launch") + files(below: ".ci")
  static let documents =
    files(below: "docs").filter { $0.path.hasSuffix(".md") }
    + ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].compactMap(file)
  static let everything =
    sources + tests + scripts + documents + files(below: "configs")
    + ["Package.swift", ".swift-format", ".gitignore"].compactMap(file)

  static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(root)/\(path)")
  }

  static func file(_ path: String) -> File? {
    guard let bytes = FileManager.default.contents(atPath: "\(root)/\(path)"),
      let text = String(validating: bytes, as: UTF8.self)
    else { return nil }
    return File(path: path, text: text)
  }

  /// All text files below a directory, in the order of their paths.
  private static func files(below directory: String) -> [File] {
    let names =
      FileManager.default.enumerator(atPath: "\(root)/\(directory)")?
      .compactMap { $0 as? String } ?? []
    return names.filter { !$0.contains("__pycache__") }.sorted()
      .compactMap { file("\(directory)/\($0)") }
  }
}

extension String {
  /// Whether `word` occurs with neither letter, digit nor underscore at its sides.
  func containsWord(_ word: String) -> Bool {
    func isPartOfWord(_ character: Character?) -> Bool {
      guard let character else { return false }
      return character.isLetter || character.isNumber || character == "_"
    }
    var rest = self[...]
    while let found = rest.firstRange(of: word) {
      let before = found.lowerBound == startIndex ? nil : self[index(before: found.lowerBound)]
      let after = found.upperBound == endIndex ? nil : self[found.upperBound]
      if !isPartOfWord(before) && !isPartOfWord(after) { return true }
      rest = self[found.upperBound...]
    }
    return false
  }
}

extension Substring {
  /// A line of code up to its comment.
  var withoutComment: Substring {
    guard let comment = firstRange(of: "//") else { return self }
    return self[..<comment.lowerBound]
  }
}
