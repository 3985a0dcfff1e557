/// BatchNorm over the branches of a RepVGG block, in passes over row-major [rows, channels]
/// activations (a row is one pixel of one image). Each function works on a run of rows that one
/// thread owns; sums go to Float64 from Float32 runs of 32 rows, in an order that the number of rows
/// alone decides.

/// Adds Σv and Σv² of every channel to `sums` ([2][channels]).
package func addChannelSums(
  _ values: UnsafePointer<Float>, rows: Int, channels: Int, sums: UnsafeMutablePointer<Double>
) {
  forEachRun(rows) { run in
    forEachChannelGroup(channels) { channel in
      addRunSums(SIMD16<Float>.self, values, run, channel, channels, sums)
    } single: { channel in
      addRunSums(Float.self, values, run, channel, channels, sums)
    }
  }
}

@inline(__always)
private func addRunSums<L: Lanes>(
  _: L.Type, _ values: UnsafePointer<Float>, _ run: Range<Int>, _ channel: Int, _ channels: Int,
  _ sums: UnsafeMutablePointer<Double>
) {
  var sum = L.zero
  var squares = L.zero
  for row in run {
    let value = L.load(values + row * channels + channel)
    sum = sum + value
    squares = squares.adding(value, times: value)
  }
  sum.accumulate(into: sums + channel)
  squares.accumulate(into: sums + channels + channel)
}

/// One value for each branch of a block, in the order of the statistics messages.
package struct Branches<Value> {
  package var dense: Value
  package var pointwise: Value
  /// Where the block has an identity branch.
  package var identity: Value?

  package init(dense: Value, pointwise: Value, identity: Value?) {
    self.dense = dense
    self.pointwise = pointwise
    self.identity = identity
  }

  /// Calls `body` with every branch that there is, and its index.
  @inline(__always)
  package func forEach(_ body: (Int, Value) -> Void) {
    body(0, dense)
    body(1, pointwise)
    if let identity { body(2, identity) }
  }
}

/// y ← ReLU(a₃·z₃ + a₁·z₁ + a₀·x + b), one pass.
///
/// `coefficients` is [4][channels]: a₃, a₁, a₀, b, with a = γ/σ and b = Σ(β − μ·γ/σ). Where `sums`
/// is given, Σy and Σy² are added to it ([2][channels]): the statistics of the next block's identity
/// branch.
package func normaliseAddRectify(
  _ branches: Branches<UnsafePointer<Float>>, output: UnsafeMutablePointer<Float>, rows: Int,
  channels: Int, coefficients: UnsafePointer<Float>, sums: UnsafeMutablePointer<Double>?
) {
  forEachRun(rows) { run in
    normaliseRun(branches, output, run, channels, coefficients, rectify: true)
    if let sums {
      addChannelSums(
        output + run.lowerBound * channels, rows: run.count, channels: channels, sums: sums)
    }
  }
}

/// s ← a₃·z₃ + a₁·z₁ + a₀·x + b: `normaliseAddRectify` without the ReLU and the sums, for what comes
/// between (`excite`).
package func normaliseAdd(
  _ branches: Branches<UnsafePointer<Float>>, output: UnsafeMutablePointer<Float>, rows: Int,
  channels: Int, coefficients: UnsafePointer<Float>
) {
  forEachRun(rows) { run in
    normaliseRun(branches, output, run, channels, coefficients, rectify: false)
  }
}

@inline(__always)
private func normaliseRun(
  _ branches: Branches<UnsafePointer<Float>>, _ output: UnsafeMutablePointer<Float>,
  _ run: Range<Int>, _ channels: Int, _ coefficients: UnsafePointer<Float>, rectify: Bool
) {
  forEachChannelGroup(channels) { channel in
    normaliseLanes(
      SIMD16<Float>.self, branches, output, run, channel, channels, coefficients, rectify)
  } single: { channel in
    normaliseLanes(Float.self, branches, output, run, channel, channels, coefficients, rectify)
  }
}

