/// What an augmentation policy does to an image: torchvision's operations on PIL images, to the bit.
///
/// Geometric ones take the nearest pixel, and black where the image ends. Source of each: the
/// functions of torchvision's `transforms.functional` and Pillow's `ImageEnhance`, `ImageOps` and
/// `Image.transform` as they behave.
package enum ImageOperation: Sendable, Equatable {
  case identity
  /// Rows slide: by so many columns a row.
  case shearX(Double)
  /// Columns slide: by so many rows a column.
  case shearY(Double)
  /// Columns to the right.
  case translateX(Int)
  /// Rows down.
  case translateY(Int)
  /// Degrees counter-clockwise about the centre.
  case rotate(Double)
  /// A mix of black and the image: 1 is the image, less is nearer to black, more is beyond.
  case brightness(Double)
  /// A mix of the image in grey and the image.
  case color(Double)
  /// A mix of its mean grey and the image.
  case contrast(Double)
  /// A mix of the smoothed image and the image.
  case sharpness(Double)
  /// Keeps so many of the highest bits, 1...8.
  case posterize(Int)
  /// Inverts values from the threshold on.
  case solarize(Double)
  /// Stretches each channel's values to 0...255.
  case autoContrast
  /// Spreads each channel's values evenly.
  case equalize
  case invert

  /// Replaces `image`, of 1 or 3 channels.
  ///
  /// `scratch` is another buffer of any size; the two may come back exchanged.
  package func apply(to image: inout PixelBuffer, scratch: inout PixelBuffer) {
    guard image !== scratch, image.channels == 1 || image.channels == 3 else {
      fatalError("an operation on an image of neither 1 nor 3 channels, or without scratch")
    }
    switch self {
    case .identity: return
    case .shearX, .shearY, .translateX, .translateY, .rotate:
      guard let placement = placement(height: image.height, width: image.width) else { return }
      placement.apply(to: image, into: scratch)
      swap(&image, &scratch)
    case .brightness(let factor): mix(constant: 0, image, factor: Float(factor))
    case .contrast(let factor): mix(constant: meanGrey(image), image, factor: Float(factor))
    case .color(let factor):
      guard image.channels == 3 else { return }
      makeGrey(image, into: scratch)
      mix(scratch, image, factor: Float(factor))
    case .sharpness(let factor):
      smooth(image, into: scratch)
      mix(scratch, image, factor: Float(factor))
    case .posterize(let bits): keepHighestBits(of: image, bits)
    case .solarize(let threshold): invertValues(of: image, from: threshold)
    case .autoContrast: mapChannels(image, by: stretching)
    case .equalize: mapChannels(image, by: equalizing)
    case .invert: invertValues(of: image, from: 0)
    }
  }

  /// Where each pixel of the result comes from; nil where it stays.
  private func placement(height: Int, width: Int) -> Placement? {
    switch self {
    case .shearX(let slope): .shear(x: slope)
    case .shearY(let slope): .shear(y: slope)
    case .translateX(let columns): .translation(x: columns, y: 0)
    case .translateY(let rows): .translation(x: 0, y: rows)
    case .rotate(let degrees): .rotation(degrees: degrees, height: height, width: width)
    default: nil
    }
  }
}
