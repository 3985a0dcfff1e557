import Kernels

/// From sums over positions to the constants of BatchNorm's passes, for one block.
///
/// Derivations: docs/numerics.md. All of it is Float64, once per channel and step.
struct BlockStatistics {
  let channels: Int
  let branches: Int
  /// Sets of constants: 1 with synchronised statistics, one per shard with local ones.
  let sets: Int
  let epsilon: Double

  /// Positions over which each set's sums ran.
  private(set) var positions: [Double]
  /// [sets][branches][channels]
  private var means: [Double]
  private var variances: [Double]
  private let coefficientStore: UnsafeMutablePointer<Float>

  private var coefficientLength: Int { 4 * channels }
  private var standardisationLength: Int { 2 * branches * channels }
  private var backwardLength: Int { 5 * branches * channels }
  private var setLength: Int { coefficientLength + standardisationLength + backwardLength }

  /// `store`: `storeCount` elements that outlive this value.
  init(
    channels: Int, branches: Int, sets: Int, epsilon: Double, store: UnsafeMutablePointer<Float>
  ) {
    self.channels = channels
    self.branches = branches
    self.sets = sets
    self.epsilon = epsilon
    positions = Array(repeating: 0, count: sets)
    means = Array(repeating: 0, count: sets * branches * channels)
    variances = means
    coefficientStore = store
  }

  static func storeCount(channels: Int, branches: Int, sets: Int) -> Int {
    sets * (4 + 2 * branches + 5 * branches) * channels
  }

  /// a₃, a₁, a₀, b of `normaliseAddRectify`.
  func coefficients(set: Int) -> UnsafeMutablePointer<Float> { coefficientStore + set * setLength }
  /// r, s of `addBackwardSums`, per branch.
  func standardisation(set: Int) -> UnsafeMutablePointer<Float> {
    coefficients(set: set) + coefficientLength
  }
  /// r, s, a, d, e of `applyBackward`, per branch.
  func backwardConstants(set: Int) -> UnsafeMutablePointer<Float> {
    standardisation(set: set) + standardisationLength
  }

  /// Scale γ and shift β of every branch.
  typealias Scales = Branches<(scale: UnsafePointer<Float>, shift: UnsafePointer<Float>)>

  /// Takes `[Σz, Σz²]` of every branch and sets up the forward pass.
  ///
  /// μ = Σz/n, v = Σz²/n − μ² (biased, clamped at 0). A set without positions (an empty shard) is
  /// left as it is: nothing reads it.
  mutating func setForward(
    set: Int, sums: UnsafePointer<Double>, positions count: Double, scales: Scales
  ) {
    positions[set] = count
    guard count > 0 else { return }
    for branch in 0..<branches {
      let first = sums + branch * 2 * channels
      for channel in 0..<channels {
        let mean = first[channel] / count
        let square = first[channels + channel] / count
        means[place(set, branch) + channel] = mean
        variances[place(set, branch) + channel] = clampedAtZero(square - mean * mean)
      }
    }
    setCoefficients(set: set, scales: scales)
  }

  /// Sets up the forward pass from running statistics, in set 0.
  mutating func setForward(running: Branches<BlockParameters.Running>, scales: Scales) {
    running.forEach { branch, running in
      for channel in 0..<channels {
        means[branch * channels + channel] = Double(running.mean[channel])
        variances[branch * channels + channel] = Double(running.variance[channel])
      }
    }
    setCoefficients(set: 0, scales: scales)
  }

  private func place(_ set: Int, _ branch: Int) -> Int { (set * branches + branch) * channels }

  /// max(v, 0) that lets NaN through to the finite check.
  private func clampedAtZero(_ value: Double) -> Double { value < 0 ? 0 : value }

  private func setCoefficients(set: Int, scales: Scales) {
    let target = coefficients(set: set)
    target.update(repeating: 0, count: coefficientLength)
    let standard = standardisation(set: set)
    for channel in 0..<channels {
      var shift = 0.0
      scales.forEach { branch, parameters in
        let mean = means[place(set, branch) + channel]
        let inverse = 1 / (variances[place(set, branch) + channel] + epsilon).squareRoot()
        let factor = Double(parameters.scale[channel]) * inverse
        target[branch * channels + channel] = Float(factor)
        shift += Double(parameters.shift[channel]) - mean * factor
        standard[branch * 2 * channels + channel] = Float(inverse)
        standard[(branch * 2 + 1) * channels + channel] = Float(-mean * inverse)
      }
      target[3 * channels + channel] = Float(shift)
    }
  }

  /// Takes `[Σg, Σg·ẑ per branch]` over the positions of `set` and sets up the backward pass.
  func setBackward(set: Int, sums: UnsafePointer<Double>, scales: Scales) {
    let count = positions[set]
    guard count > 0 else { return }
    let target = backwardConstants(set: set)
    let standard = standardisation(set: set)
    scales.forEach { branch, parameters in
      let constants = target + branch * 5 * channels
      for channel in 0..<channels {
        let variance = variances[place(set, branch) + channel]
        let factor = Double(parameters.scale[channel]) / (variance + epsilon).squareRoot()
        constants[channel] = standard[branch * 2 * channels + channel]
        constants[channels + channel] = standard[(branch * 2 + 1) * channels + channel]
        constants[2 * channels + channel] = Float(factor)
        constants[3 * channels + channel] = Float(-factor * sums[channel] / count)
        constants[4 * channels + channel] = Float(
          -factor * sums[(1 + branch) * channels + channel] / count)
      }
    }
  }

  /// running ← (1 − momentum)·running + momentum·batch, the variance unbiased: v·n/(n − 1).
  func updateRunning(
    branch: Int, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    momentum: Double
  ) {
    let count = positions[0]
    for channel in 0..<channels {
      let batchMean = means[place(0, branch) + channel]
      let batchVariance = variances[place(0, branch) + channel] * count / (count - 1)
      mean[channel] = Float((1 - momentum) * Double(mean[channel]) + momentum * batchMean)
      variance[channel] = Float(
        (1 - momentum) * Double(variance[channel]) + momentum * batchVariance)
    }
  }

  /// Whether the statistics of every set are finite, and will be where they are folded into the
  /// running ones. An empty shard's set says nothing.
  var isFinite: Bool {
    // Half of the largest Float: the running variance takes n/(n − 1), at most twice as much.
    let bound = Double(Float.greatestFiniteMagnitude) / 2
    let length = branches * channels
    for set in 0..<sets where positions[set] > 0 {
      for index in set * length..<(set + 1) * length
      where !(abs(means[index]) < bound && variances[index] < bound) { return false }
    }
    return true
  }
}
