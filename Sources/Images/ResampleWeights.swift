/// What one axis of a resize adds up: for every pixel of the result the first pixel of the source
/// that counts, and the weights of those from it on.
///
/// The triangle filter, as wide as a step of the result where it reduces: Pillow's BILINEAR, which
/// is antialiased. Weights are computed in Float64, scaled to a sum of 1, and kept as integers in
/// units of 2⁻²², as Pillow keeps those of 8-bit images, so that results are equal to the bit.
///
/// Its memory is used again; the table of the last sizes is kept.
struct ResampleWeights {
  /// Bits behind the point: 32 less 8 of a pixel, a sign, and one to spare.
  static let precision: Int32 = 22
  /// A sum of weighted pixels begins with it: one half.
  static let half: Int32 = 1 << (precision - 1)

  /// Weights of every pixel of the result; the same count for all, with zeros where fewer count.
  private(set) var taps = 0
  private var sourceSize = 0
  private var targetSize = 0
  private var window = 0..<0
  private var starts: [Int] = []
  private var weights: [Int32] = []

  /// Pixels of the result in the table.
  var count: Int { window.count }

  /// The rows or columns of the source that the window's pixels are made from.
  var needed: Range<Int> {
    guard let first = starts.first else { return 0..<0 }
    return first..<starts[window.count - 1] + taps
  }

  /// Fills the table for those pixels of `targetSize` that lie in `window`.
  ///
  /// Sizes in 1...2²⁴.
  mutating func prepare(sourceSize: Int, targetSize: Int, window: Range<Int>) {
    if (self.sourceSize, self.targetSize) == (sourceSize, targetSize), self.window == window {
      return
    }
    (self.sourceSize, self.targetSize, self.window) = (sourceSize, targetSize, window)
    let filter = Filter(sourceSize: sourceSize, targetSize: targetSize)
    taps = window.reduce(1) { max($0, filter.sources(of: $1).count) }
    if starts.count < window.count {
      starts += repeatElement(0, count: window.count - starts.count)
    }
    if weights.count < window.count * taps {
      weights += repeatElement(0, count: window.count * taps - weights.count)
    }
    for (place, index) in window.enumerated() {
      // Where the image's end cuts the filter, it begins earlier, with zeros, and stays inside.
      let sources = filter.sources(of: index)
      let start = min(sources.lowerBound, sourceSize - taps)
      starts[place] = start
      weights.withUnsafeMutableBufferPointer { weights in
        let own = UnsafeMutableBufferPointer(rebasing: weights[place * taps..<(place + 1) * taps])
        own.update(repeating: 0)
        filter.weigh(
          sources, for: index,
          UnsafeMutableBufferPointer(rebasing: own[(sources.lowerBound - start)...]))
      }
    }
  }

  /// Lends first pixels and weights, `taps` for each pixel of the window.
  func withTables<Result>(
    _ body: (UnsafePointer<Int>, UnsafePointer<Int32>) -> Result
  ) -> Result {
    starts.withUnsafeBufferPointer { starts in
      weights.withUnsafeBufferPointer { weights in
        guard let starts = starts.baseAddress, let weights = weights.baseAddress else {
          fatalError("a resize without weights")
        }
        return body(starts, weights)
      }
    }
  }
}

/// The triangle over one axis.
private struct Filter {
  private let sourceSize: Int
  private let step: Double
  /// Half of the triangle's width, in pixels of the source.
  private let support: Double
  private let scale: Double

  init(sourceSize: Int, targetSize: Int) {
    self.sourceSize = sourceSize
    step = Double(sourceSize) / Double(targetSize)
    support = max(step, 1)
    scale = 1 / support
  }

  /// The pixels of the source that count for one of the result.
  func sources(of index: Int) -> Range<Int> {
    let centre = (Double(index) + 0.5) * step
    let lower = max(0, Int(centre - support + 0.5))
    return lower..<min(sourceSize, Int(centre + support + 0.5))
  }

  /// Writes their weights.
  func weigh(_ sources: Range<Int>, for index: Int, _ weights: UnsafeMutableBufferPointer<Int32>) {
    let centre = (Double(index) + 0.5) * step
    var sum = 0.0
    for source in sources { sum += weight(source, centre) }
    guard sum != 0 else { return }
    for (tap, source) in sources.enumerated() {
      let share = weight(source, centre) / sum
      weights[tap] = Int32(0.5 + share * Double(1 << ResampleWeights.precision))
    }
  }

  private func weight(_ source: Int, _ centre: Double) -> Double {
    max(0, 1 - abs((Double(source) - centre + 0.5) * scale))
  }
}
