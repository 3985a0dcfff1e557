/// Reads JPEG and PNG exactly as Pillow's `Image.open(file).convert("RGB")` or `convert("L")` does.
///
/// Belongs to one thread. It keeps its scratch between images, so that decoding allocates nothing but
/// what libjpeg-turbo and libpng themselves take for an image. No input makes it trap, run without
/// end, or take more memory than `ImageLimits` allow; an error leaves it ready for the next image.
///
/// Unlike Pillow it refuses 16-bit grey PNGs (Pillow clips them, mostly to white), and, unless damage
/// is tolerated, JPEGs that libjpeg-turbo warns of and progressive ones whose scans end too early.
package final class ImageDecoder {
  /// What is done with a file whose damage the libraries would paper over with invented pixels.
  package enum Damage: Sendable {
    /// It is refused.
    case refuse
    /// It is decoded, as Pillow does, and `complaint` says so; what is cut short, has broken tables
    /// or a wrong checksum is refused all the same. Where scans are missing, the detail that is
    /// guessed depends on the version of libjpeg-turbo.
    case tolerate
  }

  /// Which pixels a JPEG gives.
  package enum Fidelity: Sendable {
    /// Pillow's.
    case exact
    /// Nearly those: a coarser inverse transform, and colours of lower resolution repeated instead
    /// of smoothed.
    case fast
  }

  package let limits: ImageLimits
  /// The first warning about the last image that was decoded; nil where there was none.
  package private(set) var complaint: String?
  private let jpeg: JPEGDecoder
  private let png: PNGDecoder

  package init(limits: ImageLimits = ImageLimits(), damage: Damage = .refuse) {
    self.limits = limits
    jpeg = JPEGDecoder(damage: damage)
    png = PNGDecoder(damage: damage)
  }

  /// The header of an image, which is within the limits; its pixels are not looked at.
  package func header(of bytes: UnsafeRawBufferPointer) throws(ImageError) -> ImageHeader {
    switch try ImageFormat(of: bytes) {
    case .jpeg:
      var header = try jpeg.open(bytes, limits: limits)
      jpeg.close()
      header.orientation = Orientation.ofJPEG(bytes)
      return header
    case .png:
      var header = try png.open(bytes, limits: limits)
      png.close()
      header.orientation = Orientation.ofPNG(bytes)
      return header
    }
  }

  /// Decodes an image or a part of it; its orientation is left as stored.
  ///
  /// A region costs less than the whole: columns beside it are neither transformed nor converted, rows
  /// above only pass the entropy decoder, rows below are not read. Damage there goes unnoticed.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - channels: 3 for RGB, 1 for luma. Alpha and transparency are left out.
  ///   - region: the part to decode, bit for bit the same part of the whole; nil for all.
  ///   - scale: 1, or 2, 4, 8 to reduce a JPEG while it is decoded, which is faster and gives other
  ///     pixels than reducing it later. Sides are then ceil(side / scale), and `region` lies in the
  ///     reduced image.
  ///   - fidelity: of a JPEG; the pixels of a PNG are exact.
  ///   - target: gets the pixels, [height][width][channels]; undefined after an error.
  package func decode(
    _ bytes: UnsafeRawBufferPointer, channels: Int, region: PixelRegion? = nil, scale: Int = 1,
    fidelity: Fidelity = .exact, into target: PixelBuffer
  ) throws(ImageError) {
    precondition(channels == 1 || channels == 3, "images have 1 or 3 channels")
    precondition([1, 2, 4, 8].contains(scale), "images are reduced by 1, 2, 4 or 8")
    complaint = nil
    switch try ImageFormat(of: bytes) {
    case .jpeg:
      defer { jpeg.close() }
      let header = try jpeg.open(bytes, limits: limits)
      let part = try Self.part(region, of: header, scale: scale)
      target.reshape(height: part.height, width: part.width, channels: channels)
      complaint = try jpeg.decode(
        part, scale: scale, fidelity: fidelity, limits: limits, into: target)
    case .png:
      guard scale == 1 else {
        throw ImageError(.unsupported, "is a PNG, which is not reduced while it is decoded")
      }
      defer { png.close() }
      let header = try png.open(bytes, limits: limits)
      let part = try Self.part(region, of: header, scale: 1)
      target.reshape(height: part.height, width: part.width, channels: channels)
      complaint = try png.decode(part, into: target)
    }
  }

  private static func part(
    _ region: PixelRegion?, of header: ImageHeader, scale: Int
  ) throws(ImageError) -> PixelRegion {
    let height = (header.height + scale - 1) / scale
    let width = (header.width + scale - 1) / scale
    guard let region else { return PixelRegion(top: 0, left: 0, height: height, width: width) }
    try region.check(width: width, height: height)
    return region
  }
}
