import CKernelBuild

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

  /// Elements of all panels of one frequency; the weight gradient's products are laid out as the data
  /// gradient's weights.
  var forwardMatrix: Int { spread(groups * inputs * Panels.storedColumns(outputs)) }
  var backwardMatrix: Int { spread(groups * outputs * Panels.storedColumns(inputs)) }

  /// Panels of all groups: the tasks of `transformForward` and `transformBackward`.
  var forwardTasks: Int { groups * Panels.count(columns: outputs) }
  var backwardTasks: Int { groups * Panels.count(columns: inputs) }
  /// Elements of scratch of one task of `transformBackward`.
  var backwardScratch: Int { 9 * outputs * Panels.width + Self.lineScratch }
  /// Elements of scratch of one task of `transformForward`.
  static var lineScratch: Int { 3 * F.size * 8 }

  /// Where a panel of transformed weights or of products lies in the first of the (m + 2)² matrices,
  /// and how far apart the matrices are.
  struct PanelPlace {
    var panel: UnsafeMutablePointer<Float>
    var matrixStride: Int
  }

  /// The place of panel `task` over outputs among all panels.
  func forwardPlace(task: Int, in matrices: UnsafeMutablePointer<Float>) -> PanelPlace {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: outputs))
    return PanelPlace(
      panel: matrices + group * inputs * Panels.storedColumns(outputs)
        + panel * Panels.width * inputs, matrixStride: forwardMatrix)
  }

  /// The place of panel `task` over inputs among all panels.
  func backwardPlace(task: Int, in matrices: UnsafeMutablePointer<Float>) -> PanelPlace {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    return PanelPlace(
      panel: matrices + group * outputs * Panels.storedColumns(inputs)
        + panel * Panels.width * outputs, matrixStride: backwardMatrix)
  }

  /// U = G·g·Gᵀ of one panel over outputs.
  func transformForward(
    task: Int, weights: UnsafePointer<Float>, into target: PanelPlace,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: outputs))
    let stored = Panels.storedWidth(panel: panel, columns: outputs)
    let first = panel * Panels.width
    let source = weights + group * groupWeights + first
    for input in 0..<inputs {
      // A panel's rows lie far apart: the caches do not foresee them.
      if input + 8 < inputs {
        for tap in 0..<9 {
          kernel_build_prefetch(source + (tap * inputs + input + 8) * outputs)
        }
      }
      transformRow(
        source + input * outputs, tapStride: inputs * outputs, valid: min(stored, outputs - first),
        stored: stored, target.panel + input * stored, matrixStride: target.matrixStride, scratch)
    }
  }

  /// The same of the weights with inputs and outputs exchanged: one panel over inputs.
  func transformBackward(
    task: Int, weights: UnsafePointer<Float>, into target: PanelPlace,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    let stored = Panels.storedWidth(panel: panel, columns: inputs)
    let first = panel * Panels.width
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
        target.panel + output * stored, matrixStride: target.matrixStride,
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

  /// dw (+)= Gᵀ·u·G of one panel over inputs, into weights' order.
  ///
  /// `products`: the panel's products. Takes `gradientScratch` elements of scratch.
  func transformGradient(
    task: Int, products: PanelPlace, into gradient: UnsafeMutablePointer<Float>, accumulate: Bool,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(dividingBy: Panels.count(columns: inputs))
    let stored = Panels.storedWidth(panel: panel, columns: inputs)
    let first = panel * Panels.width
    let target = gradient + group * groupWeights
    let half = scratch + Self.blockOutputs * 9 * 8
    // Blocks of whole cache lines of the gradient: eight inputs of sixteen outputs.
    var output = 0
    while output < outputs {
      let count = min(Self.blockOutputs, outputs - output)
      var lane = 0
      while first + lane < min(first + stored, inputs) {
        for next in 0..<count {
          // Where the next block goes: too many places for the caches to foresee.
          if next < 8 && first + lane + next < inputs && output + Self.blockOutputs < outputs {
            let place = target + (first + lane + next) * outputs + output + Self.blockOutputs
            for tap in 0..<9 { kernel_build_prefetch_write(place + tap * inputs * outputs) }
          }
          gradientLanes(
            products.panel + (output + next) * stored + lane, products.matrixStride,
            into: scratch + next * 9 * 8, half: half)
        }
        storeGradient(
          scratch, outputs: count, inputs: min(8, inputs - first - lane),
          target + (first + lane) * outputs + output, accumulate)
        lane += 8
      }
      output += count
    }
  }

  private static var blockOutputs: Int { 16 }
  /// Elements of scratch of `transformGradient`.
  static var gradientScratch: Int { blockOutputs * 9 * 8 + 3 * F.size * 8 }

  /// A block [outputs][9][8 inputs] to its place in the gradient, [9][inputs][outputs].
  @inline(__always)
  private func storeGradient(
    _ block: UnsafeMutablePointer<Float>, outputs count: Int, inputs valid: Int,
    _ target: UnsafeMutablePointer<Float>, _ accumulate: Bool
  ) {
    for tap in 0..<9 {
      let (source, place) = (block + tap * 8, target + tap * inputs * outputs)
      var output = 0
      if valid == 8 {
        while output + 8 <= count {
          Panels.transposeBlock(
            source + output * 72, stride: 72, into: place + output, stride: outputs,
            accumulate: accumulate)
          output += 8
        }
      }
      while output < count {
        for next in 0..<valid {
          let value = source[output * 72 + next]
          place[next * outputs + output] =
            accumulate ? place[next * outputs + output] + value : value
        }
        output += 1
      }
    }
  }

  /// Eight channels' products to their 3x3 weights, [9][8] at `weights`.
  @inline(__always)
  private func gradientLanes(
    _ source: UnsafePointer<Float>, _ matrixStride: Int,
    into weights: UnsafeMutablePointer<Float>, half: UnsafeMutablePointer<Float>
  ) {
    typealias L = SIMD8<Float>
    for j in 0..<F.size {
      F.weightGradient(
        L.self,
        Line(
          source + j * matrixStride, every: F.size * matrixStride, into: half + j * 8,
          every: F.size * 8))
    }
    for i in 0..<3 {
      F.weightGradient(
        L.self, Line(half + i * F.size * 8, every: 8, into: weights + 3 * i * 8, every: 8))
    }
  }
}

/// The distance between matrices of `count` elements that transforms read or write together: an odd
/// number of cache lines. At distances of large powers of two all of them would share a few lines of
/// the caches.
func spread(_ count: Int) -> Int { ((count + 15) / 16 | 1) * 16 }
