/// The order in which sums over shards and ranks are taken.
///
/// For a power of two it is the balanced pairwise tree ((0+1)+(2+3))+((4+5)+(6+7)). In general it
/// is a binary counter: parts come in order, two sums of equally many parts merge at once, and at
/// the end the sums that are left fold from the smallest, latest one into the larger, earlier ones:
/// (((0+1)+(2+3))+((4+5)+6)) for seven.
package enum ReductionTree {
  /// The elementwise sum of `parts`, which must have equal counts; empty without parts.
  package static func sum(parts: [[Float]]) -> [Float] { fold(parts) }

  /// The elementwise sum of `parts`, which must have equal counts; empty without parts.
  package static func sum(parts: [[Double]]) -> [Double] { fold(parts) }

  private static func fold<Element: FloatingPoint>(_ parts: [[Element]]) -> [Element] {
    var partials: [(parts: Int, sum: [Element])] = []
    for part in parts {
      var merged = (parts: 1, sum: part)
      while let last = partials.last, last.parts == merged.parts {
        partials.removeLast()
        merged = (last.parts + merged.parts, add(last.sum, merged.sum))
      }
      partials.append(merged)
    }
    guard var total = partials.popLast()?.sum else { return [] }
    while let earlier = partials.popLast() { total = add(earlier.sum, total) }
    return total
  }

  private static func add<Element: FloatingPoint>(_ first: [Element], _ second: [Element])
    -> [Element]
  {
    precondition(first.count == second.count, "parts of a sum have equal counts")
    var sum = first
    for index in sum.indices { sum[index] += second[index] }
    return sum
  }
}