@inline(__always)
private func normaliseLanes<L: Lanes>(
  _: L.Type, _ branches: Branches<UnsafePointer<Float>>, _ output: UnsafeMutablePointer<Float>,
  _ run: Range<Int>, _ channel: Int, _ channels: Int, _ coefficients: UnsafePointer<Float>,
  _ rectify: Bool
) {
  let dense = L.load(coefficients + channel)
  let pointwise = L.load(coefficients + channels + channel)
  let identity = L.load(coefficients + 2 * channels + channel)
  let shift = L.load(coefficients + 3 * channels + channel)
  for row in run {
    let place = row * channels + channel
    var sum = shift.adding(dense, times: L.load(branches.dense + place))
    sum = sum.adding(pointwise, times: L.load(branches.pointwise + place))
    if let input = branches.identity { sum = sum.adding(identity, times: L.load(input + place)) }
    (rectify ? sum.rectified() : sum).store(output + place)
  }
}

/// The gradient that enters a block and the gate of its ReLU, each [rows, channels].
package struct GatedGradient {
  package var gradient: UnsafePointer<Float>
  /// The block's output y; the gradient passes where y > 0. None where it passes everywhere.
  package var gate: UnsafePointer<Float>?

  package init(gradient: UnsafePointer<Float>, gate: UnsafePointer<Float>?) {
    self.gradient = gradient
    self.gate = gate
  }
}

/// g as the backward passes load it: a type for each kind, so that no loop asks which it is.
private protocol GradientSource {
  func load<L: Lanes>(_: L.Type, _ place: Int) -> L
}

private struct Gated: GradientSource {
  var gradient: UnsafePointer<Float>
  var gate: UnsafePointer<Float>

  @inline(__always) func load<L: Lanes>(_: L.Type, _ place: Int) -> L {
    L.load(gradient + place).gated(by: L.load(gate + place))
  }
}

private struct Ungated: GradientSource {
  var gradient: UnsafePointer<Float>

  @inline(__always) func load<L: Lanes>(_: L.Type, _ place: Int) -> L {
    L.load(gradient + place)
  }
}

/// Adds Σg and, for every branch, Σg·ẑ to `sums` ([1 + branches][channels]), one pass.
///
/// g = dy·[y > 0] (or dy without a gate); ẑ = z·r + s. `branches` are the branches' z; `standardisation` is
/// [branches][2][channels]: r = 1/σ and s = −μ/σ.
package func addBackwardSums(
  _ gated: GatedGradient, branches: Branches<UnsafePointer<Float>>, rows: Int, channels: Int,
  standardisation: UnsafePointer<Float>, sums: UnsafeMutablePointer<Double>
) {
  if let gate = gated.gate {
    addBackwardSums(
      Gated(gradient: gated.gradient, gate: gate), branches, rows, channels, standardisation, sums)
  } else {
    addBackwardSums(
      Ungated(gradient: gated.gradient), branches, rows, channels, standardisation, sums)
  }
}

@inline(__always)
private func addBackwardSums(
  _ source: some GradientSource, _ branches: Branches<UnsafePointer<Float>>, _ rows: Int,
  _ channels: Int, _ standardisation: UnsafePointer<Float>, _ sums: UnsafeMutablePointer<Double>
) {
  forEachRun(rows) { run in
    branches.forEach { index, branch in
      let constants = standardisation + index * 2 * channels
      let branchSums = sums + (1 + index) * channels
      let gradientSums = index == 0 ? sums : nil
      forEachChannelGroup(channels) { channel in
        addBackwardRunSums(
          SIMD16<Float>.self, source, branch, run, channel, channels, constants, branchSums,
          gradientSums)
      } single: { channel in
        addBackwardRunSums(
          Float.self, source, branch, run, channel, channels, constants, branchSums, gradientSums)
      }
    }
  }
}

@inline(__always)
private func addBackwardRunSums<L: Lanes>(
  _: L.Type, _ source: some GradientSource, _ branch: UnsafePointer<Float>, _ run: Range<Int>,
  _ channel: Int, _ channels: Int, _ constants: UnsafePointer<Float>,
  _ branchSums: UnsafeMutablePointer<Double>, _ gradientSums: UnsafeMutablePointer<Double>?
) {
  let scale = L.load(constants + channel)
  let shift = L.load(constants + channels + channel)
  var gradientSum = L.zero
  var productSum = L.zero
  for row in run {
    let place = row * channels + channel
    let gradient = source.load(L.self, place)
    let standardised = shift.adding(scale, times: L.load(branch + place))
    gradientSum = gradientSum + gradient
    productSum = productSum.adding(gradient, times: standardised)
  }
  productSum.accumulate(into: branchSums + channel)
  if let gradientSums { gradientSum.accumulate(into: gradientSums + channel) }
}

