/// Flat loops over arenas: sums, the optimizer, the finite check; and the head's small passes.

/// target ← target + other.
package func add(
  _ other: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int
) {
  forEachChannelGroup(count) { place in
    (SIMD16<Float>.load(target + place) + SIMD16<Float>.load(other + place)).store(target + place)
  } single: { place in
    target[place] += other[place]
  }
}

/// Stochastic gradient descent as PyTorch writes it: d = g + wd·w; v ← m·v + d; w ← w − lr·v, or
/// w ← w − lr·(d + m·v) with `nesterov`.
package struct SGDCoefficients: Sendable {
  package var learningRate: Float
  package var momentum: Float
  package var weightDecay: Float
  package var nesterov: Bool

  package init(learningRate: Float, momentum: Float, weightDecay: Float, nesterov: Bool) {
    self.learningRate = learningRate
    self.momentum = momentum
    self.weightDecay = weightDecay
    self.nesterov = nesterov
  }
}

/// values ← values + share·(target − values), `count` of them.
package func average(
  _ values: UnsafeMutablePointer<Float>, towards target: UnsafePointer<Float>, count: Int,
  share: Float
) {
  forEachChannelGroup(count) { place in
    moveLanes(SIMD16<Float>.self, values + place, target + place, SIMD16(repeating: share))
  } single: { place in
    moveLanes(Float.self, values + place, target + place, share)
  }
}

@inline(__always)
private func moveLanes<L: Lanes>(
  _: L.Type, _ values: UnsafeMutablePointer<Float>, _ target: UnsafePointer<Float>, _ share: L
) {
  let value = L.load(values)
  value.adding(share, times: L.load(target) - value).store(values)
}

/// One optimizer update of `count` parameters; `momentum` holds v.
package func updateSGD(
  parameters: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>,
  momentum: UnsafeMutablePointer<Float>, count: Int, coefficients: SGDCoefficients
) {
  forEachChannelGroup(count) { place in
    updateLanes(
      SIMD16<Float>.self, parameters + place, gradients + place, momentum + place,
      SIMD16(repeating: -coefficients.learningRate), SIMD16(repeating: coefficients.momentum),
      SIMD16(repeating: coefficients.weightDecay), coefficients.nesterov)
  } single: { place in
    updateLanes(
      Float.self, parameters + place, gradients + place, momentum + place,
      -coefficients.learningRate, coefficients.momentum, coefficients.weightDecay,
      coefficients.nesterov)
  }
}

@inline(__always)
private func updateLanes<L: Lanes>(
  _: L.Type, _ parameters: UnsafeMutablePointer<Float>, _ gradients: UnsafePointer<Float>,
  _ momentum: UnsafeMutablePointer<Float>, _ negatedRate: L, _ decayRate: L, _ weightDecay: L,
  _ nesterov: Bool
) {
  let weight = L.load(parameters)
  let direction = L.load(gradients).adding(weightDecay, times: weight)
  let velocity = direction.adding(decayRate, times: L.load(momentum))
  velocity.store(momentum)
  let step = nesterov ? direction.adding(decayRate, times: velocity) : velocity
  weight.adding(negatedRate, times: step).store(parameters)
}

/// The largest magnitude of `count` values; infinite where one of them is not finite.
package func largestMagnitude(_ values: UnsafePointer<Float>, count: Int) -> Float {
  // Without its sign, a number's bits are in the order of magnitudes, with infinity and every NaN above
  // all finite ones. SIMD's own maximum of floats becomes a branch for each lane.
  let magnitude: UInt32 = 0x7fff_ffff
  var (wide, single) = (SIMD16<UInt32>.zero, UInt32(0))
  forEachChannelGroup(count) { place in
    let lanes =
      UnsafeRawPointer(values + place).loadUnaligned(as: SIMD16<UInt32>.self)
      & SIMD16(repeating: magnitude)
    wide.replace(with: lanes, where: lanes .> wide)
  } single: { place in
    single = max(single, values[place].bitPattern & magnitude)
  }
  let largest = max(single, wide.max())
  return largest < Float.infinity.bitPattern ? Float(bitPattern: largest) : .infinity
}

/// Mean over the pixels of each image: [images][pixels][channels] → [images][channels].
package func averagePool(
  _ values: UnsafePointer<Float>, images: Int, pixels: Int, channels: Int,
  output: UnsafeMutablePointer<Float>
) {
  let scale = 1 / Float(pixels)
  for image in 0..<images {
    let input = values + image * pixels * channels
    let mean = output + image * channels
    for channel in 0..<channels { mean[channel] = 0 }
    for pixel in 0..<pixels { add(input + pixel * channels, to: mean, count: channels) }
    for channel in 0..<channels { mean[channel] *= scale }
  }
}

/// The gradient of `averagePool`: every pixel gets its image's gradient over the number of pixels.
package func spreadPoolGradient(
  _ gradient: UnsafePointer<Float>, images: Int, pixels: Int, channels: Int,
  output: UnsafeMutablePointer<Float>
) {
  let scale = 1 / Float(pixels)
  for image in 0..<images {
    let source = gradient + image * channels
    for pixel in 0..<pixels {
      let target = output + (image * pixels + pixel) * channels
      for channel in 0..<channels { target[channel] = source[channel] * scale }
    }
  }
}

/// Adds `bias` ([channels]) to every row of [rows, channels], and applies ReLU where asked.
package func addBias(
  _ bias: UnsafePointer<Float>, rectify: Bool, rows: Int, channels: Int,
  to values: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    let target = values + row * channels
    forEachChannelGroup(channels) { channel in
      let sum = SIMD16<Float>.load(target + channel) + SIMD16<Float>.load(bias + channel)
      (rectify ? sum.rectified() : sum).store(target + channel)
    } single: { channel in
      let sum = target[channel] + bias[channel]
      target[channel] = rectify ? sum.rectified() : sum
    }
  }
}

/// Sums over rows: [rows, channels] → [channels], in row order.
package func sumRows(
  _ values: UnsafePointer<Float>, rows: Int, channels: Int, output: UnsafeMutablePointer<Float>
) {
  for channel in 0..<channels { output[channel] = 0 }
  for row in 0..<rows { add(values + row * channels, to: output, count: channels) }
}
