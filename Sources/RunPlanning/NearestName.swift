/// Finds what was probably meant by a misspelt name.
enum NearestName {
  /// Longer names than this are not compared: they are no typing mistakes.
  private static let longest = 64

  /// The candidate with the fewest edits from `name`, when they are few for its length; the first
  /// such in order. Letters' case and `-` for `_` do not count.
  static func of(_ name: String, among candidates: [String]) -> String? {
    guard name.utf8.count <= longest else { return nil }
    let folded = fold(name)
    let limit = max(1, folded.count / 3)
    var best: (distance: Int, name: String)?
    for candidate in candidates {
      let distance = edits(folded, fold(candidate))
      if distance <= limit, distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    return best?.name
  }

  private static func fold(_ name: String) -> [UInt8] {
    name.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
  }

  /// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
  /// string alignment).
  static func edits(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in 1...a.count {
      var row = [i] + [Int](repeating: 0, count: b.count)
      for j in 1...b.count {
        let replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        row[j] = min(replaced, last[j] + 1, row[j - 1] + 1)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          row[j] = min(row[j], beforeLast[j - 2] + 1)
        }
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }
}
