/// Loops that do one thing as fast as a core can: what `repvgg bench kernels` holds the kernels
/// against. They are timed by the caller.
package enum PeakMeasurement {
  /// Multiply-adds in registers: as many sums at a time as cover the units' latency, and operands
  /// that never leave their registers.
  ///
  /// Returns the floating-point operations done (a multiply-add counts as two) and what came of them,
  /// which the caller has to use, so that nothing is left out.
  @inline(never)
  package static func multiplyAdd(rounds: Int) -> (operations: Double, result: Float) {
    Panels.areWide
      ? multiplyAdd(TwiceSIMD16.self, rounds) : multiplyAdd(SIMD16<Float>.self, rounds)
  }

  /// Six sums of two registers each.
  @inline(__always)
  private static func multiplyAdd<L: Lanes>(
    _: L.Type, _ rounds: Int
  ) -> (operations: Double, result: Float) {
    // Factors below 1, so that no sum grows without bound or becomes denormal.
    let (a, b) = (L.repeating(0.999), L.repeating(0.001))
    var (c0, c1, c2) = (L.repeating(1), L.repeating(2), L.repeating(3))
    var (c3, c4, c5) = (L.repeating(4), L.repeating(5), L.repeating(6))
    for _ in 0..<rounds {
      c0 = b.adding(a, times: c0)
      c1 = b.adding(a, times: c1)
      c2 = b.adding(a, times: c2)
      c3 = b.adding(a, times: c3)
      c4 = b.adding(a, times: c4)
      c5 = b.adding(a, times: c5)
    }
    var lanes = [Float](repeating: 0, count: L.width)
    let sum = c0 + c1 + c2 + c3 + c4 + c5
    lanes.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { sum.store(base) }
    }
    return (Double(rounds * 6 * L.width * 2), lanes.reduce(0, +))
  }

  /// The sum of `count` values (a multiple of 64), read once and in order.
  @inline(never)
  package static func read(_ values: UnsafePointer<Float>, count: Int) -> Float {
    var (s0, s1) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    var (s2, s3) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    var place = 0
    while place + 64 <= count {
      s0 = s0 + SIMD16<Float>.load(values + place)
      s1 = s1 + SIMD16<Float>.load(values + place + 16)
      s2 = s2 + SIMD16<Float>.load(values + place + 32)
      s3 = s3 + SIMD16<Float>.load(values + place + 48)
      place += 64
    }
    return (s0 + s1 + s2 + s3).sum()
  }

  /// Copies `count` values (a multiple of 16), negative ones as 0, with the plain loads and stores of
  /// the element-wise passes: a line that is written is read first, as there.
  @inline(never)
  package static func copyRectified(
    _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int
  ) {
    var place = 0
    while place + 16 <= count {
      SIMD16<Float>.load(source + place).rectified().store(target + place)
      place += 16
    }
  }
}
