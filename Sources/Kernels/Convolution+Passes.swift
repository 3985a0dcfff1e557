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
  /// As `packBackward` leaves them.
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
  /// output ← input ⋆ weights for `images` images.
  package func forward(
    images: Int, input: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>, space: Workspace, pool: WorkerPool, before: SliceBody,
    after: SliceBody
  ) {
    for index in 0..<chunks(images: images) {
      let chunk = chunk(index, images: images)
      switch path {
      case .winograd:
        forwardWinograd(chunk, input, weights, output, space, pool, before, after)
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
      case .winograd:
        backwardWinograd(chunk, images: images, pass, space, pool, before, besideTasks, beside, after)
      case .direct:
        backwardDirect(chunk, pass, space, pool, before, besideTasks, beside, after)
      }
    }
    if path == .winograd { finishWeightGradient(images: images, pass, space, pool) }
  }
}

// MARK: - Winograd

extension Convolution {
  /// Where a shard's chunks have their matrices.
  private struct Matrices {
    var inputs: UnsafeMutablePointer<Float>
    var outputs: UnsafeMutablePointer<Float>
    var inputGradients: UnsafeMutablePointer<Float>
    var weightGradients: UnsafeMutablePointer<Float>
  }

  private func matrices(images: Int, _ space: Workspace) -> Matrices {
    let rows = WinogradTiles.frequencies * chunkCapacity(images: images) * inputTiles.count
    let outputs = space.shared + rows * groups * Panels.storedColumns(groupInputs)
    let inputGradients = outputs + rows * outputChannels
    return Matrices(
      inputs: space.shared, outputs: outputs, inputGradients: inputGradients,
      weightGradients: inputGradients + rows * inputChannels)
  }

  private func forwardWinograd(
    _ chunk: Range<Int>, _ input: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ space: Workspace, _ pool: WorkerPool,
    _ before: SliceBody, _ after: SliceBody
  ) {
    let tiles = inputTiles
    let rows = chunk.count * tiles.count
    let inputMatrix = rows * inputChannels
    let outputMatrix = rows * outputChannels
    let (v, m) = (space.shared, space.shared + WinogradTiles.frequencies * inputMatrix)
    pool.run(slices(images: chunk.count)) { index, worker in
      let images = slice(index, of: chunk)
      before(images, chunk, worker)
      for image in images {
        let first = v + (image - chunk.lowerBound) * tiles.count * inputChannels
        tiles.transformInput(
          input + image * inputPixels * inputChannels, channels: 0..<inputChannels,
          matrixStride: inputMatrix, patch: space.worker(worker)
        ) { (first + $0, inputChannels) }
      }
    }
    pool.run(WinogradTiles.frequencies * groups) { task, worker in
      let (frequency, group) = task.quotientAndRemainder(dividingBy: groups)
      multiplyRows(
        rows, from: v + frequency * inputMatrix + group * groupInputs, stride: inputChannels,
        depth: groupInputs, panels: weights + frequency * winogradWeights.forwardMatrix
          + group * groupInputs * Panels.storedColumns(groupOutputs), columns: groupOutputs,
        into: m + frequency * outputMatrix + group * groupOutputs, targetStride: outputChannels,
        scratch: space.worker(worker))
    }
    pool.run(slices(images: chunk.count)) { index, worker in
      let images = slice(index, of: chunk)
      for image in images {
        let first = (image - chunk.lowerBound) * tiles.count * outputChannels
        outputTiles.transformOutput(
          WinogradTiles.Matrices(
            base: m + first, matrixStride: outputMatrix, tileStride: outputChannels),
          patch: space.worker(worker), into: output + image * outputPixels * outputChannels)
      }
      after(images, chunk, worker)
    }
  }

  /// A plain product of row-major rows with panels.
  private func multiplyRows(
    _ rows: Int, from source: UnsafePointer<Float>, stride: Int, depth: Int,
    panels: UnsafePointer<Float>, columns: Int, into target: UnsafeMutablePointer<Float>,
    targetStride: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    var product = RowProduct(scratch: scratch)
    product.appendSegment(tap: 0)
    // Bands whose rows stay in the second cache while the panels pass.
    let band = max(48, min(240, 49_152 / depth))
    let bands = (rows + band - 1) / band
    for index in 0..<bands {
      let (first, end) = (rows * index / bands, rows * (index + 1) / bands)
      for row in first..<end {
        product.setSource(row - first, segment: 0, source + row * stride)
        product.setTarget(row - first, target + row * targetStride)
      }
      product.rows = end - first
      product.multiply(
        depth: depth, b: panels, bRows: depth, columns: columns,
        panels: 0..<Panels.count(columns: columns), accumulate: false)
    }
  }

