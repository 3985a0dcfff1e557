/// The one-dimensional transforms of Winograd's F(4, 3) with the points 0, ±1, ±2 and ∞ (Lavin and
/// Gray, "Fast Algorithms for Convolutional Neural Networks", section 4.3). Applied to the columns
/// and then to the rows of a tile they are the two-dimensional ones.

typealias Six<L> = (L, L, L, L, L, L)

/// Bᵀ·d: six inputs to six products.
@inline(__always)
func inputLine<L: Lanes>(_ d: Six<L>) -> Six<L> {
  let (two, four, five) = (L.repeating(2), L.repeating(-4), L.repeating(-5))
  let even = d.4.adding(four, times: d.2)
  let odd = d.3.adding(four, times: d.1)
  let far = d.4 - d.2
  let near = (d.3 - d.1) * two
  let quadruple = L.repeating(4)
  return (
    d.4.adding(five, times: d.2).adding(quadruple, times: d.0), even + odd, even - odd, far + near,
    far - near, d.5.adding(five, times: d.3).adding(quadruple, times: d.1)
  )
}

/// B·m, the transpose of `inputLine`: six products to six input gradients.
@inline(__always)
func inputGradientLine<L: Lanes>(_ m: Six<L>) -> Six<L> {
  let (s1, d1) = (m.1 + m.2, m.1 - m.2)
  let (s2, d2) = (m.3 + m.4, m.3 - m.4)
  let (two, four) = (L.repeating(2), L.repeating(4))
  let (minusFour, minusFive) = (L.repeating(-4), L.repeating(-5))
  let twice = d2 * two
  return (
    m.0 * four, (m.5 * four).adding(minusFour, times: d1) - twice,
    (L.zero - s2).adding(minusFour, times: s1).adding(minusFive, times: m.0),
    (d1 + twice).adding(minusFive, times: m.5), m.0 + s1 + s2, m.5
  )
}

/// Aᵀ·m: six products to four outputs.
@inline(__always)
func outputLine<L: Lanes>(_ m: Six<L>) -> (L, L, L, L) {
  let (s1, d1) = (m.1 + m.2, m.1 - m.2)
  let (s2, d2) = (m.3 + m.4, m.3 - m.4)
  return (
    m.0 + s1 + s2, d1.adding(L.repeating(2), times: d2), s1.adding(L.repeating(4), times: s2),
    (d1 + m.5).adding(L.repeating(8), times: d2)
  )
}

/// A·y, the transpose of `outputLine`: four output gradients to six factors.
@inline(__always)
func outputGradientLine<L: Lanes>(_ y: (L, L, L, L)) -> Six<L> {
  let (even, odd) = (y.0 + y.2, y.1 + y.3)
  let wideEven = y.0.adding(L.repeating(4), times: y.2)
  let wideOdd = (y.1 * L.repeating(2)).adding(L.repeating(8), times: y.3)
  return (y.0, even + odd, even - odd, wideEven + wideOdd, wideEven - wideOdd, y.3)
}

/// G·g: three weights to six factors.
@inline(__always)
func weightLine<L: Lanes>(_ g: (L, L, L)) -> Six<L> {
  let (sixth, twelfth) = (L.repeating(1.0 / 6), L.repeating(1.0 / 12))
  let outer = (g.0 + g.2) * L.repeating(-1.0 / 6)
  let wide = (g.0 * L.repeating(1.0 / 24)).adding(sixth, times: g.2)
  let (inner, wideInner) = (g.1 * sixth, g.1 * twelfth)
  return (
    g.0 * L.repeating(0.25), outer - inner, outer + inner, wide + wideInner, wide - wideInner, g.2
  )
}

/// Gᵀ·u, the transpose of `weightLine`: six products to three weight gradients.
@inline(__always)
func weightGradientLine<L: Lanes>(_ u: Six<L>) -> (L, L, L) {
  let (s1, d1) = (u.1 + u.2, u.2 - u.1)
  let (s2, d2) = (u.3 + u.4, u.3 - u.4)
  let (sixth, minusSixth) = (L.repeating(1.0 / 6), L.repeating(-1.0 / 6))
  return (
    (u.0 * L.repeating(0.25)).adding(minusSixth, times: s1).adding(L.repeating(1.0 / 24), times: s2),
    (d1 * sixth).adding(L.repeating(1.0 / 12), times: d2),
    u.5.adding(minusSixth, times: s1).adding(sixth, times: s2)
  )
}
