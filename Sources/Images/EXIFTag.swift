/// The orientation that an EXIF block names. The block is a TIFF file without an image: a header, a
/// directory of entries of 12 bytes (TIFF 6.0, section 2; EXIF 2.3, 4.6.2).
enum EXIFTag: Equatable {
  case value(Int)
  case absent
  /// Not a TIFF file.
  case unreadable

  private static let orientation: UInt16 = 0x0112

  /// Reads a block that may begin with `Exif` and two zero bytes, never outside of it. A directory
  /// that is cut short counts as far as it goes, as with Pillow.
  init(orientationIn block: UnsafeRawBufferPointer) {
    var block = block
    for _ in 0..<2 where block.starts(with: "Exif\0\0".utf8) {
      block = UnsafeRawBufferPointer(rebasing: block.dropFirst(6))
    }
    guard !block.isEmpty else {
      self = .absent
      return
    }
    guard let fields = EXIFFields(block), let directory = fields.long(at: 4) else {
      self = .unreadable
      return
    }
    self = Self.search(fields, directory: Int(directory))
  }

  private static func search(_ fields: EXIFFields, directory: Int) -> EXIFTag {
    guard let count = fields.short(at: directory) else { return .absent }
    // Values outside of the entries, all together, fit into the block, or they are passed over.
    var outside = 0
    for index in 0..<Int(count) {
      let entry = directory + 2 + 12 * index
      guard let tag = fields.short(at: entry), let type = fields.short(at: entry + 2),
        let values = fields.long(at: entry + 4), let offset = fields.long(at: entry + 8)
      else { return .absent }
      guard let unit = EXIFFields.size(ofType: type) else { continue }
      let size = Int(values) * unit
      var place = entry + 8
      if size > 4 {
        outside += size
        if outside > fields.bytes.count { continue }
        place = Int(offset)
        guard size <= fields.bytes.count - place else { return .absent }
      }
      // The first entry of a tag counts, and only one that has a value.
      if tag == orientation && size > 0 {
        return .value(fields.integer(at: place, type: type) ?? 1)
      }
    }
    return .absent
  }
}

/// Numbers of a TIFF file; nil for those that do not lie inside of it.
struct EXIFFields {
  let bytes: UnsafeRawBufferPointer
  let isLittle: Bool

  /// Fails where the block does not begin as a TIFF file does: "MM" or "II" and 42.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 4 else { return nil }
    switch UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)) {
    // The second of each has the other's 42: against the standard, but Pillow reads it.
    case 0x4d4d_002a, 0x4d4d_2a00: isLittle = false
    case 0x4949_2a00, 0x4949_002a: isLittle = true
    default: return nil
    }
    self.bytes = bytes
  }

  func short(at place: Int) -> UInt16? { number(at: place) }
  func long(at place: Int) -> UInt32? { number(at: place) }

  /// The first value of an entry, if its type is a whole number that counts as one in Pillow.
  func integer(at place: Int, type: UInt16) -> Int? {
    switch type {
    case 3: number(at: place, UInt16.self).map(Int.init)
    case 4, 13: number(at: place, UInt32.self).map(Int.init)
    case 6: number(at: place, Int8.self).map(Int.init)
    case 8: number(at: place, Int16.self).map(Int.init)
    case 9: number(at: place, Int32.self).map(Int.init)
    case 16: number(at: place, UInt64.self).map(Int.init(clamping:))
    default: nil
    }
  }

  /// Bytes of a value.
  static func size(ofType type: UInt16) -> Int? {
    switch type {
    case 1, 2, 6, 7: 1
    case 3, 8: 2
    case 4, 9, 11, 13: 4
    case 5, 10, 12, 16: 8
    default: nil
    }
  }

  private func number<T: FixedWidthInteger & BitwiseCopyable>(
    at place: Int, _: T.Type = T.self
  ) -> T? {
    guard place >= 0, place <= bytes.count - MemoryLayout<T>.size else { return nil }
    let value = bytes.loadUnaligned(fromByteOffset: place, as: T.self)
    return isLittle ? T(littleEndian: value) : T(bigEndian: value)
  }
}
