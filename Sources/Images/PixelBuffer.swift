/// One image of bytes, [height][width][channels] without gaps; its memory grows when it must and is
/// used again for the next image. Not `Sendable`: a thread keeps its own.
///
/// For scratch that lives as long as its thread. Pixels that are handed on belong into memory of
/// their owner.
package final class PixelBuffer {
  package private(set) var height = 0
  package private(set) var width = 0
  package private(set) var channels = 0
  private var memory: UnsafeMutablePointer<UInt8>
  private var capacity: Int

  /// Vector loads may read so many bytes beyond the last pixel.
  package static let slack = 64

  package init() {
    capacity = 0
    memory = .allocate(capacity: Self.slack)
    memory.initialize(repeating: 0, count: Self.slack)
  }

  deinit { memory.deallocate() }

  /// The first byte of the first pixel; valid until the next `reshape`.
  package var base: UnsafeMutablePointer<UInt8> { memory }
  /// Bytes of the image.
  package var count: Int { height * width * channels }
  /// Bytes of its memory, which the largest image so far has needed.
  package var residentBytes: Int { capacity + Self.slack }
  /// Bytes of a row.
  package var stride: Int { width * channels }

  /// Makes this an image of another size, whose pixels are undefined.
  ///
  /// All sizes at least 1; callers bound them (`ImageLimits`), so that the product does not overflow.
  package func reshape(height: Int, width: Int, channels: Int) {
    precondition(height > 0 && width > 0 && channels > 0, "an image without pixels")
    let needed = height * width * channels
    if needed > capacity {
      memory.deallocate()
      memory = .allocate(capacity: needed + Self.slack)
      memory.initialize(repeating: 0, count: needed + Self.slack)
      capacity = needed
    }
    (self.height, self.width, self.channels) = (height, width, channels)
  }
}

/// A part of an image, in pixels from its upper left corner.
package struct PixelRegion: Equatable, Sendable {
  package var top: Int
  package var left: Int
  package var height: Int
  package var width: Int

  package init(top: Int, left: Int, height: Int, width: Int) {
    (self.top, self.left, self.height, self.width) = (top, left, height, width)
  }
}
