import Glibc

/// Where the pixels of a moved image come from.
enum Placement: Equatable {
  case affine(AffineMap)
  case translation(x: Int, y: Int)
  /// Quarters of a turn counter-clockwise: 1, 2 or 3.
  case turn(Int)

  /// torchvision's `affine` with a shear along the rows, about the upper left corner.
  static func shear(x slope: Double) -> Placement {
    .affine(AffineMap(xx: 1, xy: tan(angle(slope)), x0: 0, yx: 0, yy: 1, y0: 0))
  }

  /// torchvision's `affine` with a shear along the columns.
  static func shear(y slope: Double) -> Placement {
    let angle = angle(slope)
    return .affine(AffineMap(xx: 1, xy: 0, x0: 0, yx: sin(angle) / cos(angle), yy: 1, y0: 0))
  }

  /// To degrees and back, as torchvision hands angles over.
  private static func angle(_ slope: Double) -> Double {
    atan(slope) * (180 / .pi) * (.pi / 180)
  }

  /// Pillow's `Image.rotate`; nil where nothing moves.
  static func rotation(degrees: Double, height: Int, width: Int) -> Placement? {
    var turned = fmod(degrees, 360)
    if turned < 0 { turned += 360 }
    if turned == 0 { return nil }
    if turned == 180 { return .turn(2) }
    if turned == 90, height == width { return .turn(1) }
    if turned == 270, height == width { return .turn(3) }
    let angle = -(turned * (.pi / 180))
    let (cosine, sine) = (roundedTo15Digits(cos(angle)), roundedTo15Digits(sin(angle)))
    let (centreX, centreY) = (Double(width) / 2, Double(height) / 2)
    return .affine(
      AffineMap(
        xx: cosine, xy: sine, x0: cosine * -centreX + sine * -centreY + centreX,
        yx: -sine, yy: cosine, y0: -sine * -centreX + cosine * -centreY + centreY))
  }

  /// Writes the moved `image` into `target`, which becomes of its size.
  func apply(to image: PixelBuffer, into target: PixelBuffer) {
    target.reshape(height: image.height, width: image.width, channels: image.channels)
    switch self {
    case .affine(let map): map.apply(to: image, into: target)
    case .translation(let x, let y): Self.translate(image, x: x, y: y, into: target)
    case .turn(let quarters): Self.turn(image, quarters, into: target)
    }
  }

  private static func translate(_ image: PixelBuffer, x: Int, y: Int, into target: PixelBuffer) {
    let (height, width, stride) = (image.height, image.width, image.stride)
    let shift = min(max(x, -width), width) * image.channels
    let zeros = abs(shift)
    for row in 0..<height {
      let line = target.base + row * stride
      // In Int, which a sum of two such cannot leave.
      let from = row - min(max(y, -height), height)
      guard (0..<height).contains(from) else {
        line.update(repeating: 0, count: stride)
        continue
      }
      let source = image.base + from * stride
      (line + max(0, shift)).update(from: source + max(0, -shift), count: stride - zeros)
      (shift > 0 ? line : line + stride - zeros).update(repeating: 0, count: zeros)
    }
  }

  /// Quarter turns of a square image, half turns of any.
  private static func turn(_ image: PixelBuffer, _ quarters: Int, into target: PixelBuffer) {
    let (height, width, channels) = (image.height, image.width, image.channels)
    var pixel = target.base
    for y in 0..<height {
      for x in 0..<width {
        let (row, column) =
          switch quarters {
          case 1: (x, width - 1 - y)
          case 2: (height - 1 - y, width - 1 - x)
          default: (height - 1 - x, y)
          }
        pixel.update(from: image.base + (row * width + column) * channels, count: channels)
        pixel += channels
      }
    }
  }
}

/// To 15 digits behind the point, halves to even, as Python's `round(value, 15)` does it in decimal
/// digits, for values in -1...1.
func roundedTo15Digits(_ value: Double) -> Double {
  let product = value * 1e15
  // product + error is the exact product; below 2⁵⁰ the error decides only at halves.
  let error = (-product).addingProduct(value, 1e15)
  var digits = product.rounded(.toNearestOrEven)
  let rest = product - digits
  if rest == 0.5, error > 0 { digits += 1 }
  if rest == -0.5, error < 0 { digits -= 1 }
  return digits / 1e15
}
