/// The formats that are read.
package enum ImageFormat: Sendable, Equatable {
  case jpeg
  case png
}

/// What an image says of itself before its pixels.
package struct ImageHeader: Sendable, Equatable {
  /// How colours are stored; decoding gives grey or RGB whatever this is.
  package enum Colour: Sendable, Equatable {
    case grey, greyAlpha, palette, rgb, rgba, cmyk
  }

  package var format: ImageFormat
  /// Columns and rows as stored, before an orientation is applied.
  package var width: Int
  package var height: Int
  package var colour: Colour
  /// EXIF orientation, 1...8; 1 where none is given, or none that can be read.
  package var orientation: Int
}

extension ImageFormat {
  /// Tells the format by the first bytes, whatever the file's name says.
  ///
  /// Throws `.unsupported` with the name of what it is instead, where that is known.
  init(of bytes: UnsafeRawBufferPointer) throws(ImageError) {
    if bytes.count >= 3, bytes[0] == 0xff, bytes[1] == 0xd8, bytes[2] == 0xff {
      self = .jpeg
    } else if bytes.count >= 8,
      UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)) == 0x8950_4e47_0d0a_1a0a
    {
      self = .png
    } else {
      throw ImageError(.unsupported, "is \(Self.name(ofOther: bytes)), not JPEG or PNG")
    }
  }

  private static func name(ofOther bytes: UnsafeRawBufferPointer) -> String {
    func text(_ text: String, at offset: Int = 0) -> Bool {
      bytes.dropFirst(offset).starts(with: text.utf8)
    }
    if bytes.isEmpty { return "empty" }
    for (magic, name) in magics where bytes.starts(with: magic) { return name }
    if text("RIFF") && text("WEBP", at: 8) { return "a WebP image" }
    if text("ftyp", at: 4) {
      return text("avi", at: 8) ? "an AVIF image" : "a HEIF image or a film"
    }
    let head = bytes.prefix(512)
    if head.allSatisfy({ $0 == 0 }) { return "zeros" }
    guard isText(head) else { return "of an unknown format" }
    let isMarkup = head.first { $0 > 0x20 } == UInt8(ascii: "<")
    return isMarkup ? "an HTML or XML page" : "text"
  }

  /// UTF-8 without control characters other than white space; its last character may be cut.
  private static func isText(_ head: Slice<UnsafeRawBufferPointer>) -> Bool {
    head.allSatisfy { $0 >= 0x20 && $0 != 0x7f || (0x09...0x0d).contains($0) }
      && (0..<4).contains { String(validating: head.dropLast($0), as: UTF8.self)?.isEmpty == false }
  }

  private static let magics: [([UInt8], String)] = [
    (Array("GIF8".utf8), "a GIF image"),
    (Array("BM".utf8), "a BMP image"),
    ([0x49, 0x49, 0x2a, 0x00], "a TIFF image"),
    ([0x4d, 0x4d, 0x00, 0x2a], "a TIFF image"),
    ([0x00, 0x00, 0x00, 0x0c, 0x6a, 0x50, 0x20, 0x20], "a JPEG 2000 image"),
    ([0xff, 0x0a], "a JPEG XL image"),
    ([0x00, 0x00, 0x00, 0x0c, 0x4a, 0x58, 0x4c, 0x20], "a JPEG XL image"),
    (Array("8BPS".utf8), "a Photoshop file"),
    (Array("%PDF".utf8), "a PDF document"),
    ([0x1f, 0x8b], "gzipped"),
    (Array("PK".utf8), "a zip archive"),
  ]
}

extension ImageLimits {
  /// Throws `.tooLarge` for an image of sides below 2^31 that exceeds a limit.
  func check(width: Int, height: Int) throws(ImageError) {
    guard width <= largestSide && height <= largestSide else {
      throw ImageError(
        .tooLarge, "is \(width) x \(height) pixels; the limit is \(largestSide) a side")
    }
    guard width * height <= largestPixelCount else {
      throw ImageError(
        .tooLarge, "is \(width) x \(height) pixels; the limit is \(largestPixelCount) in all")
    }
  }
}

extension PixelRegion {
  /// Throws where the region is empty or not inside an image of these sides.
  func check(width: Int, height: Int) throws(ImageError) {
    // Subtractions of what is known to be small, so that no sum overflows.
    guard top >= 0 && left >= 0 && self.height >= 1 && self.width >= 1,
      top < height && left < width && self.height <= height - top && self.width <= width - left
    else {
      throw ImageError(
        .unsupported,
        "is \(width) x \(height) pixels; a region of \(self.width) x \(self.height) at column \(left),"
          + " row \(top) was asked for")
    }
  }
}
