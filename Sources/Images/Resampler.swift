/// Resizes images of bytes to the very values of Pillow's `Image.resize(…, BILINEAR)`, which
/// torchvision's transforms of PIL images use.
///
/// Two passes with integer weights (`ResampleWeights`), along the rows and along the columns, the
/// first rounded to bytes, so that their order shows: as in Pillow 13, the columns come first where
/// the height loses more than twice the pixels that the width loses. Earlier versions begin with
/// the rows; about a fifth of such an image's values then differ, by 1. The triangle filter widens
/// where it reduces, so the result is antialiased.
///
/// Holds tables and memory between images, for one thread: an image of the last sizes allocates
/// nothing, one of other sizes only what is larger than before.
package final class Resampler {
  /// Of the source: counts up to it are exact in Pillow's Float32 boxes.
  package static let largestSide = 1 << 24
  /// Of the result, of which a window may be a small part.
  package static let largestTargetSide = 1 << 40

  private var columns = ResampleWeights()
  private var rows = ResampleWeights()
  /// What the first pass has made for the second.
  private let between = PixelBuffer()
  private let unpadded = PixelBuffer()

  package init() {}

  /// Bytes of its memory between images, but for the tables, which are small.
  package var residentBytes: Int { between.residentBytes + unpadded.residentBytes }

  /// Resizes a part of `source` to `height` x `width` pixels.
  ///
  /// - Parameters:
  ///   - source: 1 or 3 channels; another buffer than `target`.
  ///   - region: what is resized, as if cut out first (torchvision's `resized_crop`): nothing
  ///     beyond its edges counts. All of `source` if nil.
  ///   - window: the pixels of the result that are wanted; all if nil.
  ///   - flipped: whether to mirror what is written, left to right.
  ///   - target: becomes the window's size.
  package func resize(
    _ source: PixelBuffer, region: PixelRegion? = nil, height: Int, width: Int,
    window: PixelRegion? = nil, flipped: Bool = false, into target: PixelBuffer
  ) {
    let region = region ?? source.whole
    let window = window ?? PixelRegion(top: 0, left: 0, height: height, width: width)
    let sizes = 1...Self.largestTargetSide
    guard source !== target, source.channels == 1 || source.channels == 3,
      sizes.contains(height), sizes.contains(width), source.height <= Self.largestSide,
      source.width <= Self.largestSide, region.isInside(height: source.height, width: source.width),
      window.isInside(height: height, width: width)
    else { fatalError("a resize of sizes that do not fit") }

    columns.prepare(
      sourceSize: region.width, targetSize: width,
      window: window.left..<window.left + window.width)
    rows.prepare(
      sourceSize: region.height, targetSize: height,
      window: window.top..<window.top + window.height)
    target.reshape(height: window.height, width: window.width, channels: source.channels)
    let isHorizontal = region.width != width || flipped
    let isVertical = region.height != height
    let isTall = region.height - height > max(0, 2 * (region.width - width))

    // The first pixel of the region, in the first row that counts.
    let stride = source.stride
    let start = UnsafePointer(source.base) + region.left * source.channels
    let first = start + (region.top + rows.needed.lowerBound) * stride
    guard isHorizontal else {
      return runVertically(
        first + window.left * source.channels, stride, into: target.base, target.stride,
        count: target.stride)
    }
    let pass = HorizontalPass(channels: source.channels, columns: window.width, flipped: flipped)
    if !isVertical {
      pass.run(
        columns, first, stride, into: target.base, target.stride, rowCount: window.height)
    } else if isTall {
      let needed = columns.needed
      let count = needed.count * source.channels
      between.reshape(height: window.height, width: count, channels: 1)
      runVertically(
        first + needed.lowerBound * source.channels, stride, into: between.base, count,
        count: count)
      pass.run(
        columns, startingAt: needed.lowerBound, between.base, count, into: target.base,
        target.stride, rowCount: window.height)
    } else {
      between.reshape(height: rows.needed.count, width: target.stride, channels: 1)
      pass.run(
        columns, first, stride, into: between.base, target.stride, rowCount: rows.needed.count)
      runVertically(
        between.base, target.stride, into: target.base, target.stride, count: target.stride)
    }
  }

  /// Makes all rows of the window, `count` bytes each; `source` is the first row that counts.
  private func runVertically(
    _ source: UnsafePointer<UInt8>, _ stride: Int, into target: UnsafeMutablePointer<UInt8>,
    _ targetStride: Int, count: Int
  ) {
    let first = rows.needed.lowerBound
    rows.withTables { starts, weights in
      for row in 0..<rows.count {
        combineRows(
          source + (starts[row] - first) * stride, stride, weights + row * rows.taps,
          taps: rows.taps, count: count, into: target + row * targetStride)
      }
    }
  }

  /// torchvision's `Resize(side)` and `CenterCrop((height, width))`, without the pixels in between
  /// that the crop drops: an image of one column costs no more than others.
  ///
  /// `side` in 1...65536.
  package func resizeShorterSide(
    _ source: PixelBuffer, to side: Int, croppingCentreTo height: Int, _ width: Int,
    into target: PixelBuffer
  ) {
    let size = sizeWithShorterSide(side, height: source.height, width: source.width)
    let top = centreOffset(of: height, in: size.height)
    let left = centreOffset(of: width, in: size.width)
    let window = PixelRegion(
      top: max(0, top), left: max(0, left), height: min(height, size.height),
      width: min(width, size.width))
    let isPadded = window.height < height || window.width < width
    resize(
      source, height: size.height, width: size.width, window: window,
      into: isPadded ? unpadded : target)
    if isPadded { cropCentre(unpadded, height: height, width: width, into: target) }
  }
}
