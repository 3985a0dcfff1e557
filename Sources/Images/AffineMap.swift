/// Where the nearest pixel of an affine move lies: for the pixel with its centre at (x, y) that
/// which holds the point (xx·x + xy·y + x0, yx·x + yy·y + y0).
///
/// As Pillow's `Image.transform(size, AFFINE, …, NEAREST)`: in fixed point with 16 bits behind the
/// point, or in Float64 where the image is so large that 15 bits before it are too few.
struct AffineMap: Equatable {
  var xx, xy, x0: Double
  var yx, yy, y0: Double

  /// Writes the moved image into `target`, of the same size, with zeros where it ends.
  func apply(to image: PixelBuffer, into target: PixelBuffer) {
    let fits =
      image.height < 1 << 15 && image.width < 1 << 15
      && [(0, 0), (image.width - 1, 0), (0, image.height - 1), (image.width - 1, image.height - 1)]
        .allSatisfy { x, y in
          abs(Double(x) * xx + Double(y) * xy + x0) < 32768
            && abs(Double(x) * yx + Double(y) * yy + y0) < 32768
        }
    guard fits else { return applyInFloat64(to: image, into: target) }
    switch image.channels {
    case 3: applyInFixedPoint(to: image, into: target, channels: 3)
    default: applyInFixedPoint(to: image, into: target, channels: 1)
    }
  }

  @inline(__always)
  private func applyInFixedPoint(to image: PixelBuffer, into target: PixelBuffer, channels: Int) {
    let (height, width, stride) = (image.height, image.width, image.stride)
    let (stepX, stepY) = (Self.fixed(xx), Self.fixed(yx))
    var startX = Self.fixed(x0 + xx * 0.5 + xy * 0.5)
    var startY = Self.fixed(y0 + yx * 0.5 + yy * 0.5)
    for row in 0..<height {
      let line = target.base + row * stride
      // Without a look at each pixel: those inside the image are neighbours.
      let inside = Self.columns(startX, stepX, below: width, of: width)
        .clamped(to: Self.columns(startY, stepY, below: height, of: width))
      line.update(repeating: 0, count: inside.lowerBound * channels)
      var x = startX + stepX * inside.lowerBound
      var y = startY + stepY * inside.lowerBound
      var pixel = line + inside.lowerBound * channels
      for _ in 0..<inside.count {
        let source = image.base + ((y >> 16) &* stride &+ (x >> 16) &* channels)
        if channels == 1 {
          pixel.pointee = source.pointee
        } else {
          // A byte too many: the next pixel's or row's, which follow, or of the buffer's slack.
          UnsafeMutableRawPointer(pixel).storeBytes(
            of: UnsafeRawPointer(source).loadUnaligned(as: UInt32.self), as: UInt32.self)
        }
        pixel += channels
        x &+= stepX
        y &+= stepY
      }
      pixel.update(repeating: 0, count: (width - inside.upperBound) * channels)
      startX += Self.fixed(xy)
      startY += Self.fixed(yy)
    }
  }

  /// The columns of `0..<count` in which start + column·step lies within 0..<size, in fixed point.
  private static func columns(
    _ start: Int, _ step: Int, below size: Int, of count: Int
  ) -> Range<Int> {
    let end = size << 16
    guard step != 0 else { return (0..<end).contains(start) ? 0..<count : 0..<0 }
    let (first, last) =
      step > 0
      ? (ceilingOfQuotient(-start, step), ceilingOfQuotient(end - start, step))
      : (ceilingOfQuotient(start - end + 1, -step), ceilingOfQuotient(start + 1, -step))
    let lower = min(max(first, 0), count)
    return lower..<min(max(last, lower), count)
  }

  private static func ceilingOfQuotient(_ value: Int, _ divisor: Int) -> Int {
    value > 0 ? (value - 1) / divisor + 1 : value / divisor
  }

  private static func fixed(_ value: Double) -> Int {
    Int((value * 65536 + 0.5).rounded(.down))
  }

  private func applyInFloat64(to image: PixelBuffer, into target: PixelBuffer) {
    let (height, width, channels) = (image.height, image.width, image.channels)
    var startX = x0 + xy * 0.5 + xx * 0.5
    var startY = y0 + yy * 0.5 + yx * 0.5
    var pixel = target.base
    for _ in 0..<height {
      var (x, y) = (startX, startY)
      for _ in 0..<width {
        if x >= 0, y >= 0, x < Double(width), y < Double(height) {
          let source = image.base + (Int(y) * width + Int(x)) * channels
          pixel.update(from: source, count: channels)
        } else {
          pixel.update(repeating: 0, count: channels)
        }
        pixel += channels
        x += xx
        y += yx
      }
      startX += xy
      startY += yy
    }
  }
}
