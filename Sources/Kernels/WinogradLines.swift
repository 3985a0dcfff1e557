/// The one-dimensional transforms of Winograd's F(m, 3): m outputs of a kernel of three from m + 2
/// products (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"). Applied to the
/// columns and then to the rows of a tile they are the two-dimensional ones.
///
/// Every line reads elements `from` apart and writes elements `to` apart, one vector of channels each.
protocol WinogradLines {
  /// Outputs of a line, m.
  static var outputs: Int { get }
  /// Inputs and products of a line, m + 2.
  static var size: Int { get }

  /// Bᵀ·d: inputs to factors.
  static func input<L: Lanes>(_: L.Type, _ line: Line)
  /// B·m, its transpose: products to input gradients.
  static func inputGradient<L: Lanes>(_: L.Type, _ line: Line)
  /// Aᵀ·m: products to outputs.
  static func output<L: Lanes, P: LinePlace>(_: L.Type, _ line: P)
  /// A·y, its transpose: output gradients to factors.
  static func outputGradient<L: Lanes>(_: L.Type, _ line: Line)
  /// G·g: three weights to factors.
  static func weight<L: Lanes>(_: L.Type, _ line: Line)
  /// Gᵀ·u, its transpose: products to three weight gradients.
  static func weightGradient<L: Lanes>(_: L.Type, _ line: Line)
}

/// Where a line reads and writes, as a transform sees it.
protocol LinePlace {
  func load<L: Lanes>(_ index: Int) -> L
  func store<L: Lanes>(_ index: Int, _ value: L)
}

/// Where a line reads and writes.
struct Line: LinePlace {
  var source: UnsafePointer<Float>
  var from: Int
  var target: UnsafeMutablePointer<Float>
  var to: Int

  @inline(__always)
  init(
    _ source: UnsafePointer<Float>, every from: Int, into target: UnsafeMutablePointer<Float>,
    every to: Int
  ) {
    self.source = source
    self.from = from
    self.target = target
    self.to = to
  }

  @inline(__always)
  func load<L: Lanes>(_ index: Int) -> L { L.load(source + index * from) }

  @inline(__always)
  func store<L: Lanes>(_ index: Int, _ value: L) { value.store(target + index * to) }
}

/// F(4, 3) with the points 0, ±1, ±2 and ∞.
enum WinogradF4: WinogradLines {
  @inline(__always) static var outputs: Int { 4 }
  @inline(__always) static var size: Int { 6 }

  @inline(__always)
  static func input<L: Lanes>(_: L.Type, _ line: Line) {
    let (d0, d1, d2): (L, L, L) = (line.load(0), line.load(1), line.load(2))
    let (d3, d4, d5): (L, L, L) = (line.load(3), line.load(4), line.load(5))
    let (four, minusFour, minusFive) = (L.repeating(4), L.repeating(-4), L.repeating(-5))
    let even = d4.adding(minusFour, times: d2)
    let odd = d3.adding(minusFour, times: d1)
    let far = d4 - d2
    let near = (d3 - d1) * L.repeating(2)
    line.store(0, d4.adding(minusFive, times: d2).adding(four, times: d0))
    line.store(1, even + odd)
    line.store(2, even - odd)
    line.store(3, far + near)
    line.store(4, far - near)
    line.store(5, d5.adding(minusFive, times: d3).adding(four, times: d1))
  }

