/// One member of a tar archive, as its headers have it.
struct TarMember: Equatable {
  /// As stored: `n01440764/n01440764_10026.jpg`.
  var name: [UInt8]
  var isFile: Bool
  /// Of the content in the archive.
  var offset: Int
  var size: Int
}

/// Reads the headers of a tar archive front to back; contents are passed over.
///
/// POSIX ustar and pax (IEEE Std 1003.1, pax) and GNU's long names and sizes. Nothing of a name is
/// ever used as a path: members are read in place and never extracted.
struct TarHeaders {
  private static let block = 512
  /// Headers that speak of other members, of the whole archive, or of its volume.
  private static let extensions = Array("LKxgV".utf8)
  /// A header's own data (a long name, pax records) may be so large.
  private static let largestExtension = 1 << 20

  private let file: RegularFile
  private let buffer = ByteBuffer()
  private var offset = 0
  /// From extended headers, for the next member.
  private var longName: [UInt8]?
  private var longSize: Int?

  init(_ file: RegularFile) { self.file = file }

  /// The next member, nil behind the last one.
  mutating func next() throws(DataError) -> TarMember? {
    while true {
      let start = offset
      guard try readBlock() else { return nil }
      let header = Array(buffer.all)
      let type = header[156]
      let isExtension = Self.extensions.contains(type)
      var size = try size(header, at: start)
      if !isExtension, let longSize { size = longSize }
      guard size <= file.size - offset else {
        throw damage("the member at byte \(start) ends behind the archive: cut short?")
      }
      let content = offset
      offset = content + (size + Self.block - 1) / Self.block * Self.block
      switch type {
      case UInt8(ascii: "L"): longName = try text(content, size, at: start)
      case UInt8(ascii: "x"): try readRecords(content, size, at: start)
      case _ where isExtension: break
      case UInt8(ascii: "0"), 0, UInt8(ascii: "7"), UInt8(ascii: "5"):
        let name = longName ?? Self.name(header)
        (longName, longSize) = (nil, nil)
        try check(name, at: start)
        // Old archives mark directories by a slash alone.
        let isFile = type != UInt8(ascii: "5") && name.last != UInt8(ascii: "/")
        return TarMember(name: name, isFile: isFile, offset: content, size: size)
      default:
        throw damage(
          "the member '\(RegularFile.text(longName ?? Self.name(header)))' is \(Self.words(type)); "
            + "expects regular files")
      }
    }
  }

  /// Reads a header; false at the two blocks of zeros that end an archive.
  private mutating func readBlock() throws(DataError) -> Bool {
    let start = offset
    guard start + Self.block <= file.size else {
      throw damage(
        "ends at byte \(file.size) without the blocks of zeros that end an archive: cut short?")
    }
    try file.read(at: start, count: Self.block, into: buffer)
    offset += Self.block
    if buffer.all.allSatisfy({ $0 == 0 }) { return false }
    let stored = try octal(Array(buffer.all[148..<156]), field: "checksum", at: start)
    var sum = 0
    for (place, byte) in buffer.all.enumerated() {
      sum += (148..<156).contains(place) ? 32 : Int(byte)
    }
    guard sum == stored else {
      throw damage("the header at byte \(start) has checksum \(stored), its bytes give \(sum)")
    }
    return true
  }

  private func check(_ name: [UInt8], at start: Int) throws(DataError) {
    guard !name.isEmpty, !name.contains(0), name.count <= 4096 else {
      throw damage("the member at byte \(start) has no usable name")
    }
    let parts = name.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard name[0] != UInt8(ascii: "/"), !parts.contains(where: { $0.elementsEqual("..".utf8) })
    else {
      throw damage(
        "the member '\(RegularFile.text(name))' leads out of its directory; make the archive anew")
    }
  }

  // MARK: - Fields

