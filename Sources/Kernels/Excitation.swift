import Glibc

/// Squeeze-and-excitation's passes over one image, [rows, channels] with a row for each pixel, and
/// over its vectors of channels (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018): a block's
/// branch sum s becomes y = ReLU(s·a), where a, one factor in 0…1 for each channel, comes from the
/// means of s.

/// y ← a·ReLU(s) in place, which is ReLU(s·a) as no a is negative; `scale` is a.
///
/// Where `sums` is given, Σy and Σy² are added to it ([2][channels]), as `normaliseAddRectify` does.
package func excite(
  _ values: UnsafeMutablePointer<Float>, rows: Int, channels: Int, scale: UnsafePointer<Float>,
  sums: UnsafeMutablePointer<Double>?
) {
  forEachRun(rows) { run in
    forEachChannelGroup(channels) { channel in
      exciteRun(SIMD16<Float>.self, values, run, channel, channels, scale)
    } single: { channel in
      exciteRun(Float.self, values, run, channel, channels, scale)
    }
    if let sums {
      addChannelSums(
        values + run.lowerBound * channels, rows: run.count, channels: channels, sums: sums)
    }
  }
}

@inline(__always)
private func exciteRun<L: Lanes>(
  _: L.Type, _ values: UnsafeMutablePointer<Float>, _ run: Range<Int>, _ channel: Int,
  _ channels: Int, _ scale: UnsafePointer<Float>
) {
  let factor = L.load(scale + channel)
  for row in run {
    let place = values + row * channels + channel
    (L.load(place).rectified() * factor).store(place)
  }
}

/// Adds Σ dy·y of every channel to `sums` ([channels]).
package func addProductSums(
  _ gradient: UnsafePointer<Float>, _ output: UnsafePointer<Float>, rows: Int, channels: Int,
  sums: UnsafeMutablePointer<Double>
) {
  forEachRun(rows) { run in
    forEachChannelGroup(channels) { channel in
      addProductRun(SIMD16<Float>.self, gradient, output, run, channel, channels, sums)
    } single: { channel in
      addProductRun(Float.self, gradient, output, run, channel, channels, sums)
    }
  }
}

@inline(__always)
private func addProductRun<L: Lanes>(
  _: L.Type, _ gradient: UnsafePointer<Float>, _ output: UnsafePointer<Float>, _ run: Range<Int>,
  _ channel: Int, _ channels: Int, _ sums: UnsafeMutablePointer<Double>
) {
  var sum = L.zero
  for row in run {
    let place = row * channels + channel
    sum = sum.adding(L.load(gradient + place), times: L.load(output + place))
  }
  sum.accumulate(into: sums + channel)
}

/// dL/ds ← a·dy·[y > 0] + c in place of dy: `scale` is a, `shift` is c, what comes back through the
/// means of s.
package func exciteGradient(
  _ gradient: UnsafeMutablePointer<Float>, gate output: UnsafePointer<Float>, rows: Int,
  channels: Int, scale: UnsafePointer<Float>, shift: UnsafePointer<Float>
) {
  forEachRun(rows) { run in
    forEachChannelGroup(channels) { channel in
      exciteGradientRun(
        SIMD16<Float>.self, gradient, output, run, channel, channels, scale, shift)
    } single: { channel in
      exciteGradientRun(Float.self, gradient, output, run, channel, channels, scale, shift)
    }
  }
}

@inline(__always)
private func exciteGradientRun<L: Lanes>(
  _: L.Type, _ gradient: UnsafeMutablePointer<Float>, _ output: UnsafePointer<Float>,
  _ run: Range<Int>, _ channel: Int, _ channels: Int, _ scale: UnsafePointer<Float>,
  _ shift: UnsafePointer<Float>
) {
  let (factor, offset) = (L.load(scale + channel), L.load(shift + channel))
  for row in run {
    let place = row * channels + channel
    let gated = L.load(gradient + place).gated(by: L.load(output + place))
    offset.adding(factor, times: gated).store(gradient + place)
  }
}

/// u ← 1/(1 + e^−u) for `count` values, in place; 0 where e^−u is beyond all numbers.
package func sigmoid(_ values: UnsafeMutablePointer<Float>, count: Int) {
  for place in 0..<count { values[place] = Float(1 / (1 + exp(-Double(values[place])))) }
}
