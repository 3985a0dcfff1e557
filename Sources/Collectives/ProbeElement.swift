/// An element type of probes: pseudo-random values whose sum shows the order of summation.
///
/// Signs and mantissas are random and exponents lie 2⁻¹⁶…2¹⁵ (Float) or 2⁻³²…2³¹ (Double) apart,
/// so that most sums of a few round differently in another order and none overflows. The integer
/// mixing is cheap and vectorises: every rank makes the values of all ranks.
protocol ProbeElement: FloatingPoint {
  associatedtype Bits: FixedWidthInteger & UnsignedInteger

  /// Start value of one rank's stream.
  static func stream(_ stream: UInt64, rank: Int) -> Bits
  /// Fills `values` with elements `start…` of a stream.
  static func fill(_ values: UnsafeMutableBufferPointer<Self>, from start: Int, stream: Bits)
  func isBitEqual(to other: Self) -> Bool
}

extension Float: ProbeElement {
  static func stream(_ stream: UInt64, rank: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: Double.stream(stream, rank: rank) >> 32)
  }

  static func fill(_ values: UnsafeMutableBufferPointer<Float>, from start: Int, stream: UInt32) {
    for index in 0..<values.count {
      var bits = UInt32(truncatingIfNeeded: start &+ index) &* 0x9E37_79B1 &+ stream
      bits = (bits ^ bits >> 15) &* 0x85EB_CA77
      bits = (bits ^ bits >> 13) &* 0xC2B2_AE3D
      bits ^= bits >> 16
      values[index] = Float(bitPattern: bits & 0x8FFF_FFFF &+ 111 << 23)
    }
  }

  func isBitEqual(to other: Float) -> Bool { bitPattern == other.bitPattern }
}

extension Double: ProbeElement {
  static func stream(_ stream: UInt64, rank: Int) -> UInt64 {
    mixed(stream &+ UInt64(rank + 1) &* 0x9E37_79B9_7F4A_7C15)
  }

  static func fill(_ values: UnsafeMutableBufferPointer<Double>, from start: Int, stream: UInt64) {
    for index in 0..<values.count {
      let bits = mixed(stream &+ UInt64(start + index) &* 0x9E37_79B9_7F4A_7C15)
      values[index] = Double(bitPattern: bits & 0x83FF_FFFF_FFFF_FFFF &+ 991 << 52)
    }
  }

  func isBitEqual(to other: Double) -> Bool { bitPattern == other.bitPattern }

  /// SplitMix64's finalizer. Source: Steele, Lea, Flood, OOPSLA 2014.
  private static func mixed(_ value: UInt64) -> UInt64 {
    var bits = value
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return bits ^ bits >> 31
  }
}
