import Glibc
import Reporting
import RunPlanning

/// The roofline of a kernels' benchmark as an SVG: operations per byte against GFLOP/s, both
/// logarithmic; what the memory and the multiply-add units allow as lines, every pass of every layer
/// as a point. (Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model",
/// CACM 52, 2009.)
///
/// Colours follow the reader's scheme, light or dark; nothing is loaded from elsewhere.
package struct RooflinePicture {
  private let report: KernelBenchmark.Report
  private let title: String
  private let threads: Int

  package init(_ report: KernelBenchmark.Report, title: String, threads: Int) {
    self.report = report
    self.title = title
    self.threads = threads
  }

  private static let (width, height) = (960.0, 620.0)
  private static let (left, right, top, bottom) = (70.0, 930.0, 64.0, 520.0)

  private struct Point {
    var x: Double
    var y: Double
    var layer: KernelBenchmark.Layer
  }

  private var peak: Double { report.roof.fmaGigaflops * Double(threads) }
  private var points: [KernelBenchmark.Layer] { report.layers.filter { $0.operations > 0 } }

  /// Axes from whole powers of two and of ten around all points and the roof.
  private var intensities: ClosedRange<Double> {
    let values = points.map(\.intensity) + [peak * 1e9 / report.roof.readRate]
    return powers(of: 2, around: values)
  }

  private var rates: ClosedRange<Double> {
    powers(of: 10, around: points.map(\.gigaflops) + [peak])
  }

  private func powers(of base: Double, around values: [Double]) -> ClosedRange<Double> {
    let (low, high) = (values.min() ?? 1, values.max() ?? 1)
    let first = floor(log(low * 0.8) / log(base))
    return pow(base, first)...pow(base, max(first + 1, ceil(log(high * 1.2) / log(base))))
  }

  private func x(_ intensity: Double) -> Double {
    let range = intensities
    let share = log(intensity / range.lowerBound) / log(range.upperBound / range.lowerBound)
    return Self.left + share * (Self.right - Self.left)
  }

  private func y(_ rate: Double) -> Double {
    let range = rates
    let share = log(rate / range.lowerBound) / log(range.upperBound / range.lowerBound)
    return Self.bottom - share * (Self.bottom - Self.top)
  }

  /// The whole picture.
  package func svg() -> String {
    Picture(
      width: Self.width, height: Self.height, left: Self.left, label: "Roofline: \(title)",
      title: title,
      subtitle:
        "Operations as if every convolution were direct; bytes of the tensors, each once. Above the "
        + "roof: Winograd.", rules: Self.rules, darkRules: Self.darkRules
    ).svg(grid + roofs + marks + legend)
  }

  private static let rules = [
    ".label { font-size: 11px; }",
    ".roof { stroke: #1f2328; stroke-width: 2; fill: none; }",
    ".winograd4 { fill: #0969da; }",
    ".winograd5 { fill: #bf3989; }",
    ".direct { fill: #bc4c00; }",
    ".pointwise { fill: #1a7f37; }",
    ".stem { fill: #8250df; }",
    ".neutral { fill: #59636e; }",
    ".mark { stroke: #ffffff; stroke-width: 1; }",
  ]
  private static let darkRules = [
    ".roof { stroke: #f0f6fc; }",
    ".winograd4 { fill: #58a6ff; }",
    ".winograd5 { fill: #f778ba; }",
    ".direct { fill: #f0883e; }",
    ".pointwise { fill: #3fb950; }",
    ".stem { fill: #bc8cff; }",
    ".neutral { fill: #9198a1; }",
    ".mark { stroke: #0d1117; }",
  ]

  // MARK: Axes and roofs

  private var grid: [String] {
    var lines: [String] = []
    for value in sequence(first: intensities.lowerBound, next: { $0 * 2 })
      .prefix(while: { $0 <= intensities.upperBound * 1.01 })
    {
      let place = Self.number(x(value))
      lines.append(
        "<path class=\"grid\" d=\"M\(place) \(Self.top)V\(Self.bottom)\"/>"
          + "<text x=\"\(place)\" y=\"\(Self.bottom + 18)\" text-anchor=\"middle\">"
          + "\(Self.tick(value))</text>")
    }
    for decade in sequence(first: rates.lowerBound, next: { $0 * 10 })
      .prefix(while: { $0 <= rates.upperBound * 1.01 })
    {
      for value in [decade, 2 * decade, 5 * decade] where value <= rates.upperBound * 1.01 {
        let place = Self.number(y(value))
        lines.append(
          "<path class=\"grid\" d=\"M\(Self.left) \(place)H\(Self.right)\"/>"
            + "<text x=\"\(Self.left - 8)\" y=\"\(Self.number(y(value) + 4))\" "
            + "text-anchor=\"end\">\(Self.tick(value))</text>")
      }
    }
    let middle = (Self.left + Self.right) / 2
    return lines + [
      "<text x=\"\(middle)\" y=\"\(Self.bottom + 38)\" text-anchor=\"middle\">"
        + "operations per byte</text>",
      "<text x=\"\(Self.left - 8)\" y=\"\(Self.top - 14)\" text-anchor=\"end\">GFLOP/s</text>",
    ]
  }

  private var roofs: [String] {
    let memory = report.roof.readRate / 1e9
    let ridge = peak / memory
    let start = max(intensities.lowerBound, rates.lowerBound / memory)
    let sloped = start < ridge
    let (x0, y0) = (Self.number(x(start)), Self.number(y(min(peak, memory * start))))
    let (x1, y1) = (Self.number(x(max(ridge, start))), Self.number(y(peak)))
    var lines = [
      "<path class=\"roof\" d=\"M\(x0) \(y0)\(sloped ? "L\(x1) \(y1)" : "")H\(Self.right)\"/>",
      "<text x=\"\(Self.right - 4)\" y=\"\(Self.number(y(peak) - 7))\" text-anchor=\"end\">"
        + "direct convolution: multiply-add peak, \(Self.tick(peak)) GFLOP/s</text>",
    ]
    if sloped {
      let (rise, run) = (y(memory * start) - y(peak), x(ridge) - x(start))
      let place = "\(Self.number(x(start) + 12)) \(Self.number(y(memory * start) - 7))"
      lines.append(
        "<text transform=\"translate(\(place)) rotate(\(Self.number(-atan2(rise, run) * 180 / .pi)))"
          + " translate(0 -7)\">memory, \(Self.tick(memory)) GB/s</text>")
    }
    return lines
  }

  // MARK: Points

  private var marks: [String] {
    let points = points.map { Point(x: x($0.intensity), y: y($0.gigaflops), layer: $0) }
    var taken = points.map { Box(x: $0.x - 5, y: $0.y - 5, width: 10, height: 10) }
    return points.map { point in
      let mark = Self.mark(point.layer.pass, Self.kind(of: point.layer).style, point.x, point.y)
      let name = Self.label(point.layer)
      guard let box = Self.place(name, beside: point, avoiding: taken) else { return mark }
      taken.append(box)
      return mark
        + "<text class=\"label\" x=\"\(Self.number(box.x))\" y=\"\(Self.number(box.y + 9))\">"
        + "\(Markup.escaped(name))</text>"
    }
  }

  /// `1.0` for stage 1's first block, `stem` for stage 0.
  private static func label(_ layer: KernelBenchmark.Layer) -> String {
    layer.name.hasPrefix("stage0") ? "stem" : String(layer.name.drop { !$0.isNumber })
  }

  private struct Box {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    func overlaps(_ other: Box) -> Bool {
      x < other.x + other.width && other.x < x + width && y < other.y + other.height
        && other.y < y + height
    }
  }

  /// The nearest place beside a point where a label covers nothing; none where all is full.
  private static func place(_ name: String, beside point: Point, avoiding taken: [Box]) -> Box? {
    let width = 6.2 * Double(name.count)
    for distance in [7.0, 13.0, 20.0] {
      for (dx, dy) in [
        (distance, -6.0), (-distance - width, -6), (-width / 2, -distance - 11),
        (-width / 2, distance), (distance, -distance - 6), (distance, distance - 4),
        (-distance - width, -distance - 6), (-distance - width, distance - 4),
      ] {
        let box = Box(x: point.x + dx, y: point.y + dy, width: width, height: 11)
        if !taken.contains(where: box.overlaps) { return box }
      }
    }
    return nil
  }

  private static func mark(
    _ pass: KernelBenchmark.Pass, _ style: String, _ x: Double, _ y: Double
  ) -> String {
    switch pass {
    case .forward:
      "<circle class=\"mark \(style)\" cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"5\"/>"
    default:
      "<path class=\"mark \(style)\" d=\"M\(number(x)) \(number(y - 6.5))l6.5 6.5l-6.5 6.5"
        + "l-6.5 -6.5z\"/>"
    }
  }

  private static let kinds = [
    ("winograd4", "3x3, Winograd F(4x4)"), ("winograd5", "3x3, Winograd F(5x5)"),
    ("direct", "3x3, direct"), ("pointwise", "1x1, direct"),
    ("stem", "stem, recomputed"),
  ]

  private static func kind(of layer: KernelBenchmark.Layer) -> (style: String, name: String) {
    switch layer.path {
    case .winograd4: kinds[0]
    case .winograd5: kinds[1]
    case .direct: layer.kernel == 3 ? kinds[2] : kinds[3]
    case .recomputed: kinds[4]
    }
  }

  private var legend: [String] {
    let present = Set(points.map { Self.kind(of: $0).style })
    var place = Self.left
    var entries: [String] = []
    let height = Self.bottom + 68
    for (style, name) in Self.kinds where present.contains(style) {
      entries.append(
        "<rect class=\"\(style)\" x=\"\(Self.number(place))\" y=\"\(height - 10)\" width=\"11\" "
          + "height=\"11\"/><text x=\"\(Self.number(place + 17))\" y=\"\(height)\">\(name)</text>")
      place += 30 + 6.7 * Double(name.count)
    }
    for (pass, name) in [(KernelBenchmark.Pass.forward, "forward"), (.backward, "backward")] {
      entries.append(
        Self.mark(pass, "neutral", place + 5, height - 4)
          + "<text x=\"\(Self.number(place + 17))\" y=\"\(height)\">\(name)</text>")
      place += 30 + 6.7 * Double(name.count)
    }
    return entries + [
      "<text class=\"small\" x=\"\(Int(Self.left))\" y=\"\(height + 22)\">Labels: stage and block; "
        + "a label stands for every block of that shape.</text>"
    ]
  }

  // MARK: Numbers and text

  private static func number(_ value: Double) -> String { Quantity.fixed(value, decimals: 1) }

  private static func tick(_ value: Double) -> String {
    Quantity.fixed(
      value, decimals: value >= 10 || value == value.rounded() ? 0 : value >= 1 ? 1 : 2)
  }
}
