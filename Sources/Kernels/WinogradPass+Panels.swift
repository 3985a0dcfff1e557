/// The products of a convolution whose weights are many and whose tiles are few: transformed as a
/// whole they would go to memory and come back (51 MB a layer at 512 channels). Here a task transforms
/// one panel of them, multiplies it in all frequencies and, backward, transforms its part of the
/// weight gradient, all in the cache.
extension WinogradPass {
  /// Elements between the matrices of a panel of `depth` rows.
  private func panelStride(_ depth: Int) -> Int { spread(Panels.width * depth) }

  /// Elements of a thread's memory for a panel: its weights and, backward, its products.
  var panelScratchCount: Int {
    Tiles.frequencies * max(panelStride(groupInputs), 2 * panelStride(groupOutputs))
  }

  /// A panel of the forward pass in all frequencies.
  func multiplyForwardPanel(
    _ task: Int, rows: Int, _ source: UnsafePointer<Float>, _ v: UnsafePointer<Float>,
    into m: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(
      dividingBy: Panels.count(columns: groupOutputs))
    let (matrices, stride) = (scratch + scratchCount, panelStride(groupInputs))
    weights.transformForward(
      task: task, weights: source, into: .init(panel: matrices, matrixStride: stride),
      scratch: scratch)
    for frequency in 0..<Tiles.frequencies {
      multiplyRows(
        rows, from: v + frequency * spread(rows * inputChannels) + group * groupInputs,
        stride: inputChannels, depth: groupInputs, packed: matrices + frequency * stride,
        columns: groupOutputs, panels: panel..<panel + 1,
        into: m + frequency * spread(rows * outputChannels) + group * groupOutputs,
        targetStride: outputChannels, scratch: scratch)
    }
  }

  /// A panel of both backward products in all frequencies, and its part of the weight gradient.
  func multiplyBackwardPanel(
    _ task: Int, rows: Int, isFirst: Bool, _ pass: BackwardPass, _ place: Matrices,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (group, panel) = task.quotientAndRemainder(
      dividingBy: Panels.count(columns: groupInputs))
    let stride = panelStride(groupOutputs)
    let matrices = scratch + scratchCount
    let products = matrices + Tiles.frequencies * stride
    let hasDataGradient = pass.inputGradient != nil
    if hasDataGradient {
      weights.transformBackward(
        task: task, weights: pass.weights, into: .init(panel: matrices, matrixStride: stride),
        scratch: scratch)
    }
    for frequency in 0..<Tiles.frequencies {
      multiplyBackward(
        frequency, group, rows: rows, panels: panel..<panel + 1, place,
        weights: hasDataGradient ? matrices + frequency * stride : nil,
        products: products + frequency * stride, accumulate: false, scratch)
    }
    weights.transformGradient(
      task: task, products: .init(panel: products, matrixStride: stride),
      into: pass.weightGradient, accumulate: !isFirst, scratch: scratch)
  }
}
