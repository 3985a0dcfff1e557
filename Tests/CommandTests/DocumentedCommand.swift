import Foundation
import Testing

/// A command in a ```sh or ```console block of a document.
struct DocumentedCommand: Sendable, CustomTestStringConvertible {
  /// `README.md:12`.
  let place: String
  let text: String
  /// What a shell would make of the text; variables in front of the command are left out.
  let words: [String]

  var testDescription: String { "\(place): \(text)" }

  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  static let all = documents.flatMap(commands)

  /// Markdown at the top and below docs/.
  private static var documents: [String] {
    let files = FileManager.default
    let top = (try? files.contentsOfDirectory(atPath: root)) ?? []
    let below = files.enumerator(atPath: "\(root)/docs")?.compactMap { $0 as? String } ?? []
    return (top + below.map { "docs/\($0)" }).filter { $0.hasSuffix(".md") }.sorted()
  }

  private static func commands(of path: String) -> [DocumentedCommand] {
    let bytes = FileManager.default.contents(atPath: "\(root)/\(path)") ?? Data()
    let lines = String(decoding: bytes, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    return commands(in: lines.map(String.init), of: path)
  }

  static func commands(in lines: [String], of path: String) -> [DocumentedCommand] {
    var commands: [DocumentedCommand] = []
    var block: String?
    var continued = ""
    for (number, line) in lines.enumerated() {
      if line.hasPrefix("```") {
        block = block == nil ? String(line.dropFirst(3)) : nil
        continue
      }
      guard block == "sh" || block == "console" else { continue }
      var text = line.trimmingCharacters(in: .whitespaces)
      if block == "console", continued.isEmpty {
        // The other lines of a console are answers.
        guard text.hasPrefix("$ ") else { continue }
        text = String(text.dropFirst(2))
      }
      if text.hasSuffix("\\") {
        continued += text.dropLast() + " "
        continue
      }
      let words = Self.words(continued + text)
      if !words.isEmpty {
        commands.append(
          DocumentedCommand(place: "\(path):\(number + 1)", text: continued + text, words: words))
      }
      continued = ""
    }
    return commands
  }

  /// Splits at spaces outside quotes, up to a comment, and leaves out leading `NAME=value` words.
  static func words(_ text: String) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in text {
      if let open = quote {
        if character == open { quote = nil } else { word?.append(character) }
      } else if character == "'" || character == "\"" {
        quote = character
        word = word ?? ""
      } else if character == " " {
        if let complete = word { words.append(complete) }
        word = nil
      } else if character == "#", word == nil {
        break
      } else {
        word = (word ?? "") + String(character)
      }
    }
    if let word { words.append(word) }
    return Array(words.drop { $0.contains("=") && !$0.hasPrefix("-") && !$0.contains("/") })
  }
}