/// One branch of the backward application: reads z, writes dz (which may be the same memory).
package struct BackwardBranch {
  package var value: UnsafePointer<Float>
  package var gradient: UnsafeMutablePointer<Float>

  package init(value: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>) {
    self.value = value
    self.gradient = gradient
  }
}

/// dz ← a·g + d + e·ẑ for every branch, one pass.
///
/// With a = γ/σ, d = −a·dβ/n, e = −a·dγ/n this is dz = γ/σ·(g − dβ/n − ẑ·dγ/n). `constants` is
/// [branches][5][channels]: r, s (as in `addBackwardSums`), a, d, e.
package func applyBackward(
  _ gated: GatedGradient, branches: Branches<BackwardBranch>, rows: Int, channels: Int,
  constants: UnsafePointer<Float>
) {
  if let gate = gated.gate {
    applyBackward(
      Gated(gradient: gated.gradient, gate: gate), branches, rows, channels, constants)
  } else {
    applyBackward(Ungated(gradient: gated.gradient), branches, rows, channels, constants)
  }
}

@inline(__always)
private func applyBackward(
  _ source: some GradientSource, _ branches: Branches<BackwardBranch>, _ rows: Int,
  _ channels: Int, _ constants: UnsafePointer<Float>
) {
  forEachRun(rows) { run in
    branches.forEach { index, branch in
      let branchConstants = constants + index * 5 * channels
      forEachChannelGroup(channels) { channel in
        applyBackwardRun(
          SIMD16<Float>.self, source, branch, run, channel, channels, branchConstants)
      } single: { channel in
        applyBackwardRun(Float.self, source, branch, run, channel, channels, branchConstants)
      }
    }
  }
}

@inline(__always)
private func applyBackwardRun<L: Lanes>(
  _: L.Type, _ source: some GradientSource, _ branch: BackwardBranch, _ run: Range<Int>,
  _ channel: Int, _ channels: Int, _ constants: UnsafePointer<Float>
) {
  let scale = L.load(constants + channel)
  let shift = L.load(constants + channels + channel)
  let a = L.load(constants + 2 * channels + channel)
  let d = L.load(constants + 3 * channels + channel)
  let e = L.load(constants + 4 * channels + channel)
  for row in run {
    let place = row * channels + channel
    let standardised = shift.adding(scale, times: L.load(branch.value + place))
    d.adding(e, times: standardised).adding(a, times: source.load(L.self, place))
      .store(branch.gradient + place)
  }
}

/// g of every row into `output`; Σg is added to `sums` ([channels]).
func gateRows(
  _ gated: GatedGradient, rows: Int, channels: Int, into output: UnsafeMutablePointer<Float>,
  sums: UnsafeMutablePointer<Double>
) {
  if let gate = gated.gate {
    gateRows(Gated(gradient: gated.gradient, gate: gate), rows, channels, output, sums)
  } else {
    gateRows(Ungated(gradient: gated.gradient), rows, channels, output, sums)
  }
}

@inline(__always)
private func gateRows(
  _ source: some GradientSource, _ rows: Int, _ channels: Int,
  _ output: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
) {
  forEachRun(rows) { run in
    forEachChannelGroup(channels) { channel in
      gateRun(SIMD16<Float>.self, source, run, channel, channels, output, sums)
    } single: { channel in
      gateRun(Float.self, source, run, channel, channels, output, sums)
    }
  }
}

@inline(__always)
private func gateRun<L: Lanes>(
  _: L.Type, _ source: some GradientSource, _ run: Range<Int>, _ channel: Int, _ channels: Int,
  _ output: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
) {
  var sum = L.zero
  for row in run {
    let place = row * channels + channel
    let value = source.load(L.self, place)
    value.store(output + place)
    sum = sum + value
  }
  sum.accumulate(into: sums + channel)
}
