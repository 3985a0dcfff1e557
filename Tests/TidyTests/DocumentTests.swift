import Foundation
import Testing

/// The documents hang together.
struct DocumentTests {
  @Test func theDocumentsExist() {
    for path in [
      "docs/ARCHITECTURE.md", "docs/numerics.md", "docs/configuration.md", "docs/data.md",
      "docs/benchmarks/README.md", "docs/decisions/README.md",
    ] {
      #expect(Project.exists(path), "\(path)")
    }
  }

  @Test(arguments: Project.documents) func linksResolve(_ document: Project.File) {
    for link in Self.links(in: document.text) where !link.contains("://") {
      let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
      let file = String(parts[0])
      let path =
        file.isEmpty
        ? document.path : (document.directory.isEmpty ? file : "\(document.directory)/\(file)")
      #expect(Project.exists(path), "\(document): \(link)")
      if parts.count == 2, let target = Project.file(Self.normalised(path)) {
        #expect(Self.anchors(of: target.text).contains(String(parts[1])), "\(document): \(link)")
      }
    }
  }

  @Test func decisionsAreNumberedAndListed() throws {
    let decisions = Project.documents.filter {
      $0.directory == "docs/decisions" && !$0.path.hasSuffix("README.md")
    }
    let index = try #require(Project.file("docs/decisions/README.md")).text
    for (position, decision) in decisions.enumerated() {
      let name = String(decision.path.dropFirst("docs/decisions/".count))
      #expect(Int(name.prefix(4)) == position + 1, "\(decision)")
      #expect(index.contains("](\(name))"), "\(decision) is not in the list")
    }
  }

  /// Targets of `[text](target)`, those in code left out.
  private static func links(in text: String) -> [String] {
    var isCode = false
    return text.split(separator: "\n").flatMap { line -> [String] in
      if line.hasPrefix("```") { isCode.toggle() }
      if isCode { return [] }
      let pieces = line.split(separator: "](", omittingEmptySubsequences: false).dropFirst()
      return pieces.compactMap { $0.split(separator: ")").first.map(String.init) }
    }
  }

  /// Headings as the anchors that they get.
  private static func anchors(of text: String) -> Set<String> {
    Set(
      text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
        String(
          line.drop { $0 == "#" }.drop { $0 == " " }.lowercased()
            .map { $0 == " " ? "-" : $0 }
            .filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
      })
  }

  private static func normalised(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(part) }
    }
    return parts.joined(separator: "/")
  }
}