  private static func name(_ header: [UInt8]) -> [UInt8] {
    func field(_ range: Range<Int>) -> [UInt8] { Array(header[range].prefix { $0 != 0 }) }
    let isPOSIX = header[257..<263].elementsEqual("ustar\0".utf8)
    let prefix = isPOSIX ? field(345..<500) : []
    return prefix.isEmpty ? field(0..<100) : prefix + [UInt8(ascii: "/")] + field(0..<100)
  }

  private func size(_ header: [UInt8], at start: Int) throws(DataError) -> Int {
    let field = Array(header[124..<136])
    guard field[0] & 0x80 != 0 else { return try octal(field, field: "size", at: start) }
    // GNU: a number in base 256, two's complement.
    var value = Int(field[0] & 0x7f)
    for byte in field.dropFirst() {
      guard field[0] & 0x40 == 0, value < 1 << 54 else {
        throw damage("the header at byte \(start) has a size that is not possible")
      }
      value = value << 8 | Int(byte)
    }
    return value
  }

  private func octal(
    _ field: [UInt8], field name: String, at start: Int
  ) throws(DataError) -> Int {
    let digits = field.drop { $0 == 32 }.prefix { $0 != 0 && $0 != 32 }
    guard digits.count <= 12, digits.allSatisfy({ (0x30...0x37).contains($0) }) else {
      throw damage(
        "the header at byte \(start) has no octal \(name): not a tar archive, or damaged")
    }
    return digits.reduce(0) { $0 << 3 | Int($1 - 0x30) }
  }

  // MARK: - Extended headers

  private func text(_ content: Int, _ size: Int, at start: Int) throws(DataError) -> [UInt8] {
    guard size <= Self.largestExtension else {
      throw damage("the header at byte \(start) claims \(size) bytes for a name")
    }
    try file.read(at: content, count: size, into: buffer)
    return Array(buffer.all.prefix { $0 != 0 })
  }

  /// pax records: `<length> <key>=<value>\n`.
  private mutating func readRecords(
    _ content: Int, _ size: Int, at start: Int
  ) throws(DataError) {
    guard size <= Self.largestExtension else {
      throw damage("the header at byte \(start) claims \(size) bytes of records")
    }
    try file.read(at: content, count: size, into: buffer)
    var rest = Array(buffer.all)[...]
    while !rest.isEmpty {
      guard let space = rest.firstIndex(of: 32),
        let length = Int(RegularFile.text(Array(rest[..<space]))), length > 0, length <= rest.count,
        rest.startIndex + length - 1 > space,
        rest[rest.startIndex + length - 1] == UInt8(ascii: "\n"),
        let equals = rest[space...].prefix(length).firstIndex(of: UInt8(ascii: "=")),
        equals < rest.startIndex + length
      else { throw damage("the header at byte \(start) has records that cannot be read") }
      let key = RegularFile.text(Array(rest[(space + 1)..<equals]))
      let value = Array(rest[(equals + 1)..<(rest.startIndex + length - 1)])
      switch key {
      case "path": longName = value
      case "size":
        guard let size = Int(RegularFile.text(value)), size >= 0, size < 1 << 60 else {
          throw damage("the header at byte \(start) has a size that is not possible")
        }
        longSize = size
      case _ where key.hasPrefix("GNU.sparse"):
        throw damage("the member behind byte \(start) is sparse; expects regular files")
      default: break
      }
      rest = rest.dropFirst(length)
    }
  }

  private static func words(_ type: UInt8) -> String {
    switch type {
    case UInt8(ascii: "1"): "a hard link"
    case UInt8(ascii: "2"): "a symbolic link"
    case UInt8(ascii: "3"), UInt8(ascii: "4"): "a device"
    case UInt8(ascii: "6"): "a FIFO"
    case UInt8(ascii: "S"): "sparse"
    default: "of type \(type)"
    }
  }

  private func damage(_ what: String) -> DataError {
    DataError(.malformed, "\(file.name): \(what)")
  }
}