  private func backwardWinograd(
    _ chunk: Range<Int>, images: Int, _ pass: BackwardPass, _ space: Workspace,
    _ pool: WorkerPool, _ before: SliceBody, _ besideTasks: Int, _ beside: BesideBody,
    _ after: SliceBody
  ) {
    let place = matrices(images: images, space)
    let rows = chunk.count * inputTiles.count
    pool.run(slices(images: chunk.count)) { index, worker in
      let images = slice(index, of: chunk)
      before(images, chunk, worker)
      for image in images { transformBackward(image, chunk, pass, place, space.worker(worker)) }
    }
    let tasks = WinogradTiles.frequencies * groups
    pool.run(tasks + besideTasks) { task, worker in
      if task < tasks {
        multiplyBackward(
          task, rows: rows, isFirst: chunk.lowerBound == 0, pass, place, space.worker(worker))
      } else {
        beside(chunk, task - tasks, worker)
      }
    }
    pool.run(slices(images: chunk.count)) { index, worker in
      let images = slice(index, of: chunk)
      if let inputGradient = pass.inputGradient {
        for image in images {
          let first = (image - chunk.lowerBound) * inputTiles.count * inputChannels
          let target = inputGradient + image * inputPixels * inputChannels
          if !pass.accumulate { target.update(repeating: 0, count: inputPixels * inputChannels) }
          inputTiles.addInputGradient(
            WinogradTiles.Matrices(
              base: place.inputGradients + first, matrixStride: rows * inputChannels,
              tileStride: inputChannels), patch: space.worker(worker), to: target)
        }
      }
      after(images, chunk, worker)
    }
  }

  /// One image's input as panels, and its output's gradient, in the products' domain.
  private func transformBackward(
    _ image: Int, _ chunk: Range<Int>, _ pass: BackwardPass, _ place: Matrices,
    _ patch: UnsafeMutablePointer<Float>
  ) {
    let tiles = inputTiles
    let rows = chunk.count * tiles.count
    let firstTile = (image - chunk.lowerBound) * tiles.count
    let panels = rows * Panels.storedColumns(groupInputs)
    for group in 0..<groups {
      let first = group * groupInputs
      let base = place.inputs + group * panels
      tiles.transformInput(
        pass.input + image * inputPixels * inputChannels, channels: first..<first + groupInputs,
        matrixStride: groups * panels, patch: patch
      ) { channel in
        let (offset, stride) = Panels.place(
          column: channel - first, columns: groupInputs, depth: rows)
        return (base + offset + firstTile * stride, stride)
      }
    }
    outputTiles.transformOutputGradient(
      pass.outputGradient + (image - chunk.lowerBound) * outputPixels * outputChannels,
      patch: patch,
      into: WinogradTiles.Matrices(
        base: place.outputs + firstTile * outputChannels, matrixStride: rows * outputChannels,
        tileStride: outputChannels))
  }

  /// Both products of one frequency and group: of the weight gradient, and of the data gradient.
  private func multiplyBackward(
    _ task: Int, rows: Int, isFirst: Bool, _ pass: BackwardPass, _ place: Matrices,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (frequency, group) = task.quotientAndRemainder(dividingBy: groups)
    let stored = Panels.storedColumns(groupInputs)
    let outputs = place.outputs + frequency * rows * outputChannels + group * groupOutputs
    let weights = winogradWeights
    let positions = ColumnProduct(count: rows, stride: outputChannels)
    for panel in 0..<Panels.count(columns: groupInputs) {
      positions.multiply(
        a: outputs, m: groupOutputs,
        panels: place.inputs + (frequency * groups + group) * rows * stored, depth: rows, start: 0,
        columns: stored, panel: panel,
        c: place.weightGradients + frequency * weights.gradientMatrix
          + group * groupOutputs * stored, stride: stored, accumulate: !isFirst)
    }
    guard pass.inputGradient != nil else { return }
    multiplyRows(
      rows, from: outputs, stride: outputChannels, depth: groupOutputs,
      panels: pass.weights + frequency * weights.backwardMatrix + group * groupOutputs * stored,
      columns: groupInputs,
      into: place.inputGradients + frequency * rows * inputChannels + group * groupInputs,
      targetStride: inputChannels, scratch: scratch)
  }

  /// The shard's summed products to its weight gradient.
  private func finishWeightGradient(
    images: Int, _ pass: BackwardPass, _ space: Workspace, _ pool: WorkerPool
  ) {
    let products = matrices(images: images, space).weightGradients
    let transform = winogradWeights
    pool.run(transform.backwardTasks) { task, worker in
      transform.transformGradient(
        task: task, products: products, into: pass.weightGradient, scratch: space.worker(worker))
    }
  }
}
