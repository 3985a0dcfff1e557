import Testing

/// What the fault campaign says of the project.
struct CampaignTests {
  private static let sources = Project.sources.filter {
    $0.path.hasPrefix("Sources/fault-campaign/")
  }

  /// Rows that it leaves to other tests name them.
  @Test func testsThatHoldRowsExist() {
    let files = Self.sources.flatMap(\.lines).flatMap { line in
      line.split(separator: "\"").map(String.init).filter {
        $0.hasPrefix("Tests/") && $0.hasSuffix(".swift")
      }
    }
    #expect(files.count > 10)
    for file in files { #expect(Project.file(file) != nil, "\(file)") }
  }

  /// Rows 0 to 70, in the code and in the document.
  @Test func everyRowIsThere() throws {
    let text = Self.sources.map(\.text).joined()
      .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    for row in 0...70 {
      #expect(text.contains("Row( \(row), \"") || text.contains("Row(\(row), \""), "row \(row)")
    }
    let document = try #require(Project.file("docs/reliability.md")).lines
      .prefix { $0 != "<!-- campaign: begin -->" }.flatMap { numbers(ofRow: $0) }
    #expect(Set(document) == Set(0...70))
    #expect(document.count == 71)
  }

  /// `| 3, 4 | …`, `| 40–54, 58 | …`; none in other lines.
  private func numbers(ofRow line: Substring) -> [Int] {
    guard line.hasPrefix("| "), let cell = line.split(separator: "|").first else { return [] }
    return cell.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "–").compactMap { Int($0.filter { $0 != " " }) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }
}
