/// What the program's SVG pictures share. Colours follow the reader's scheme, light or dark; nothing is
/// loaded from elsewhere.
struct Picture {
  var width: Double
  var height: Double
  /// Where title and subtitle begin.
  var left: Double
  /// For who cannot see it; plain text, as title and subtitle.
  var label: String
  var title: String
  var subtitle: String
  /// CSS rules beside the shared ones, a line each, and those that a dark scheme replaces.
  var rules: [String]
  var darkRules: [String]

  private static let rules = [
    "text { font: 13px system-ui, sans-serif; fill: #1f2328; }",
    ".title { font-size: 17px; font-weight: 600; }",
    ".small { font-size: 12px; fill: #59636e; }",
    ".paper { fill: #ffffff; }",
    ".grid { stroke: #d1d9e0; stroke-width: 1; }",
  ]
  private static let darkRules = [
    "text { fill: #f0f6fc; }", ".small { fill: #9198a1; }", ".paper { fill: #0d1117; }",
    ".grid { stroke: #2f353d; }",
  ]

  /// The whole picture around its parts.
  func svg(_ parts: [String]) -> String {
    let style =
      ["<style>"] + Self.rules + rules + ["@media (prefers-color-scheme: dark) {"]
      + (Self.darkRules + darkRules).map { "  " + $0 } + ["}", "</style>"]
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" \
      role="img" aria-label="\(Markup.escaped(label))">
      \(style.joined(separator: "\n"))
      <rect class="paper" width="\(Int(width))" height="\(Int(height))"/>
      <text class="title" x="\(Int(left))" y="26">\(Markup.escaped(title))</text>
      <text class="small" x="\(Int(left))" y="46">\(Markup.escaped(subtitle))</text>
      \(parts.joined(separator: "\n"))
      </svg>

      """
  }
}
