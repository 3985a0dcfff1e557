/// The weights of Winograd F(4x4, 3x3), between their place in memory and the 36 products.
///
/// Weights are [group][tap][inputs][outputs] (of one group). The products' right-hand sides are
/// [36][group][panels]: panels over outputs with `inputs` rows for the forward pass, panels over
/// inputs with `outputs` rows for the data gradient. Products of the weight gradient are
/// [36][group][outputs][inputs, padded to whole panels].
struct WinogradWeights {
  var groups: Int
  /// Of one group.
  var inputs: Int
  var outputs: Int

  private var groupWeights: Int { 9 * inputs * outputs }

  /// Elements of all panels of one frequency.
  var forwardMatrix: Int { groups * inputs * Panels.storedColumns(outputs) }
  var backwardMatrix: Int { groups * outputs * Panels.storedColumns(inputs) }
  /// Elements of the products of one frequency of the weight gradient.
  var gradientMatrix: Int { groups * outputs * Panels.storedColumns(inputs) }

  /// Panels of all groups: the tasks of `transformForward` and `transformBackward`.
  var forwardTasks: Int { groups * Panels.count(columns: outputs) }
  var backwardTasks: Int { groups * Panels.count(columns: inputs) }
  /// Elements of scratch of one task of `transformBackward`.
  var backwardScratch: Int { 9 * outputs * Panels.width }

  /// U = G·g·Gᵀ of one panel over outputs.
  func transformForward(
    task: Int, weights: UnsafePointer<Float>, into matrices: UnsafeMutablePointer<Float>
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
        stored: stored, target + input * stored, matrixStride: forwardMatrix)
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
        target + output * stored, matrixStride: backwardMatrix)
    }
  }

  /// One row of a panel; what is beyond `valid` becomes 0.
  @inline(__always)
  private func transformRow(
    _ source: UnsafePointer<Float>, tapStride: Int, valid: Int, stored: Int,
    _ target: UnsafeMutablePointer<Float>, matrixStride: Int
  ) {
    var column = 0
    while column + 8 <= valid {
      transformLanes(SIMD8<Float>.self, source + column, tapStride, target + column, matrixStride)
      column += 8
    }
    while column < valid {
      transformLanes(Float.self, source + column, tapStride, target + column, matrixStride)
      column += 1
    }
    while column < stored {
      for frequency in 0..<WinogradTiles.frequencies {
        target[frequency * matrixStride + column] = 0
      }
      column += 1
    }
  }

  @inline(__always)
  private func transformLanes<L: Lanes>(
    _: L.Type, _ source: UnsafePointer<Float>, _ tapStride: Int,
    _ target: UnsafeMutablePointer<Float>, _ matrixStride: Int
  ) {
    @inline(__always) func column(_ kx: Int) -> Six<L> {
      weightLine(
        (
          L.load(source + kx * tapStride), L.load(source + (3 + kx) * tapStride),
          L.load(source + (6 + kx) * tapStride)
        ))
    }
    let (left, middle, right) = (column(0), column(1), column(2))
    storeMatrices(weightLine((left.0, middle.0, right.0)), target, 0, matrixStride)
    storeMatrices(weightLine((left.1, middle.1, right.1)), target, 1, matrixStride)
    storeMatrices(weightLine((left.2, middle.2, right.2)), target, 2, matrixStride)
    storeMatrices(weightLine((left.3, middle.3, right.3)), target, 3, matrixStride)
    storeMatrices(weightLine((left.4, middle.4, right.4)), target, 4, matrixStride)
    storeMatrices(weightLine((left.5, middle.5, right.5)), target, 5, matrixStride)
  }

  /// dw = Gᵀ·u·G of one panel over inputs, into weights' order.
  func transformGradient(
    task: Int, products: UnsafePointer<Float>, into gradient: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    let stored = Panels.storedColumns(inputs)
    let first = panel * Panels.width
    let end = min(first + Panels.width, inputs)
    let source = products + group * outputs * stored
    let target = gradient + group * groupWeights
    var channel = first
    while channel < end {
      let valid = min(8, end - channel)
      for output in 0..<outputs {
        gradientLanes(source + output * stored + channel, into: scratch)
        for tap in 0..<9 {
          let place = target + (tap * inputs + channel) * outputs + output
          for lane in 0..<valid { place[lane * outputs] = scratch[tap * 8 + lane] }
        }
      }
      channel += 8
    }
  }

  /// Elements of scratch of one task of `transformGradient`.
  static let gradientScratch = 18 * 8 + 9 * 8

  /// Eight channels' 6x6 products to their 3x3 weights, [9][8] at the beginning of `scratch`.
  @inline(__always)
  private func gradientLanes(
    _ source: UnsafePointer<Float>, into scratch: UnsafeMutablePointer<Float>
  ) {
    typealias L = SIMD8<Float>
    let half = scratch + 72
    for j in 0..<6 {
      let w = weightGradientLine(loadMatrixColumn(L.self, source, j, gradientMatrix))
      w.0.store(half + j * 8)
      w.1.store(half + (6 + j) * 8)
      w.2.store(half + (12 + j) * 8)
    }
    for i in 0..<3 {
      let w = weightGradientLine(loadRow(L.self, half + i * 48))
      w.0.store(scratch + (3 * i) * 8)
      w.1.store(scratch + (3 * i + 1) * 8)
      w.2.store(scratch + (3 * i + 2) * 8)
    }
  }
}