  @inline(__always)
  static func inputGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let (m0, m1, m2): (L, L, L) = (line.load(0), line.load(1), line.load(2))
    let (m3, m4, m5): (L, L, L) = (line.load(3), line.load(4), line.load(5))
    let (s1, d1, s2, d2) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
    let (four, minusFour, minusFive) = (L.repeating(4), L.repeating(-4), L.repeating(-5))
    let twice = d2 * L.repeating(2)
    line.store(0, m0 * four)
    line.store(1, (m5 * four).adding(minusFour, times: d1) - twice)
    line.store(2, (L.zero - s2).adding(minusFour, times: s1).adding(minusFive, times: m0))
    line.store(3, (d1 + twice).adding(minusFive, times: m5))
    line.store(4, m0 + s1 + s2)
    line.store(5, m5)
  }

  @inline(__always)
  static func output<L: Lanes, P: LinePlace>(_: L.Type, _ line: P) {
    let (m1, m2, m3, m4): (L, L, L, L) = (line.load(1), line.load(2), line.load(3), line.load(4))
    let (s1, d1, s2, d2) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
    line.store(0, line.load(0) + s1 + s2)
    line.store(1, d1.adding(L.repeating(2), times: d2))
    line.store(2, s1.adding(L.repeating(4), times: s2))
    line.store(3, (d1 + line.load(5)).adding(L.repeating(8), times: d2))
  }

  @inline(__always)
  static func outputGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let (y0, y1, y2, y3): (L, L, L, L) = (line.load(0), line.load(1), line.load(2), line.load(3))
    let (even, odd) = (y0 + y2, y1 + y3)
    let wideEven = y0.adding(L.repeating(4), times: y2)
    let wideOdd = (y1 * L.repeating(2)).adding(L.repeating(8), times: y3)
    line.store(0, y0)
    line.store(1, even + odd)
    line.store(2, even - odd)
    line.store(3, wideEven + wideOdd)
    line.store(4, wideEven - wideOdd)
    line.store(5, y3)
  }

  @inline(__always)
  static func weight<L: Lanes>(_: L.Type, _ line: Line) {
    let (g0, g1, g2): (L, L, L) = (line.load(0), line.load(1), line.load(2))
    let (sixth, twelfth) = (L.repeating(1.0 / 6), L.repeating(1.0 / 12))
    let outer = (g0 + g2) * L.repeating(-1.0 / 6)
    let wide = (g0 * L.repeating(1.0 / 24)).adding(sixth, times: g2)
    let (inner, wideInner) = (g1 * sixth, g1 * twelfth)
    line.store(0, g0 * L.repeating(0.25))
    line.store(1, outer - inner)
    line.store(2, outer + inner)
    line.store(3, wide + wideInner)
    line.store(4, wide - wideInner)
    line.store(5, g2)
  }

  @inline(__always)
  static func weightGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let (u1, u2, u3, u4): (L, L, L, L) = (line.load(1), line.load(2), line.load(3), line.load(4))
    let (s1, d1, s2, d2) = (u1 + u2, u2 - u1, u3 + u4, u3 - u4)
    let (sixth, minusSixth) = (L.repeating(1.0 / 6), L.repeating(-1.0 / 6))
    let first: L = line.load(0) * L.repeating(0.25)
    line.store(0, first.adding(minusSixth, times: s1).adding(L.repeating(1.0 / 24), times: s2))
    line.store(1, (d1 * sixth).adding(L.repeating(1.0 / 12), times: d2))
    let last: L = line.load(5)
    line.store(2, last.adding(minusSixth, times: s1).adding(sixth, times: s2))
  }
}

/// F(5, 3) with the points 0, ±1, ±2, 1/2 and ∞: its tiles fit images of 14 pixels, where tiles of
/// four leave two pixels over. Relative error 4.3e-6 where F(4, 3) has 2.8e-6.
///
/// A factor is the inputs multiplied by the coefficients of Π (x − p) over the other points; what the
/// pairs ±1 and ±2 have in common is computed once.
enum WinogradF5: WinogradLines {
  @inline(__always) static var outputs: Int { 5 }
  @inline(__always) static var size: Int { 7 }

  @inline(__always)
  static func input<L: Lanes>(_: L.Type, _ line: Line) {
    let (d0, d1, d2, d3): (L, L, L, L) = (line.load(0), line.load(1), line.load(2), line.load(3))
    let (d4, d5, d6): (L, L, L) = (line.load(4), line.load(5), line.load(6))
    let (four, minusFour, minusFive) = (L.repeating(4), L.repeating(-4), L.repeating(-5))
    let minusHalf = L.repeating(-0.5)
    // (x² − 1)(x² − 4) at three shifts.
    let e0 = d4.adding(minusFive, times: d2).adding(four, times: d0)
    let e1 = d5.adding(minusFive, times: d3).adding(four, times: d1)
    let e2 = d6.adding(minusFive, times: d4).adding(four, times: d2)
    line.store(0, e1.adding(minusHalf, times: e0))
    line.store(5, e1)
    line.store(6, e2.adding(minusHalf, times: e1))
    // x(x − 1/2)(x² − 4) at two, for ±1.
    let f2 = d4.adding(minusFour, times: d2)
    let low = f2.adding(minusHalf, times: d3.adding(minusFour, times: d1))
    let high = d5.adding(minusFour, times: d3).adding(minusHalf, times: f2)
    line.store(1, high + low)
    line.store(2, high - low)
    // x(x − 1/2)(x² − 1) at two, for ±2.
    let g2 = d4 - d2
    let wideLow = g2.adding(minusHalf, times: d3 - d1) * L.repeating(2)
    let wideHigh = (d5 - d3).adding(minusHalf, times: g2)
    line.store(3, wideHigh + wideLow)
    line.store(4, wideHigh - wideLow)
  }

