import Glibc
import Reporting
import RunPlanning

/// Predictions of one configuration for several numbers of ranks as an SVG: images a second beside what
/// they would be if every rank did as the first number's, and below it where the time of a step goes.
///
/// Colours follow the reader's scheme, light or dark; nothing is loaded from elsewhere.
package struct ScalingPicture {
  private let predictions: [RunPrediction]
  private let title: String
  private let subtitle: String

  /// - Parameter predictions: at least one, by rising ranks.
  package init(_ predictions: [RunPrediction], title: String, subtitle: String) {
    precondition(!predictions.isEmpty, "a picture of something")
    self.predictions = predictions
    self.title = title
    self.subtitle = subtitle
  }

  private static let (width, height) = (960.0, 700.0)
  private static let (left, right) = (78.0, 930.0)
  /// Of the curve and of the bars.
  private static let (top, middle) = (70.0, 390.0)
  private static let (barTop, bottom) = (440.0, 620.0)

  // MARK: Scales

  private var ideal: [Double] {
    let first = predictions[0]
    return predictions.map {
      first.imagesPerSecond * Double($0.ranks) / Double(first.ranks)
    }
  }

  private var rates: ClosedRange<Double> {
    let values = predictions.map(\.imagesPerSecond) + ideal
    let (low, high) = (values.min() ?? 1, values.max() ?? 1)
    let first = pow(10, floor(log10(low)))
    return first...max(first * 10, pow(10, ceil(log10(high * 1.01))))
  }

  /// Places side by side, the same for curve and bars.
  private var step: Double { (Self.right - Self.left) / Double(predictions.count) }
  private func x(_ index: Int) -> Double { Self.left + (Double(index) + 0.5) * step }

  private func y(_ rate: Double) -> Double {
    let share = log10(rate / rates.lowerBound) / log10(rates.upperBound / rates.lowerBound)
    return Self.middle - share * (Self.middle - Self.top)
  }

  // MARK: Parts

  /// The whole picture.
  package func svg() -> String {
    Picture(
      width: Self.width, height: Self.height, left: Self.left, label: "Predicted scaling: \(title)",
      title: title,
      subtitle: subtitle, rules: Self.rules, darkRules: Self.darkRules
    ).svg(grid + curves + bars + legend)
  }

  private static let rules = [
    ".ideal { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }",
    ".curve { stroke: #0969da; stroke-width: 2.5; fill: none; }",
    ".images { fill: #0969da; }",
    ".weights { fill: #8250df; }",
    ".waiting { fill: #9a6700; }",
    ".statistics { fill: #bf3989; }",
    ".gradients { fill: #1a7f37; }",
  ]
  private static let darkRules = [
    ".ideal { stroke: #9198a1; }",
    ".curve { stroke: #58a6ff; }",
    ".images { fill: #58a6ff; }",
    ".weights { fill: #bc8cff; }",
    ".waiting { fill: #d29922; }",
    ".statistics { fill: #f778ba; }",
    ".gradients { fill: #3fb950; }",
  ]

  private var grid: [String] {
    var lines: [String] = []
    for decade in sequence(first: rates.lowerBound, next: { $0 * 10 })
      .prefix(while: { $0 <= rates.upperBound * 1.01 })
    {
      lines.append(Self.line(y(decade), Self.tick(decade)))
    }
    for share in [0.0, 0.5, 1.0] {
      let place = Self.bottom - share * (Self.bottom - Self.barTop)
      lines.append(Self.line(place, Quantity.fixed(share * 100, decimals: 0) + " %"))
    }
    for (index, prediction) in predictions.enumerated() {
      for place in [Self.middle + 18, Self.bottom + 18] {
        lines.append(
          "<text x=\"\(Self.number(x(index)))\" y=\"\(Self.number(place))\" "
            + "text-anchor=\"middle\">\(Quantity.count(prediction.ranks))</text>")
      }
    }
    let label = "<text x=\"\(Int(Self.left) - 8)\" text-anchor=\"end\" y="
    return lines + [
      "\(label)\"\(Int(Self.top) - 12)\">images/s</text>",
      "\(label)\"\(Int(Self.middle) + 18)\">ranks</text>",
      "\(label)\"\(Int(Self.barTop) - 12)\">of a step</text>",
      "\(label)\"\(Int(Self.bottom) + 18)\">ranks</text>",
    ]
  }

  private var curves: [String] {
    func path(_ style: String, _ values: [Double]) -> String {
      let points = values.enumerated().map {
        "\(Self.number(x($0))) \(Self.number(y($1)))"
      }
      return "<path class=\"\(style)\" d=\"M\(points.joined(separator: "L"))\"/>"
    }
    let rates = predictions.map(\.imagesPerSecond)
    return [path("ideal", ideal), path("curve", rates)]
      + rates.enumerated().map { index, rate in
        "<circle class=\"images\" cx=\"\(Self.number(x(index)))\" cy=\"\(Self.number(y(rate)))\" "
          + "r=\"4\"/><text x=\"\(Self.number(x(index) + 6))\" y=\"\(Self.number(y(rate) + 17))\">"
          + "\(Self.tick(rate))</text>"
      }
  }

  private var bars: [String] {
    predictions.enumerated().flatMap { index, prediction in
      var place = Self.bottom
      return StepPrediction.Limit.allCases.map { part in
        let share = prediction.step[part] / prediction.step.seconds
        let height = share * (Self.bottom - Self.barTop)
        place -= height
        return "<rect class=\"\(part.rawValue)\" x=\"\(Self.number(x(index) - 0.3 * step))\" "
          + "y=\"\(Self.number(place))\" width=\"\(Self.number(0.6 * step))\" "
          + "height=\"\(Self.number(height))\"/>"
      }
    }
  }

  private var legend: [String] {
    let names = [
      ("images", "work on images"), ("weights", "work on weights, of every rank"),
      ("waiting", "waiting for the slowest"), ("statistics", "statistics"),
      ("gradients", "gradients"),
    ]
    var place = Self.left
    let height = Int(Self.bottom) + 52
    return names.map { style, name in
      defer { place += 32 + 6.9 * Double(name.count) }
      return "<rect class=\"\(style)\" x=\"\(Self.number(place))\" y=\"\(height - 10)\" "
        + "width=\"11\" height=\"11\"/><text x=\"\(Self.number(place + 17))\" y=\"\(height)\">"
        + "\(name)</text>"
    }
  }

  private static func line(_ place: Double, _ label: String) -> String {
    "<path class=\"grid\" d=\"M\(Int(left)) \(number(place))H\(Int(right))\"/>"
      + "<text x=\"\(Int(left) - 8)\" y=\"\(number(place + 4))\" text-anchor=\"end\">"
      + "\(label)</text>"
  }

  private static func number(_ value: Double) -> String { Quantity.fixed(value, decimals: 1) }

  private static func tick(_ value: Double) -> String {
    value >= 100
      ? Quantity.count(Int(min(value, 1e15).rounded()))
      : Quantity.fixed(value, decimals: value < 1 ? 2 : value < 10 ? 1 : 0)
  }
}
