extension PixelRegion {
  /// Whether it holds a pixel and none outside an image of this size.
  func isInside(height: Int, width: Int) -> Bool {
    self.height > 0 && self.width > 0 && top >= 0 && left >= 0 && top <= height - self.height
      && left <= width - self.width
  }
}

extension PixelBuffer {
  /// All of the image.
  package var whole: PixelRegion { PixelRegion(top: 0, left: 0, height: height, width: width) }

  /// Mirrors the image, left to right, in its place.
  package func flipHorizontally() {
    for row in 0..<height {
      var left = base + row * stride
      var right = left + stride - channels
      while left < right {
        for channel in 0..<channels { swap(&left[channel], &right[channel]) }
        left += channels
        right -= channels
      }
    }
  }
}

/// Height and width of an image whose shorter side becomes `side`, its form kept; the longer one is
/// rounded down (torchvision's `Resize(side)`).
package func sizeWithShorterSide(
  _ side: Int, height: Int, width: Int
) -> (height: Int, width: Int) {
  let longer = Int(Double(side * max(height, width)) / Double(min(height, width)))
  return width <= height ? (longer, side) : (side, longer)
}

/// Where a centred crop begins along one axis; negative where zeros must stand before the image
/// (torchvision's `CenterCrop`, which rounds the halves to even in an image and down outside).
package func centreOffset(of crop: Int, in size: Int) -> Int {
  crop > size ? -((crop - size) / 2) : Int((Double(size - crop) / 2).rounded(.toNearestOrEven))
}

/// The centre of an image, black where it is too small (torchvision's `CenterCrop`).
///
/// `target` is another buffer; it becomes `height` x `width`, with the channels of `source`.
package func cropCentre(
  _ source: PixelBuffer, height: Int, width: Int, into target: PixelBuffer
) {
  precondition(source !== target, "a crop into itself")
  let channels = source.channels
  target.reshape(height: height, width: width, channels: channels)
  let top = centreOffset(of: height, in: source.height)
  let left = centreOffset(of: width, in: source.width)
  let kept = (count: min(width, source.width) * channels, zeros: max(0, -left) * channels)
  if kept.count < target.stride || height > source.height {
    target.base.update(repeating: 0, count: target.count)
  }
  for row in max(0, -top)..<min(height, source.height - top) {
    let pixels = source.base + (row + top) * source.stride + max(0, left) * channels
    (target.base + row * target.stride + kept.zeros).update(from: pixels, count: kept.count)
  }
}