  @inline(__always)
  static func inputGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let (m0, m1, m2, m3): (L, L, L, L) = (line.load(0), line.load(1), line.load(2), line.load(3))
    let (m4, m5, m6): (L, L, L) = (line.load(4), line.load(5), line.load(6))
    let (four, minusFour, minusFive) = (L.repeating(4), L.repeating(-4), L.repeating(-5))
    let minusHalf = L.repeating(-0.5)
    // Gradients of the shared terms, then of the inputs.
    let e0 = m0 * minusHalf
    let e1 = (m0 + m5).adding(minusHalf, times: m6)
    let (high, low) = (m1 + m2, m1 - m2)
    let (wideHigh, wideLow) = (m3 + m4, (m3 - m4) * L.repeating(2))
    let f2 = low.adding(minusHalf, times: high)
    let f1 = low * minusHalf
    let g2 = wideLow.adding(minusHalf, times: wideHigh)
    let g1 = wideLow * minusHalf
    line.store(0, e0 * four)
    line.store(1, (e1 * four).adding(minusFour, times: f1) - g1)
    line.store(
      2, (m6 * four).adding(minusFive, times: e0).adding(minusFour, times: f2) - g2)
    line.store(
      3,
      (f1 + g1 - wideHigh).adding(minusFive, times: e1).adding(minusFour, times: high))
    line.store(4, (e0 + f2 + g2).adding(minusFive, times: m6))
    line.store(5, e1 + high + wideHigh)
    line.store(6, m6)
  }

  @inline(__always)
  static func output<L: Lanes, P: LinePlace>(_: L.Type, _ line: P) {
    let (m1, m2, m3, m4): (L, L, L, L) = (line.load(1), line.load(2), line.load(3), line.load(4))
    let half: L = line.load(5)
    let (s1, d1, s2, d2) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
    line.store(0, line.load(0) + s1 + s2 + half)
    line.store(1, d1.adding(L.repeating(2), times: d2).adding(L.repeating(0.5), times: half))
    line.store(2, s1.adding(L.repeating(4), times: s2).adding(L.repeating(0.25), times: half))
    line.store(3, d1.adding(L.repeating(8), times: d2).adding(L.repeating(0.125), times: half))
    line.store(
      4,
      (s1 + line.load(6)).adding(L.repeating(16), times: s2)
        .adding(L.repeating(0.0625), times: half))
  }

  @inline(__always)
  static func outputGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let (y0, y1, y2): (L, L, L) = (line.load(0), line.load(1), line.load(2))
    let (y3, y4): (L, L) = (line.load(3), line.load(4))
    let even = y0 + y2 + y4
    let odd = y1 + y3
    let wideEven = y0.adding(L.repeating(4), times: y2).adding(L.repeating(16), times: y4)
    let wideOdd = (y1 * L.repeating(2)).adding(L.repeating(8), times: y3)
    line.store(0, y0)
    line.store(1, even + odd)
    line.store(2, even - odd)
    line.store(3, wideEven + wideOdd)
    line.store(4, wideEven - wideOdd)
    line.store(
      5,
      y0.adding(L.repeating(0.5), times: y1).adding(L.repeating(0.25), times: y2)
        .adding(L.repeating(0.125), times: y3).adding(L.repeating(0.0625), times: y4))
    line.store(6, y4)
  }

  // 1/N_j with N_j = Π (p_j − p_l) over the other points: −2, −3, 9, 36, −60, 45/32.
  @inline(__always)
  static func weight<L: Lanes>(_: L.Type, _ line: Line) {
    let (g0, g1, g2): (L, L, L) = (line.load(0), line.load(1), line.load(2))
    let even = g0 + g2
    let wideEven = g0.adding(L.repeating(4), times: g2)
    let wideOdd = g1 * L.repeating(2)
    line.store(0, g0 * L.repeating(-0.5))
    line.store(1, (even + g1) * L.repeating(-1.0 / 3))
    line.store(2, (even - g1) * L.repeating(1.0 / 9))
    line.store(3, (wideEven + wideOdd) * L.repeating(1.0 / 36))
    line.store(4, (wideEven - wideOdd) * L.repeating(-1.0 / 60))
    line.store(
      5,
      g0.adding(L.repeating(0.5), times: g1).adding(L.repeating(0.25), times: g2)
        * L.repeating(32.0 / 45))
    line.store(6, g2)
  }

  @inline(__always)
  static func weightGradient<L: Lanes>(_: L.Type, _ line: Line) {
    let u1: L = line.load(1) * L.repeating(-1.0 / 3)
    let u2: L = line.load(2) * L.repeating(1.0 / 9)
    let u3: L = line.load(3) * L.repeating(1.0 / 36)
    let u4: L = line.load(4) * L.repeating(-1.0 / 60)
    let u5: L = line.load(5) * L.repeating(32.0 / 45)
    let u0: L = line.load(0)
    let (s1, s2) = (u1 + u2, u3 + u4)
    line.store(0, (s1 + s2 + u5).adding(L.repeating(-0.5), times: u0))
    line.store(
      1,
      (u1 - u2).adding(L.repeating(2), times: u3 - u4).adding(L.repeating(0.5), times: u5))
    line.store(
      2,
      (s1 + line.load(6)).adding(L.repeating(4), times: s2).adding(L.repeating(0.25), times: u5))
  }
}
