/// The weights of Winograd F(mxm, 3x3), between their place in memory and the (m + 2)² products.
///
/// Weights are [group][tap][inputs][outputs] (of one group). The products' right-hand sides are
/// [(m + 2)²][group][panels]: panels over outputs with `inputs` rows for the forward pass, panels over
/// inputs with `outputs` rows for the data gradient. Products of the weight gradient are
/// [(m + 2)²][group][panels], too: panels over inputs with `outputs` rows.
struct WinogradWeights<F: WinogradLines> {
  var groups: Int
  /// Of one group.
  var inputs: Int
  var outputs: Int

  private var groupWeights: Int { 9 * inputs * outputs }

  /// Elements of all panels of one frequency.
  var forwardMatrix: Int { spread(groups * inputs * Panels.storedColumns(outputs)) }
  var backwardMatrix: Int { spread(groups * outputs * Panels.storedColumns(inputs)) }
  /// Elements of the products of one frequency of the weight gradient.
  var gradientMatrix: Int { spread(groups * outputs * Panels.storedColumns(inputs)) }

  /// Panels of all groups: the tasks of `transformForward` and `transformBackward`.
  var forwardTasks: Int { groups * Panels.count(columns: outputs) }
  var backwardTasks: Int { groups * Panels.count(columns: inputs) }
  /// Elements of scratch of one task of `transformBackward`.
  var backwardScratch: Int { 9 * outputs * Panels.width + Self.lineScratch }
  /// Elements of scratch of the other transforms.
  static var lineScratch: Int { 3 * F.size * 8 + 9 * 8 }

  /// U = G·g·Gᵀ of one panel over outputs.
  func transformForward(
    task: Int, weights: UnsafePointer<Float>, into matrices: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: outputs))
    let stored = Panels.storedWidth(panel: panel, columns: outputs)
    let first = panel * Panels.width
    let source = weights + group * groupWeights + first
    let target =
      matrices + group * inputs * Panels.storedColumns(outputs) + first * inputs
    for input in 0..<inputs {
      transformRow(
        source + input * outputs, tapStride: inputs * outputs, valid: min(stored, outputs - first),
        stored: stored, target + input * stored, matrixStride: forwardMatrix, scratch)
    }
  }

  /// The same of the weights with inputs and outputs exchanged: one panel over inputs.
  func transformBackward(
    task: Int, weights: UnsafePointer<Float>, into matrices: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    let stored = Panels.storedWidth(panel: panel, columns: inputs)
    let first = panel * Panels.width
    let target =
      matrices + group * outputs * Panels.storedColumns(inputs) + first * outputs
    for tap in 0..<9 {
      let source = weights + group * groupWeights + tap * inputs * outputs
      // One panel, at the beginning of its own part of the scratch.
      Panels.packTransposed(
        source, stride: outputs, depth: outputs, columns: inputs, panel: panel,
        into: scratch + tap * outputs * stored - first * outputs)
    }
    for output in 0..<outputs {
      transformRow(
        scratch + output * stored, tapStride: outputs * stored, valid: stored, stored: stored,
        target + output * stored, matrixStride: backwardMatrix,
        scratch + 9 * outputs * Panels.width)
    }
  }

  /// One row of a panel; what is beyond `valid` becomes 0.
  @inline(__always)
  private func transformRow(
    _ source: UnsafePointer<Float>, tapStride: Int, valid: Int, stored: Int,
    _ target: UnsafeMutablePointer<Float>, matrixStride: Int,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    var column = 0
    while column + 8 <= valid {
      transformLanes(
        SIMD8<Float>.self, source + column, tapStride, target + column, matrixStride, scratch)
      column += 8
    }
    while column < valid {
      transformLanes(
        Float.self, source + column, tapStride, target + column, matrixStride, scratch)
      column += 1
    }
    while column < stored {
      for frequency in 0..<WinogradTiles<F>.frequencies {
        target[frequency * matrixStride + column] = 0
      }
      column += 1
    }
  }

  @inline(__always)
  private func transformLanes<L: Lanes>(
    _: L.Type, _ source: UnsafePointer<Float>, _ tapStride: Int,
    _ target: UnsafeMutablePointer<Float>, _ matrixStride: Int,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    // The kernel's columns, [size][3], then its rows.
    for kx in 0..<3 {
      F.weight(
        L.self,
        Line(
          source + kx * tapStride, every: 3 * tapStride, into: scratch + kx * L.width,
          every: 3 * L.width))
    }
    for i in 0..<F.size {
      F.weight(
        L.self,
        Line(
          scratch + 3 * i * L.width, every: L.width, into: target + i * F.size * matrixStride,
          every: matrixStride))
    }
  }

  /// dw = Gᵀ·u·G of one panel over inputs, into weights' order.
  func transformGradient(
    task: Int, products: UnsafePointer<Float>, into gradient: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    let stored = Panels.storedWidth(panel: panel, columns: inputs)
    let first = panel * Panels.width
    let source =
      products + group * outputs * Panels.storedColumns(inputs) + first * outputs
    let target = gradient + group * groupWeights
    for output in 0..<outputs {
      var lane = 0
      while first + lane < min(first + stored, inputs) {
        gradientLanes(source + output * stored + lane, into: scratch)
        let valid = min(8, inputs - first - lane)
        for tap in 0..<9 {
          let place = target + (tap * inputs + first + lane) * outputs + output
          for next in 0..<valid { place[next * outputs] = scratch[tap * 8 + next] }
        }
        lane += 8
      }
    }
  }

  /// Eight channels' products to their 3x3 weights, [9][8] at the beginning of `scratch`.
  @inline(__always)
  private func gradientLanes(
    _ source: UnsafePointer<Float>, into scratch: UnsafeMutablePointer<Float>
  ) {
    typealias L = SIMD8<Float>
    let half = scratch + 9 * 8
    for j in 0..<F.size {
      F.weightGradient(
        L.self,
        Line(
          source + j * gradientMatrix, every: F.size * gradientMatrix, into: half + j * 8,
          every: F.size * 8))
    }
    for i in 0..<3 {
      F.weightGradient(
        L.self, Line(half + i * F.size * 8, every: 8, into: scratch + 3 * i * 8, every: 8))
    }
  }
}

/// The distance between matrices of `count` elements that transforms read or write together: an odd
/// number of cache lines. At distances of large powers of two all of them would share a few lines of
/// the caches.
func spread(_ count: Int) -> Int { ((count + 15) / 16 | 1) * 16 }
