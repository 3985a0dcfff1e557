/// The reference of all keys as Markdown, made from the table that decodes them. It stands in
/// docs/configuration.md between two markers; a test holds both together.
package enum ConfigurationReference {
  package static let beginning = "<!-- Generated from the table of keys: begin -->"
  package static let end = "<!-- Generated from the table of keys: end -->"

  /// Everything between the markers, which are included.
  package static func markdown() -> String {
    [beginning, keys, resume, end].joined(separator: "\n\n") + "\n"
  }

  private static var keys: String {
    var blocks: [String] = []
    for section in orderedSections {
      let title = section.isEmpty ? "The run" : "`\(section)`"
      var lines = ["### \(title)", ""]
      lines += ["| key | value | unit | default | meaning |", "|---|---|---|---|---|"]
      for key in ConfigurationKey.all where key.section == section {
        let value = cell(key.form.expectation)
        lines.append(
          "| `\(key.path)` | \(value) | \(key.unit) | \(cell(key.defaultText)) | "
            + "\(cell(key.meaning)) |")
      }
      blocks.append(lines.joined(separator: "\n"))
    }
    return blocks.joined(separator: "\n\n")
  }

  private static var resume: String {
    var lines = [
      "### At a resume", "",
      "A run is resumed with the configuration that it began with. These keys may differ:", "",
      "| key | why |", "|---|---|",
    ]
    for key in ConfigurationKey.all {
      if case .free(let reason) = key.atResume { lines.append("| `\(key.path)` | \(reason) |") }
    }
    let fixed = ConfigurationKey.all.filter {
      if case .fixed = $0.atResume { return true }
      return false
    }
    lines += [
      "",
      "Ranks and threads stand on the command line and may differ too. All other keys decide the "
        + "weights or what they are measured on, and a resume with another value is refused by "
        + "name:",
      fixed.map { "`\($0.path)`" }.joined(separator: ", ") + ".",
    ]
    return lines.joined(separator: "\n")
  }

  private static var orderedSections: [String] {
    ConfigurationKey.all.reduce(into: []) { sections, key in
      if !sections.contains(key.section) { sections.append(key.section) }
    }
  }

  private static func cell(_ text: String) -> String {
    text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
  }
}
