import Foundation
import Images
import _TestSupport

extension FuzzedReader {
  /// The files whose pixels are compared with Pillow's.
  private static func golden(_ names: [String]) throws -> [[UInt8]] {
    let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Tests/ImagesTests/Golden/codecs").standardized.path
    return try names.map { try bytes(of: "\(directory)/\($0)") }
  }

  private static func picture() -> PixelBuffer {
    let image = PixelBuffer()
    image.reshape(height: 37, width: 51, channels: 3)
    for index in 0..<image.count {
      image.base[index] = UInt8(truncatingIfNeeded: index / 3 * 5 + index % 3 * 80 + index / 700)
    }
    return image
  }

  static func jpeg() throws -> FuzzedReader {
    let files = try golden([
      "420-69x50.jpg", "422-progressive-69x50.jpg", "420-progressive-restart.jpg",
      "grey-64x48.jpg", "cmyk-adobe.jpg", "420-restart-blocks.jpg", "exif-two-values.jpg",
      "exif-many-entries.jpg", "420-17x33.jpg",
    ])
    var arithmetic = JPEGSettings()
    arithmetic.isArithmetic = true
    var both = arithmetic
    both.isProgressive = true
    let markers: [[UInt8]] = ([UInt8](0xc0...0xfe)).map { [0xff, $0] }
    let segments = [
      [0xff, 0xe1, 0xff, 0xff], [0xff, 0xdd, 0, 4, 0, 1], [0xff, 0xdc, 0, 4, 0xff, 0xff],
      Array("Exif\0\0MM\0*\0\0\0\u{8}".utf8), Array("Adobe\0d".utf8),
    ]
    return FuzzedReader(
      "jpeg", seeds: files + [try arithmetic.encode(picture()), try both.encode(picture())],
      words: markers + segments,
      // The end that a file cut short lacks, so that what stands before is decoded.
      seal: { $0.suffix(2) == [0xff, 0xd9] ? $0 : $0 + [0xff, 0xd9] }, read: decode([1, 2, 8]))
  }

  static func png() throws -> FuzzedReader {
    let files = try golden([
      "filters.png", "rgba-16-19x11-interlaced.png", "palette-4-19x11.png", "exif-before.png",
      "grey-1-19x11-interlaced.png", "palette-transparent.png", "gamma.png",
      "grey-alpha-8-19x11.png",
    ])
    let names = ["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "eXIf", "iCCP", "tEXt", "gAMA", "acTL"]
    return FuzzedReader(
      "png", seeds: files + [try picture().encodedPNG()],
      words: names.map { Array($0.utf8) } + names.map { [0, 0, 0, 0] + Array($0.utf8) },
      seal: withChunkChecksums, read: decode([1]))
  }

  /// With the checksum of each chunk put right, as far as chunks follow each other.
  private static func withChunkChecksums(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    var place = 8
    while bytes.count - place >= 12 {
      let size = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
      guard size <= bytes.count - place - 12 else { break }
      let end = place + 8 + size
      bytes.replaceSubrange(end..<end + 4, with: bigEndian(checksum(of: bytes[place + 4..<end])))
      place = end + 4
    }
    return bytes
  }

  /// Decodes whole and in part, strictly and tolerantly, as one of 1 and of 3 channels.
  private static func decode(_ scales: [Int]) -> ([UInt8]) throws -> Bool {
    let decoders = [ImageDecoder(), ImageDecoder(damage: .tolerate)]
    let (target, upright) = (PixelBuffer(), PixelBuffer())
    let part = PixelRegion(top: 3, left: 2, height: 5, width: 4)
    return { file in
      var wasRead = false
      for (number, decoder) in decoders.enumerated() {
        for region in [nil, part] {
          for scale in scales {
            // Of exactly the file's size, so that a sanitizer sees what is read behind it.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: file.count, alignment: 1)
            defer { copy.deallocate() }
            copy.copyBytes(from: file)
            let bytes = UnsafeRawBufferPointer(copy)
            do {
              let header = try decoder.header(of: bytes)
              try decoder.decode(
                bytes, channels: number == 0 ? 3 : 1, region: region, scale: scale, into: target)
              let height = region?.height ?? (header.height + scale - 1) / scale
              try require(target.height == height, "\(target.height) rows in place of \(height)")
              try require((1...8).contains(header.orientation), "turned \(header.orientation)")
              applyOrientation(header.orientation, from: target, into: upright)
              wasRead = true
            } catch let error as ImageError {
              try require(error.kind != .memory && !error.message.isEmpty, "\(error)")
            }
          }
        }
      }
      return wasRead
    }
  }
}
