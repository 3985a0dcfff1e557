/// Names of classes by label, and the text that files keep them in: one a line, in UTF-8. The same
/// form as the `classes.txt` beside archives.
package enum ClassNames {
  /// The content of a file; "" where there are none.
  package static func text(_ names: [String]) -> String { names.map { $0 + "\n" }.joined() }

  /// What stands for the names of `count` classes that have none: their labels.
  package static func numbers(_ count: Int) -> [String] { (0..<count).map(String.init) }

  /// A name for each of `count` classes: those of the data, where a network has more of them and for
  /// the others `unnamed 7`; or numbers where the data have none.
  package static func complete(_ names: [String], count: Int) -> [String] {
    guard !names.isEmpty else { return numbers(count) }
    return names + (min(names.count, count)..<count).map { "unnamed \($0)" }
  }

  /// The names in a file. Throws where a line is empty, since the labels behind it would be others,
  /// and where a name stands there twice.
  package static func read(path: String) throws(DataError) -> [String] {
    let lines = try lines(of: path).map { RegularFile.text($0) }
    var seen: [[UInt8]: Int] = [:]
    for (label, name) in lines.enumerated() {
      guard !name.isEmpty else {
        throw DataError(
          .malformed, "\(path): line \(label + 1) is empty; expects the name of class \(label)")
      }
      if let other = seen.updateValue(label, forKey: Array(name.utf8)) {
        throw DataError(
          .malformed, "\(path): lines \(other + 1) and \(label + 1) are both '\(name)'")
      }
    }
    return lines
  }

  /// The first label whose name differs, with its two names, quoted, or "none" where one side has
  /// fewer; nil where they are the same. Nothing differs from no names.
  package static func difference(
    _ first: [String], _ second: [String]
  ) -> (label: Int, first: String, second: String)? {
    guard !first.isEmpty, !second.isEmpty else { return nil }
    let shared = min(first.count, second.count)
    // Byte for byte, where Swift would take two spellings of an accent for one.
    let other = (0..<shared).first { !first[$0].utf8.elementsEqual(second[$0].utf8) }
    guard other != nil || first.count != second.count else { return nil }
    let label = other ?? shared
    func name(_ names: [String]) -> String { label < names.count ? "'\(names[label])'" : "none" }
    return (label, name(first), name(second))
  }

  /// Names of directories must do for lines of a text.
  static func check(_ name: [UInt8], path: String) throws(DataError) {
    let text = String(validating: name, as: UTF8.self)
    guard let text, !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f })
    else {
      throw DataError(
        .malformed,
        "\(path): the name of a class must be UTF-8 without control characters; rename the directory"
      )
    }
  }

  /// Without the breaks, which may be those of other systems; the last line may lack its own.
  static func lines(of path: String) throws(DataError) -> [[UInt8]] {
    let stream = try ByteStream(path: path)
    guard stream.storedSize <= 64 << 20 else {
      throw DataError(.malformed, "\(path): has \(stream.storedSize) bytes; is it a list of names?")
    }
    let bytes = try stream.read(stream.storedSize)
    var lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map { line in
      Array(line.last == 13 ? line.dropLast() : line)
    }
    while lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }
}
