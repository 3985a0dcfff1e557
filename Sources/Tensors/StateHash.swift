/// A fast hash of memory, by which ranks see that they hold the same: not a digest against forgers.
///
/// Words of 32 bits run through 64 lanes, h ← (h ⊕ w)·m with an odd m, then h ← h ⊕ (h ≫ 15). Both are
/// bijections of h, and so is the lane's way to the combined value: any change within one word of one
/// region is found with certainty, others but for a small chance.
package struct StateHash: Sendable, Equatable {
  package private(set) var value: UInt64 = 0x5265_7056_4747_0001

  package init() {}

  /// Takes in `count` values, bit for bit (0 and −0 differ).
  package mutating func combine(_ values: UnsafePointer<Float>, count: Int) {
    combine(UnsafeRawBufferPointer(start: values, count: count * MemoryLayout<Float>.stride))
  }

  package mutating func combine(_ bytes: UnsafeRawBufferPointer) {
    combine(UInt64(bytes.count))
    combine(Self.lanes(bytes))
  }

  /// A bijection of the value for each word, and of the word for each value.
  package mutating func combine(_ word: UInt64) {
    var mixed = (value ^ word) &* 0x9e37_79b9_7f4a_7c15
    mixed ^= mixed >> 32
    value = mixed &* 0xd6e8_feb8_6659_fd93
    value ^= value >> 29
  }

  private static func lanes(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    typealias Words = SIMD16<UInt32>
    @inline(__always) func step(_ hash: inout Words, _ place: Int) {
      hash = (hash ^ bytes.loadUnaligned(fromByteOffset: place, as: Words.self)) &* multiplier
      hash ^= hash &>> shift
    }
    let (multiplier, shift) = (Words(repeating: 0x85eb_ca6b), Words(repeating: 15))
    var (a, b, c, d) = (Words(repeating: 1), Words(repeating: 2), Words.zero, Words.zero)
    let size = MemoryLayout<Words>.size
    var place = 0
    while place + 4 * size <= bytes.count {
      step(&a, place)
      step(&b, place + size)
      step(&c, place + 2 * size)
      step(&d, place + 3 * size)
      place += 4 * size
    }
    var hash = StateHash()
    for lane in 0..<16 {
      hash.combine(UInt64(a[lane]) << 32 | UInt64(b[lane]))
      hash.combine(UInt64(c[lane]) << 32 | UInt64(d[lane]))
    }
    while place < bytes.count {
      hash.combine(UInt64(bytes[place]))
      place += 1
    }
    return hash.value
  }
}
