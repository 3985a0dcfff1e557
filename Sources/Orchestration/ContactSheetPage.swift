import Foundation
import ImageData

/// A contact sheet as a page: every image with what is known of it below, in one file that loads
/// nothing from elsewhere. Colours follow the reader's scheme, light or dark.
package struct ContactSheetPage {
  private let outcome: DataPreview.Outcome
  private let title: String

  package init(_ outcome: DataPreview.Outcome, title: String) {
    self.outcome = outcome
    self.title = title
  }

  private static let start = "<!doctype html>\n<meta charset=\"utf-8\">\n"
  private static let mark = "<meta name=\"generator\" content=\"\(ContactSheet.maker)\">\n"

  /// Whether a file that begins with these bytes is a page that this program made.
  package static func isOwn(_ beginning: [UInt8]) -> Bool {
    beginning.starts(with: (start + mark).utf8)
  }

  package func html() throws -> String {
    let figures = try outcome.images.map(figure).joined(separator: "\n")
    return """
      \(Self.start)\(Self.mark)<meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(Markup.escaped(title))</title>
      <style>
      :root { color-scheme: light dark; }
      body { font: 13px system-ui, sans-serif; margin: 16px; }
      h1 { font-size: 17px; }
      main { display: grid; gap: 16px 12px; justify-content: start; align-items: start;
        grid-template-columns: repeat(\(outcome.sheet.columns), max-content); }
      figure { margin: 0; }
      img { display: block; image-rendering: pixelated; }
      figcaption { width: 0; min-width: max(100%, 120px); overflow-wrap: anywhere; margin-top: 4px; }
      small { opacity: 0.7; }
      </style>
      <h1>\(Markup.escaped(title))</h1>
      <main>
      \(figures)
      </main>

      """
  }

  private func figure(_ image: SeenSample) throws -> String {
    let png = try ContactSheet(columns: 1).png([image])
    let (size, zoom) = (image.size, outcome.sheet.zoom)
    var lines = ["<b>\(Markup.escaped(outcome.name(ofClass: image.label)))</b>"]
    if let mixture = image.mixture {
      lines.append(Markup.escaped(outcome.text(of: mixture)))
    }
    lines.append(
      "<small>\(image.sample), epoch \(image.epoch)<br>\(Markup.escaped(image.name))</small>")
    return "<figure><img width=\"\(size.width * zoom)\" height=\"\(size.height * zoom)\" "
      + "alt=\"sample \(image.sample)\" "
      + "src=\"data:image/png;base64,\(Data(png).base64EncodedString())\">"
      + "<figcaption>\(lines.joined(separator: "<br>"))</figcaption></figure>"
  }
}
