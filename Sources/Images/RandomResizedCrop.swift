import Glibc

/// Which part of an image a training step sees: a part of random area and aspect ratio at a random
/// place (torchvision's `RandomResizedCrop`).
///
/// Source: Szegedy et al., "Going Deeper with Convolutions", 2015 (arXiv:1409.4842), section 6.
package struct RandomResizedCrop: Sendable, Equatable {
  /// The part's area, in areas of the image.
  package var scale: ClosedRange<Double>
  /// Width over height, uniform on a logarithmic scale; above 0.
  package var ratio: ClosedRange<Double>

  private static let attempts = 10

  package init(
    scale: ClosedRange<Double> = 0.08...1, ratio: ClosedRange<Double> = 3.0 / 4...4.0 / 3
  ) {
    precondition(scale.lowerBound >= 0 && ratio.lowerBound > 0, "a crop of no or negative size")
    (self.scale, self.ratio) = (scale, ratio)
  }

  /// Draws a part of an image of `height` x `width` pixels.
  ///
  /// Up to ten times two uniform numbers, for area and ratio, until the part fits; then two
  /// integers, for its top and left edge. When none fits, the largest part in the middle whose ratio
  /// is allowed.
  package func region(
    height: Int, width: Int, using random: inout some RandomNumbers
  ) -> PixelRegion {
    let (lowest, highest) = (log(ratio.lowerBound), log(ratio.upperBound))
    for _ in 0..<Self.attempts {
      let share = scale.lowerBound + random.uniformDouble() * (scale.upperBound - scale.lowerBound)
      let area = Double(height * width) * share
      let aspect = exp(lowest + random.uniformDouble() * (highest - lowest))
      let (wide, high) = (
        rounded((area * aspect).squareRoot()), rounded((area / aspect).squareRoot())
      )
      guard wide >= 1, high >= 1, wide <= Double(width), high <= Double(height) else { continue }
      let top = random.next(below: height - Int(high) + 1)
      let left = random.next(below: width - Int(wide) + 1)
      return PixelRegion(top: top, left: left, height: Int(high), width: Int(wide))
    }
    return middle(height: height, width: width)
  }

  private func middle(height: Int, width: Int) -> PixelRegion {
    let aspect = Double(width) / Double(height)
    var (wide, high) = (width, height)
    if aspect < ratio.lowerBound {
      high = Int(min(Double(height), max(1, rounded(Double(width) / ratio.lowerBound))))
    } else if aspect > ratio.upperBound {
      wide = Int(min(Double(width), max(1, rounded(Double(height) * ratio.upperBound))))
    }
    return PixelRegion(
      top: (height - high) / 2, left: (width - wide) / 2, height: high, width: wide)
  }

  /// Halves to even, as Python's `round`.
  private func rounded(_ value: Double) -> Double { value.rounded(.toNearestOrEven) }
}
