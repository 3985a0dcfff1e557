/// The passes of a convolution over the images of one shard. Each goes through the shard in chunks,
/// and through a chunk in phases whose tasks the pool's threads share.
///
/// `before` and `after` are called once for every slice of a chunk, with a worker's number: before
/// the convolution reads the slice's input, and when its output is complete. Passes over the same
/// images belong there, since they then find them in the cache.
package typealias SliceBody = (
  _ images: Range<Int>, _ chunk: Range<Int>, _ worker: Int
) -> Void

/// What a backward pass reads and writes.
package struct BackwardPass {
  /// [images][input pixels][input channels], the shard's.
  package var input: UnsafePointer<Float>
  /// The gradient of the output, of a chunk's images alone: `before` writes it.
  package var outputGradient: UnsafeMutablePointer<Float>
  /// What `packBackward` returns.
  package var weights: UnsafePointer<Float>
  /// [images][input pixels][input channels], the shard's; overwritten, or added to with
  /// `accumulate`. None for a network's first layer.
  package var inputGradient: UnsafeMutablePointer<Float>?
  package var accumulate: Bool
  /// The shard's weight gradient, in memory order; overwritten.
  package var weightGradient: UnsafeMutablePointer<Float>

  package init(
    input: UnsafePointer<Float>, outputGradient: UnsafeMutablePointer<Float>,
    weights: UnsafePointer<Float>, inputGradient: UnsafeMutablePointer<Float>?, accumulate: Bool,
    weightGradient: UnsafeMutablePointer<Float>
  ) {
    self.input = input
    self.outputGradient = outputGradient
    self.weights = weights
    self.inputGradient = inputGradient
    self.accumulate = accumulate
    self.weightGradient = weightGradient
  }
}

/// A task that runs beside a backward pass's products on a chunk of images.
package typealias BesideBody = (_ chunk: Range<Int>, _ task: Int, _ worker: Int) -> Void

extension Convolution {
  /// output ← input ⋆ weights for `images` images; `weights` is what `packForward` returns.
  package func forward(
    images: Int, input: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>, space: Workspace, pool: WorkerPool, before: SliceBody,
    after: SliceBody
  ) {
    for index in 0..<chunks(images: images) {
      let chunk = chunk(index, images: images)
      switch path {
      case .winograd4:
        WinogradPass<WinogradF4>(self).forward(
          chunk, input, weights, output, space, pool, before, after)
      case .winograd5:
        WinogradPass<WinogradF5>(self).forward(
          chunk, input, weights, output, space, pool, before, after)
      case .direct:
        forwardDirect(chunk, input, weights, output, space, pool, before, after)
      }
    }
  }

  /// Data and weight gradient of `images` images. `beside` is called for `besideTasks` tasks of every
  /// chunk, which may read what `before` wrote.
  package func backward(
    images: Int, _ pass: BackwardPass, space: Workspace, pool: WorkerPool, before: SliceBody,
    besideTasks: Int, beside: BesideBody, after: SliceBody
  ) {
    if images == 0 {
      pass.weightGradient.update(repeating: 0, count: weightCount)
      return
    }
    for index in 0..<chunks(images: images) {
      let chunk = chunk(index, images: images)
      switch path {
      case .winograd4:
        WinogradPass<WinogradF4>(self).backward(
          chunk, images: images, pass, space, pool, before, besideTasks, beside, after)
      case .winograd5:
        WinogradPass<WinogradF5>(self).backward(
          chunk, images: images, pass, space, pool, before, besideTasks, beside, after)
      case .direct:
        backwardDirect(chunk, pass, space, pool, before, besideTasks, beside, after)
      }
    }
    switch path {
    case .winograd4:
      WinogradPass<WinogradF4>(self).finish(images: images, pass, space, pool)
    case .winograd5:
      WinogradPass<WinogradF5>(self).finish(images: images, pass, space, pool)
    case .direct: break
    }
  }
}
