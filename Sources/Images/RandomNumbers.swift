/// A stream of random numbers that the caller owns and places: by seed, epoch and sample, so that
/// what an image draws depends on nothing else.
package protocol RandomNumbers {
  /// Uniform in `0..<bound`; `bound` is positive.
  mutating func next(below bound: Int) -> Int
  /// Uniform in `0..<1`.
  mutating func uniformDouble() -> Double
}
