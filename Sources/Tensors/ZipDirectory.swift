/// The ends of zip archives, looked at before libzip is given one: it takes memory for as many
/// entries as the end declares.
///
/// Source: PKWARE's APPNOTE.TXT 6.3, 4.3.14 to 4.3.16.
enum ZipDirectory {
  /// Largest directory accepted: 40,000 entries as torch.save writes them.
  private static let maximumBytes = 4 << 20
  /// Longest comment behind the end.
  private static let commentBytes = 65_535
  private static let endBytes = 22
  private static let locatorBytes = 20
  private static let wideEndBytes = 56

  private static let endMark: [UInt8] = [0x50, 0x4B, 5, 6]
  private static let locatorMark: [UInt8] = [0x50, 0x4B, 6, 7]

  /// Looks at everything that may be taken for the end of a directory.
  static func check(_ file: borrowing InputFile) throws(TensorFileError) {
    let count = min(file.bytes, commentBytes + endBytes + locatorBytes)
    let start = file.bytes - count
    let tail = try file.read(at: start, count: count)
    var place = 0
    while place + endBytes <= count {
      guard tail[place] == endMark[0], tail[place..<place + 4].elementsEqual(endMark) else {
        place += 1
        continue
      }
      try check(size: number(tail, at: place + 12, bytes: 4), isWide: false, file)
      let locator = place - locatorBytes
      if locator >= 0, tail[locator..<locator + 4].elementsEqual(locatorMark) {
        try checkWideEnd(at: number(tail, at: locator + 8, bytes: 8), file)
      }
      place += 4
    }
  }

  /// The end for archives of more than 4 GiB, which torch.save always writes too.
  private static func checkWideEnd(at offset: UInt64, _ file: borrowing InputFile)
    throws(TensorFileError)
  {
    guard let offset = Int(exactly: offset), offset <= file.bytes - wideEndBytes else { return }
    let end = try file.read(at: offset, count: wideEndBytes)
    for place in [24, 32] {
      let entries = number(end, at: place, bytes: 8)
      guard entries <= UInt64(maximumBytes / 46) else {
        throw TensorFileError(
          .damaged, path: file.path, "its zip directory declares \(entries) entries")
      }
    }
    try check(size: number(end, at: 40, bytes: 8), isWide: true, file)
  }

  private static func check(size: UInt64, isWide: Bool, _ file: borrowing InputFile)
    throws(TensorFileError)
  {
    // The narrow end of an archive that has a wide one.
    if !isWide && size == UInt64(UInt32.max) { return }
    guard size <= UInt64(maximumBytes) else {
      throw TensorFileError(
        .damaged, path: file.path,
        "its zip directory of \(size) bytes is above \(maximumBytes)")
    }
  }

  /// Little-endian.
  private static func number(_ bytes: [UInt8], at place: Int, bytes count: Int) -> UInt64 {
    bytes[place..<place + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
