import Glibc

/// A stream of random numbers that is a function of its arguments alone: what sample 17 of epoch 3
/// draws depends neither on ranks and threads nor on what was drawn before or after a resume.
///
/// Philox4x32-10: the key is the seed, the counter is made of draw, sample, epoch and purpose.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
package struct CounterRandom: Sendable {
  /// What the numbers are for. Raw values are part of the format of a run: never change or reuse.
  package enum Purpose: UInt16, Sendable, CaseIterable {
    case shuffle = 1
    case crop = 2
    case flip = 3
    case initialisation = 4
    case synthetic = 5
    case probe = 6
    case test = 7
    case certificate = 8
    case augmentation = 9
    case erasing = 10
    case mixing = 11
  }

  private let key: SIMD2<UInt32>
  private var counter: SIMD4<UInt32>
  private var block: SIMD4<UInt32> = .zero
  /// Words of `block` already handed out.
  private var used = 4

  /// `epoch` must be in `0..<2³²` and `sample` in `0..<2⁴⁸`. A stream gives 2³⁴ words.
  package init(seed: UInt64, epoch: Int, sample: Int, purpose: Purpose) {
    precondition(epoch >= 0 && epoch < 1 << 32, "epoch outside 0..<2^32")
    precondition(sample >= 0 && sample < 1 << 48, "sample outside 0..<2^48")
    key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    counter = SIMD4(
      0, UInt32(truncatingIfNeeded: sample), UInt32(epoch),
      UInt32(sample >> 32) << 16 | UInt32(purpose.rawValue))
  }

  /// The next 32 random bits.
  package mutating func next() -> UInt32 {
    if used == 4 {
      block = Self.philox(counter: counter, key: key)
      counter[0] += 1
      used = 0
    }
    defer { used += 1 }
    return block[used]
  }

  /// Uniform in `0..<1`, a multiple of 2⁻²⁴. One draw.
  package mutating func uniform() -> Float { Float(next() >> 8) * 0x1p-24 }

  /// Uniform in `0..<1`, a multiple of 2⁻⁵³. Two draws.
  package mutating func uniformDouble() -> Double { Double(next64() >> 11) * 0x1p-53 }

  /// Uniform in `0..<bound`, without bias; `bound` must be positive.
  ///
  /// Source: Lemire, "Fast Random Integer Generation in an Interval", 2019.
  package mutating func next(below bound: Int) -> Int {
    precondition(bound > 0, "an empty interval has no number")
    let bound = UInt64(bound)
    while true {
      let product = next64().multipliedFullWidth(by: bound)
      // The remainder is below the bound: mostly there is no need to divide.
      if product.low >= bound || product.low >= (0 &- bound) % bound { return Int(product.high) }
    }
  }

  /// Normal with mean 0 and variance 1 (Box and Muller's cosine). Four draws.
  package mutating func normal() -> Double {
    let radius = (-2 * log(1 - uniformDouble())).squareRoot()
    return radius * cos(2 * .pi * uniformDouble())
  }

  private mutating func next64() -> UInt64 {
    let low = UInt64(next())
    return UInt64(next()) << 32 | low
  }

  /// Ten rounds of Philox on four words.
  static func philox(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (words, key) = (counter, key)
    for _ in 0..<10 {
      let first = words[0].multipliedFullWidth(by: 0xD251_1F53)
      let second = words[2].multipliedFullWidth(by: 0xCD9E_8D57)
      words = SIMD4(
        second.high ^ words[1] ^ key[0], second.low, first.high ^ words[3] ^ key[1], first.low)
      key &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return words
  }
}
