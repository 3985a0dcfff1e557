/// The passes of a convolution over the images of one shard. Each goes through the shard in chunks,
/// and through a chunk in phases whose tasks the pool's threads share.
///
/// `before` and `after` are called once for every slice of a chunk, with a worker's number: before
/// the convolution reads the slice's input, and when its output is complete. Passes over the same
/// images belong there, since they then find them in the cache. `after` of one chunk and `before` of
/// the next may run at the same time: what one writes and the other reads needs two places.
package typealias SliceBody = (
  _ images: Range<Int>, _ chunk: ImageChunk, _ worker: Int
) -> Void

/// Images of a shard that pass through a convolution's phases together.
package struct ImageChunk: Sendable {
  package var images: Range<Int>
  /// Among the shard's chunks.
  package var index: Int
}

/// What a backward pass reads and writes.
package struct BackwardPass {
  /// [images][input pixels][input channels], the shard's.
  package var input: UnsafePointer<Float>
  /// The gradient of the output, of a chunk's images alone, which `before` writes. The next chunk's
  /// may be there already when `after` runs.
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
package typealias BesideBody = (_ chunk: ImageChunk, _ task: Int, _ worker: Int) -> Void

extension Convolution {
  /// output ← input ⋆ weights for `images` images, and what `finish` makes of it; `weights` is what
  /// `packForward` returns.
  package func forward(
    images: Int, input: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>, space: Workspace, pool: WorkerPool,
    finish: OutputFinish? = nil, before: SliceBody, after: SliceBody
  ) {
    switch path {
    case .winograd4:
      WinogradPass<WinogradF4>(self).forward(
        images, input, weights, output, space, pool, finish, before, after)
    case .winograd5:
      WinogradPass<WinogradF5>(self).forward(
        images, input, weights, output, space, pool, finish, before, after)
    case .direct:
      forwardDirect(images, input, weights, output, space, pool, finish, before, after)
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
    switch path {
    case .winograd4:
      WinogradPass<WinogradF4>(self).backward(
        images, pass, space, pool, before, besideTasks, beside, after)
    case .winograd5:
      WinogradPass<WinogradF5>(self).backward(
        images, pass, space, pool, before, besideTasks, beside, after)
    case .direct:
      backwardDirect(images, pass, space, pool, before, besideTasks, beside, after)
    }
  }

  /// Leads a shard's chunks through the phases of a pass: `begin` for every slice, `products` (which
  /// runs tasks of its own), `finish` for every slice. A chunk's last phase and the next one's first
  /// are one, so that threads wait for each other less often.
  func forEachChunk(
    images: Int, pool: WorkerPool, begin: SliceBody, products: (ImageChunk) -> Void,
    finish: SliceBody
  ) {
    let count = chunks(images: images)
    var done: ImageChunk?
    for index in 0...count {
      let next =
        index < count ? ImageChunk(images: chunk(index, images: images), index: index) : nil
      let doneSlices = done.map { slices(images: $0.images.count) } ?? 0
      let nextSlices = next.map { slices(images: $0.images.count) } ?? 0
      pool.run(doneSlices + nextSlices) { task, worker in
        if task < doneSlices {
          if let done { finish(slice(task, of: done.images), done, worker) }
        } else if let next {
          begin(slice(task - doneSlices, of: next.images), next, worker)
        }
      }
      if let next { products(next) }
      done = next
    }
  }
}
