import Images

/// What a sample takes while it is brought to the network's size.
package struct SampleSize: Sendable, Equatable {
  /// As stored.
  package var bytes: Int
  /// Decoded.
  package var pixels: Int

  package init(bytes: Int, pixels: Int) { (self.bytes, self.pixels) = (bytes, pixels) }
}

extension Dataset {
  /// The sample of which most bytes are stored, and how many pixels it says that it has; for sizes in
  /// advance, not a bound: a smaller file may have more pixels (`ImageLimits` bounds them all). Where
  /// its header cannot be read, which its reader will say in time, a byte counts for eight pixels.
  package var largestSample: SampleSize {
    if case .pixels(let height, let width, let channels) = form {
      return SampleSize(bytes: height * width * channels, pixels: height * width)
    }
    var (largest, size) = (0, -1)
    for sample in 0..<count {
      let bytes = storedSize(of: sample)
      if bytes > size { (largest, size) = (sample, bytes) }
    }
    let stored = ByteBuffer()
    guard (try? read(largest, into: stored)) != nil,
      let header = try? ImageDecoder().header(of: UnsafeRawBufferPointer(stored.all))
    else { return SampleSize(bytes: size, pixels: size * 8) }
    return SampleSize(bytes: size, pixels: header.height * header.width)
  }
}
