/// How an image must be turned to stand upright: EXIF's orientation, as Pillow finds and applies it.
enum Orientation {
  private static let identifier = "Exif\0\0".utf8
  private static let xmpIdentifier = "http://ns.adobe.com/xap/1.0/\0".utf8
  private static let xmpName = "tiff:Orientation".utf8

  /// 1...8, from the APP1 segments before the first scan: EXIF, and XMP where EXIF names none.
  static func ofJPEG(_ bytes: UnsafeRawBufferPointer) -> Int {
    var exif: [Slice<UnsafeRawBufferPointer>] = []
    var xmp: Slice<UnsafeRawBufferPointer>?
    forEachSegment(of: bytes) { marker, content in
      guard marker == 0xe1 else { return }
      if content.starts(with: identifier) {
        exif.append(content.dropFirst(identifier.count))
      } else if content.starts(with: xmpIdentifier) {
        xmp = content.dropFirst(xmpIdentifier.count)
      }
    }
    let tag: EXIFTag =
      switch exif.count {
      case 0: .absent
      case 1: EXIFTag(orientationIn: UnsafeRawBufferPointer(rebasing: exif[0]))
      // A block too long for one segment goes on in the next.
      default: exif.joined().map { $0 }.withUnsafeBytes { EXIFTag(orientationIn: $0) }
      }
    switch tag {
    case .value(let value): return inRange(value)
    case .unreadable: return 1
    case .absent: return xmp.flatMap(ofXMP).map(inRange) ?? 1
    }
  }

  /// 1...8, from the last eXIf chunk.
  static func ofPNG(_ bytes: UnsafeRawBufferPointer) -> Int {
    var found = 1
    var place = 8
    while bytes.count - place >= 12 {
      let size = Int(bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self).bigEndian)
      let content = place + 8
      guard size <= bytes.count - content - 4 else { break }
      if bytes[(place + 4)..<content].elementsEqual("eXIf".utf8) {
        let block = UnsafeRawBufferPointer(rebasing: bytes[content..<(content + size)])
        if case .value(let value) = EXIFTag(orientationIn: block) {
          found = inRange(value)
        } else {
          found = 1
        }
      }
      place = content + size + 4
    }
    return found
  }

  private static func inRange(_ value: Int) -> Int { (1...8).contains(value) ? value : 1 }

  /// Walks from marker to marker up to the first scan, as long as segments lie inside the file.
  private static func forEachSegment(
    of bytes: UnsafeRawBufferPointer,
    _ body: (_ marker: UInt8, _ content: Slice<UnsafeRawBufferPointer>) -> Void
  ) {
    var place = 2
    while place + 1 < bytes.count {
      guard bytes[place] == 0xff else {
        place += 1
        continue
      }
      let marker = bytes[place + 1]
      switch marker {
      case 0xff:
        place += 1
      case 0x00, 0x01, 0xd0...0xd9:
        place += 2
      case 0xda:
        return
      default:
        let start = place + 4
        guard start <= bytes.count else { return }
        let size = Int(bytes[place + 2]) << 8 | Int(bytes[place + 3])
        guard size >= 2, size - 2 <= bytes.count - start else { return }
        body(marker, bytes[start..<(start + size - 2)])
        place = start + size - 2
      }
    }
  }

  /// The digit behind `tiff:Orientation="` or `tiff:Orientation>`.
  private static func ofXMP(_ text: Slice<UnsafeRawBufferPointer>) -> Int? {
    var rest = text
    while let start = rest.firstIndex(of: UInt8(ascii: "t")) {
      rest = rest[start...]
      if rest.starts(with: xmpName) {
        let value = rest.dropFirst(xmpName.count)
        for opening in ["=\"", ">"] where value.starts(with: opening.utf8) {
          let digit = value.dropFirst(opening.utf8.count).first.map { Int($0) - 0x30 }
          if let digit, (0...9).contains(digit) { return digit }
        }
      }
      rest = rest.dropFirst()
    }
    return nil
  }
}

/// Turns or mirrors an image so that it stands upright: Pillow's `ImageOps.exif_transpose`.
///
/// - Parameters:
///   - orientation: 1...8 as EXIF counts; 5...8 exchange height and width.
///   - target: another buffer than `source`; gets its shape here.
package func applyOrientation(
  _ orientation: Int, from source: PixelBuffer, into target: PixelBuffer
) {
  precondition((1...8).contains(orientation), "an orientation is 1...8")
  precondition(source !== target, "an image cannot be turned in its own memory")
  let (height, width, channels) = (source.height, source.width, source.channels)
  let last = height * width - 1
  // Where the first pixel comes from, and how far its right and its lower neighbour lie from there.
  let (start, right, down) =
    switch orientation {
    case 1: (0, 1, width)
    case 2: (width - 1, -1, width)
    case 3: (last, -1, -width)
    case 4: (last - width + 1, 1, -width)
    case 5: (0, width, 1)
    case 6: (last - width + 1, -width, 1)
    case 7: (last, -width, -1)
    default: (width - 1, width, -1)
    }
  if orientation < 5 {
    target.reshape(height: height, width: width, channels: channels)
  } else {
    target.reshape(height: width, width: height, channels: channels)
  }
  var pixel = target.base
  for y in 0..<target.height {
    var from = source.base + (start + y * down) * channels
    for _ in 0..<target.width {
      for channel in 0..<channels { pixel[channel] = from[channel] }
      pixel += channels
      from += right * channels
    }
  }
}
