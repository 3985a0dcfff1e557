/// What stands around a member's content in a tar archive.
///
/// POSIX ustar, with a pax header where a name does not fit (IEEE Std 1003.1, pax). Owner, mode and
/// times are fixed, so that the same content gives the same bytes.
enum TarHeader {
  static let block = 512
  /// Two blocks of zeros end an archive.
  static let end = [UInt8](repeating: 0, count: 2 * block)

  /// Zeros behind a content of `size` bytes.
  static func padding(_ size: Int) -> Int { (block - size % block) % block }

  /// The blocks in front of a member's content.
  ///
  /// - Parameters:
  ///   - name: any bytes but NUL.
  ///   - size: of the content, below 8 GiB.
  static func blocks(name: [UInt8], size: Int) -> [UInt8] {
    precondition(size >= 0 && size < 1 << 33, "a size that a header cannot hold")
    if let (prefix, rest) = split(name) {
      return header(name: rest, prefix: prefix, size: size, type: UInt8(ascii: "0"))
    }
    let records = records(name)
    let place = Array("././@PaxHeader".utf8)
    return header(name: place, prefix: [], size: records.count, type: UInt8(ascii: "x")) + records
      + [UInt8](repeating: 0, count: padding(records.count))
      + header(name: name.prefix(100), prefix: [], size: size, type: UInt8(ascii: "0"))
  }

  /// The bytes in front of a member's content.
  static func count(name: [UInt8]) -> Int {
    if split(name) != nil { return block }
    let records = records(name).count
    return 2 * block + records + padding(records)
  }

  private static func records(_ name: [UInt8]) -> [UInt8] {
    // pax says UTF-8; other bytes are declared.
    let isText = String(validating: name, as: UTF8.self) != nil
    return (isText ? [] : record("hdrcharset", Array("BINARY".utf8))) + record("path", name)
  }

  /// Cut at a slash, so that both parts fit their fields; nil where there is none such.
  private static func split(
    _ name: [UInt8]
  ) -> (prefix: ArraySlice<UInt8>, name: ArraySlice<UInt8>)? {
    if name.count <= 100 { return ([], name[...]) }
    let slash = name.indices.first { index in
      name[index] == UInt8(ascii: "/") && index > 0 && index <= 155
        && (1...100).contains(name.count - index - 1)
    }
    return slash.map { (name[..<$0], name[($0 + 1)...]) }
  }

  /// `<length> <key>=<value>\n`; the length counts its own digits.
  private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
    let rest = key.utf8.count + value.count + 3
    var length = rest + String(rest).utf8.count
    while rest + String(length).utf8.count != length {
      length = rest + String(length).utf8.count
    }
    return Array("\(length) \(key)=".utf8) + value + [UInt8(ascii: "\n")]
  }

  private static func header(
    name: some Sequence<UInt8>, prefix: some Sequence<UInt8>, size: Int, type: UInt8
  ) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: block)
    func put(_ field: some Sequence<UInt8>, at place: Int) {
      for (index, byte) in field.enumerated() { bytes[place + index] = byte }
    }
    func octal(_ value: Int, digits: Int) -> String.UTF8View {
      let text = String(value, radix: 8)
      return (String(repeating: "0", count: digits - text.count) + text).utf8
    }
    put(name, at: 0)
    put("0000644".utf8, at: 100)
    put(octal(0, digits: 7), at: 108)
    put(octal(0, digits: 7), at: 116)
    put(octal(size, digits: 11), at: 124)
    put(octal(0, digits: 11), at: 136)
    bytes[156] = type
    put("ustar\0".utf8, at: 257)
    put("00".utf8, at: 263)
    put(prefix, at: 345)
    // The checksum is that of the header with blanks in its place.
    put(repeatElement(32, count: 8), at: 148)
    let sum = bytes.reduce(0) { $0 + Int($1) }
    put(octal(sum, digits: 6), at: 148)
    put([0, 32], at: 154)
    return bytes
  }
}
