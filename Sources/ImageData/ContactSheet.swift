import CZlib
import Images

/// Images side by side in one picture, row by row, with white gaps between them.
package struct ContactSheet: Sendable {
  /// Pixels between two images, whatever the zoom.
  package static let gap = 4

  package let columns: Int
  /// Pixels of the sheet for a pixel of an image, in both directions.
  package let zoom: Int

  package init(columns: Int, zoom: Int = 1) {
    precondition(columns > 0 && zoom > 0, "a sheet without pixels")
    (self.columns, self.zoom) = (columns, zoom)
  }

  /// Height and width of the sheet of `count` images, none larger than `image`.
  package func size(count: Int, image: SampleTransform.Size) -> (height: Int, width: Int) {
    let (across, down) = (min(columns, count), (count - 1) / columns + 1)
    return (
      down * (image.height * zoom + Self.gap) - Self.gap,
      across * (image.width * zoom + Self.gap) - Self.gap
    )
  }

  /// A PNG file of the images, of which there is at least one; of 1 or 3 channels, all the same.
  /// Smaller ones lie in the upper left corner of their place.
  package func png(_ images: [SeenSample]) throws(DataError) -> [UInt8] {
    guard let first = images.first else { preconditionFailure("a sheet of nothing") }
    let place = SampleTransform.Size(
      height: images.map(\.size.height).max() ?? 0, width: images.map(\.size.width).max() ?? 0,
      channels: first.size.channels)
    let (height, width) = size(count: images.count, image: place)
    let sheet = PixelBuffer()
    sheet.reshape(height: height, width: width, channels: place.channels)
    sheet.base.update(repeating: 255, count: sheet.count)
    for (index, image) in images.enumerated() {
      let (row, column) = index.quotientAndRemainder(dividingBy: columns)
      draw(
        image, top: row * (place.height * zoom + Self.gap),
        left: column * (place.width * zoom + Self.gap), on: sheet)
    }
    return try Self.png(sheet)
  }

  private func draw(_ image: SeenSample, top: Int, left: Int, on sheet: PixelBuffer) {
    let (size, channels) = (image.size, sheet.channels)
    for y in 0..<size.height * zoom {
      var target = sheet.base + (top + y) * sheet.stride + left * channels
      for x in 0..<size.width * zoom {
        let source = (y / zoom * size.width + x / zoom) * channels
        for channel in 0..<channels { target[channel] = image.bytes[source + channel] }
        target += channels
      }
    }
  }

  // MARK: - The file

  /// Said in the file, so that a later sheet may take its place.
  package static let maker = "repvgg data show"

  /// The header's end: signature, and a chunk of 13 bytes with its length, name and checksum.
  private static let headerSize = 8 + 12 + 13

  /// `tEXt`, a keyword and its text in Latin-1 (PNG specification, third edition, section 11.3.3.2).
  private static let mark: [UInt8] = {
    let content = Array("tEXtSoftware".utf8) + [0] + Array(maker.utf8)
    let checksum = content.withUnsafeBufferPointer { crc32_z(0, $0.baseAddress, $0.count) }
    func bigEndian(_ value: Int) -> [UInt8] {
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
    return bigEndian(content.count - 4) + content + bigEndian(Int(checksum))
  }()

  /// Whether a file that begins with these bytes, at least 100 of them where it has as many, is a PNG
  /// file that this program made.
  package static func isOwn(_ beginning: [UInt8]) -> Bool {
    beginning.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
      && beginning.dropFirst(headerSize).starts(with: mark)
  }

  private static func png(_ image: PixelBuffer) throws(DataError) -> [UInt8] {
    do throws(ImageError) {
      var bytes = try image.encodedPNG()
      bytes.insert(contentsOf: mark, at: headerSize)
      return bytes
    } catch {
      throw DataError(.io, "the picture \(error)")
    }
  }
}
