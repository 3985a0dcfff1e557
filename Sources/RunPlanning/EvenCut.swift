/// A whole cut into parts of whole items: every part gets the same number, and the first ones get
/// one more while the remainder lasts.
package struct EvenCut: Sendable, Equatable {
  package let total: Int
  package let parts: Int

  package init(_ total: Int, into parts: Int) {
    precondition(total >= 0 && parts > 0, "a cut needs a whole and at least one part")
    (self.total, self.parts) = (total, parts)
  }

  /// The items of `part`; empty where there are more parts than items.
  package subscript(part: Int) -> Range<Int> {
    precondition(part >= 0 && part < parts, "part outside its cut")
    let (base, remainder) = total.quotientAndRemainder(dividingBy: parts)
    let start = part * base + min(part, remainder)
    return start..<start + base + (part < remainder ? 1 : 0)
  }

  /// All parts in order.
  package var ranges: [Range<Int>] { (0..<parts).map { self[$0] } }
}
