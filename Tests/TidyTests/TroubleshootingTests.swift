import Foundation
import Testing

/// What the document quotes is what is printed.
@Suite struct TroubleshootingTests {
  private static let path = "docs/troubleshooting.md"

  /// Sections, each with its heading and the first cells of its tables, which quote a message.
  private static func sections() throws -> [(heading: String, messages: [String])] {
    let document = try #require(Project.file(path))
    var sections: [(heading: String, messages: [String])] = []
    for line in document.lines {
      if line.hasPrefix("## ") {
        sections.append((String(line.dropFirst(3)), []))
      } else if line.hasPrefix("| `"), let end = line.dropFirst(3).firstRange(of: "` |") {
        sections[sections.count - 1].messages.append(
          String(line.dropFirst(3)[..<end.lowerBound]))
      }
    }
    return sections
  }

  /// What of a message does not differ.
  private static func fixedParts(_ message: String) -> [String] {
    message.split(separator: "…")
      .map { String($0).trimmingCharacters(in: CharacterSet(charactersIn: " :")) }
      .filter { $0.count > 3 }
  }

  /// The sources with texts in one piece that stand in several lines.
  private static let sources = Project.sources.filter(\.isSwift)
    .map { $0.text.replacing(/"\s*\+\s*"/, with: "") }.joined(separator: "\n")

  /// The longest piece decides whether a message is told apart at all.
  @Test func ownMessagesArePrinted() throws {
    var count = 0
    for section in try Self.sections() where section.heading.first?.isNumber == true {
      for message in section.messages {
        let parts = Self.fixedParts(message)
        #expect(parts.contains { $0.count > 8 }, "\(section.heading): \(message)")
        for part in parts {
          #expect(Self.sources.contains(part), "\(section.heading): no source says '\(part)'")
        }
        count += 1
      }
    }
    #expect(count > 30)
  }

  @Test func everyExitCodeHasItsSection() throws {
    let headings = try Self.sections().map(\.heading)
    for code in [64, 65, 66, 70, 73, 74, 76, 77, 78] {
      #expect(headings.contains { $0.hasPrefix("\(code): ") }, "\(code)")
    }
  }

  @Test func findingsOfTheDoctorExist() throws {
    let doctor = Project.sources.filter { $0.path.hasPrefix("Sources/Orchestration/Doctor") }
      .map(\.text).joined()
    let text = try #require(Project.file(Self.path)).text
    let quoted = text.matches(of: /doctor's ((?:`[^`]+`(?:, | and )?)+)/).flatMap {
      $0.output.1.matches(of: /`([^`]+)`/).map { String($0.output.1) }
    }
    #expect(quoted.count > 15)
    for name in quoted { #expect(doctor.contains("\"\(name)\""), "\(name)") }
  }

  /// What Open MPI says in its code, where no text file can be compared.
  private static let inLibraries: Set<String> = [
    "Running as root is *strongly* discouraged as any mistake (e.g., in",
    "Primary job  terminated normally, but … returned",
    "Read -1, expected …, errno = 1", "PMIX ERROR: …",
    "The system limit on number of pipes a process can open was reached",
    "opal_ifinit: unable to find network interfaces.",
  ]

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/usr/share/openmpi"), "no Open MPI"))
  func messagesOfOpenMPIAreItsOwn() throws {
    let place = "/usr/share/openmpi"
    let texts = try FileManager.default.contentsOfDirectory(atPath: place)
      .filter { $0.hasPrefix("help-") }
      .compactMap { FileManager.default.contents(atPath: "\(place)/\($0)") }
      .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n")
    let section = try #require(Self.sections().first { $0.heading == "What mpirun says" })
    #expect(Self.inLibraries.isSubset(of: section.messages) && section.messages.count > 8)
    for message in section.messages where !Self.inLibraries.contains(message) {
      for part in Self.fixedParts(message) {
        #expect(texts.contains(part), "Open MPI does not say '\(part)'")
      }
    }
  }
}
