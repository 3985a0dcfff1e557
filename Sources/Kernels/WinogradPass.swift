import CKernelBuild

/// The passes of a stride-1 3x3 convolution by Winograd F(mxm, 3x3).
///
/// Forward: y = Aᵀ·[Σ U ∘ (Bᵀ·d·B)]·A. The data gradient is its transpose, and not a convolution of its
/// own: dx = B·[Σ U ∘ (A·dy·Aᵀ)]·Bᵀ, overlapping tiles added up; so that A·dy·Aᵀ serves the weight
/// gradient Gᵀ·[Σ (Bᵀ·d·B) ∘ (A·dy·Aᵀ)]·G, too.
struct WinogradPass<F: WinogradLines> {
  let convolution: Convolution

  init(_ convolution: Convolution) { self.convolution = convolution }

  typealias Tiles = WinogradTiles<F>
  var inputChannels: Int { convolution.inputChannels }
  var outputChannels: Int { convolution.outputChannels }
  var groups: Int { convolution.groups }
  var groupInputs: Int { convolution.groupInputs }
  var groupOutputs: Int { convolution.groupOutputs }
  private var inputImage: Int { convolution.inputPixels * inputChannels }
  private var outputImage: Int { convolution.outputPixels * outputChannels }

  private var inputTiles: Tiles {
    Tiles(
      height: convolution.inputHeight, width: convolution.inputWidth, channels: inputChannels)
  }
  private var outputTiles: Tiles {
    Tiles(
      height: convolution.inputHeight, width: convolution.inputWidth, channels: outputChannels)
  }
  var weights: WinogradWeights<F> {
    WinogradWeights(groups: groups, inputs: groupInputs, outputs: groupOutputs)
  }

  // MARK: Weights

  func packForward(
    _ source: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, _ space: Workspace,
    _ pool: WorkerPool
  ) {
    let transform = weights
    pool.run(transform.forwardTasks) { task, worker in
      transform.transformForward(
        task: task, weights: source, into: transform.forwardPlace(task: task, in: packed),
        scratch: space.worker(worker))
    }
  }

  func packBackward(
    _ source: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, _ space: Workspace,
    _ pool: WorkerPool
  ) {
    let transform = weights
    pool.run(transform.backwardTasks) { task, worker in
      transform.transformBackward(
        task: task, weights: source, into: transform.backwardPlace(task: task, in: packed),
        scratch: space.worker(worker))
    }
  }

  // MARK: Memory

  /// Elements of a thread's part of the workspace.
  var workerCount: Int {
    scratchCount + (convolution.packsInPasses ? panelScratchCount : 0)
  }

  /// What a single transform or product takes of it.
  var scratchCount: Int {
    let most = max(
      RowProduct.scratchCount, Tiles.scratchCount, weights.backwardScratch,
      WinogradWeights<F>.gradientScratch)
    return (most + 15) / 16 * 16
  }

  func forwardCount(images: Int) -> Int {
    let tiles = convolution.chunkCapacity(images: images) * inputTiles.count
    return Tiles.frequencies * (spread(tiles * inputChannels) + spread(tiles * outputChannels))
  }

  func backwardCount(images: Int) -> Int {
    let tiles = convolution.chunkCapacity(images: images) * inputTiles.count
    let panels = groups * Panels.storedColumns(groupInputs)
    return Tiles.frequencies
      * (spread(tiles * panels) + spread(tiles * outputChannels) + spread(tiles * inputChannels)
        + (convolution.packsInPasses ? 0 : weights.backwardMatrix))
  }

  /// Where a shard's chunks have their matrices.
  struct Matrices {
    var inputs: UnsafeMutablePointer<Float>
    var outputs: UnsafeMutablePointer<Float>
    var inputGradients: UnsafeMutablePointer<Float>
    var weightGradients: UnsafeMutablePointer<Float>
  }

  private func matrices(images: Int, _ space: Workspace) -> Matrices {
    let rows = convolution.chunkCapacity(images: images) * inputTiles.count
    let outputs = space.shared + Tiles.frequencies * panelMatrix(rows)
    let inputGradients = outputs + Tiles.frequencies * spread(rows * outputChannels)
    return Matrices(
      inputs: space.shared, outputs: outputs, inputGradients: inputGradients,
      weightGradients: inputGradients + Tiles.frequencies * spread(rows * inputChannels))
  }

  /// Elements of one frequency's input panels over `rows` tiles, all groups.
  func panelMatrix(_ rows: Int) -> Int {
    spread(rows * groups * Panels.storedColumns(groupInputs))
  }

  func forward(
    _ images: Int, _ input: UnsafePointer<Float>, _ passWeights: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ space: Workspace, _ pool: WorkerPool,
    _ finish: OutputFinish?, _ before: SliceBody, _ after: SliceBody
  ) {
    let tiles = inputTiles
    // Both matrices have their places for chunks of any size: one chunk's outputs are still read when
    // the next one's inputs are written.
    let capacity = convolution.chunkCapacity(images: images) * tiles.count
    let (v, m) = (space.shared, space.shared + Tiles.frequencies * spread(capacity * inputChannels))
    convolution.forEachChunk(
      images: images, pool: pool,
      begin: { images, chunk, worker in
        before(images, chunk, worker)
        let matrix = spread(chunk.images.count * tiles.count * inputChannels)
        for image in images {
          let first = v + (image - chunk.images.lowerBound) * tiles.count * inputChannels
          tiles.transformInput(
            input + image * inputImage, channels: 0..<inputChannels, matrixStride: matrix,
            scratch: space.worker(worker)
          ) { (first + $0, inputChannels) }
        }
      },
      products: { chunk in
        let rows = chunk.images.count * tiles.count
        let inPasses = convolution.packsInPasses
        pool.run(inPasses ? weights.forwardTasks : Tiles.frequencies * groups) { task, worker in
          if inPasses {
            multiplyForwardPanel(task, rows: rows, passWeights, v, into: m, space.worker(worker))
          } else {
            multiplyForward(task, rows: rows, passWeights, v, into: m, space.worker(worker))
          }
        }
      },
      finish: { images, chunk, worker in
        let matrix = spread(chunk.images.count * tiles.count * outputChannels)
        for image in images {
          let first = m + (image - chunk.images.lowerBound) * tiles.count * outputChannels
          outputTiles.transformOutput(
            Tiles.Matrices(base: first, matrixStride: matrix, tileStride: outputChannels),
            scratch: space.worker(worker), into: output + image * outputImage, finish: finish)
        }
        after(images, chunk, worker)
      })
  }

  /// The product of one frequency and group with its packed weights.
  private func multiplyForward(
    _ task: Int, rows: Int, _ packed: UnsafePointer<Float>, _ v: UnsafePointer<Float>,
    into m: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (frequency, group) = task.quotientAndRemainder(dividingBy: groups)
    multiplyRows(
      rows, from: v + frequency * spread(rows * inputChannels) + group * groupInputs,
      stride: inputChannels, depth: groupInputs,
      packed: packed + frequency * weights.forwardMatrix
        + group * groupInputs * Panels.storedColumns(groupOutputs), columns: groupOutputs,
      panels: 0..<Panels.count(columns: groupOutputs),
      into: m + frequency * spread(rows * outputChannels) + group * groupOutputs,
      targetStride: outputChannels, scratch: scratch)
  }

  /// A plain product of row-major rows with some of the panels, the first of which is at `packed`.
  func multiplyRows(
    _ rows: Int, from source: UnsafePointer<Float>, stride: Int, depth: Int,
    packed: UnsafePointer<Float>, columns: Int, panels: Range<Int>,
    into target: UnsafeMutablePointer<Float>, targetStride: Int,
    scratch: UnsafeMutablePointer<Float>
  ) {
    var product = RowProduct(scratch: scratch)
    product.appendSegment(tap: 0)
    // Bands whose rows stay in the second cache while the panels pass.
    let band = max(48, min(RowProduct.bandRows, 49_152 / depth))
    let bands = (rows + band - 1) / band
    for index in 0..<bands {
      let (first, end) = (rows * index / bands, rows * (index + 1) / bands)
      for row in first..<end {
        product.setSource(row - first, segment: 0, source + row * stride)
        product.setTarget(row - first, target + row * targetStride)
      }
      product.rows = end - first
      product.multiply(
        depth: depth, b: packed, bRows: depth, columns: columns, panels: panels,
        accumulate: false)
    }
  }

  func backward(
    _ images: Int, _ pass: BackwardPass, _ space: Workspace, _ pool: WorkerPool,
    _ before: SliceBody, _ besideTasks: Int, _ beside: BesideBody, _ after: SliceBody
  ) {
    let place = matrices(images: images, space)
    let inPasses = convolution.packsInPasses
    convolution.forEachChunk(
      images: images, pool: pool,
      begin: { images, chunk, worker in
        before(images, chunk, worker)
        for image in images {
          transformBackward(image, chunk.images, pass, place, space.worker(worker))
        }
      },
      products: { chunk in
        let (rows, isFirst) = (chunk.images.count * inputTiles.count, chunk.index == 0)
        let tasks = inPasses ? weights.backwardTasks : Tiles.frequencies * groups
        pool.run(tasks + besideTasks) { task, worker in
          let scratch = space.worker(worker)
          if task >= tasks {
            beside(chunk, task - tasks, worker)
          } else if inPasses {
            multiplyBackwardPanel(task, rows: rows, isFirst: isFirst, pass, place, scratch)
          } else {
            multiplyBackward(task, rows: rows, isFirst: isFirst, pass, place, scratch)
          }
        }
      },
      finish: { images, chunk, worker in
        addInputGradient(images, chunk.images, pass, place, space.worker(worker))
        after(images, chunk, worker)
      })
    if !inPasses { transformGradient(pass, place, space, pool) }
  }

  /// The products of the data gradient to the gradient of some images' input.
  private func addInputGradient(
    _ images: Range<Int>, _ chunk: Range<Int>, _ pass: BackwardPass, _ place: Matrices,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    guard let inputGradient = pass.inputGradient else { return }
    let tiles = inputTiles
    let matrix = spread(chunk.count * tiles.count * inputChannels)
    for image in images {
      let first = (image - chunk.lowerBound) * tiles.count * inputChannels
      let target = inputGradient + image * inputImage
      if !pass.accumulate { target.update(repeating: 0, count: inputImage) }
      tiles.addInputGradient(
        Tiles.Matrices(
          base: place.inputGradients + first, matrixStride: matrix, tileStride: inputChannels),
        scratch: scratch, to: target)
    }
  }

  /// One image's input as panels, and its output's gradient, in the products' domain.
  private func transformBackward(
    _ image: Int, _ chunk: Range<Int>, _ pass: BackwardPass, _ place: Matrices,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let tiles = inputTiles
    let rows = chunk.count * tiles.count
    let firstTile = (image - chunk.lowerBound) * tiles.count
    let panels = rows * Panels.storedColumns(groupInputs)
    for group in 0..<groups {
      let first = group * groupInputs
      let base = place.inputs + group * panels
      tiles.transformInput(
        pass.input + image * inputImage, channels: first..<first + groupInputs,
        matrixStride: panelMatrix(rows), scratch: scratch
      ) { channel in
        let (offset, stride) = Panels.place(
          column: channel - first, columns: groupInputs, depth: rows)
        return (base + offset + firstTile * stride, stride)
      }
    }
    outputTiles.transformOutputGradient(
      pass.outputGradient + (image - chunk.lowerBound) * outputImage,
      scratch: scratch,
      into: Tiles.Matrices(
        base: place.outputs + firstTile * outputChannels,
        matrixStride: spread(rows * outputChannels),
        tileStride: outputChannels))
  }

  /// Both products of one frequency and group: of the weight gradient, and of the data gradient.
  private func multiplyBackward(
    _ task: Int, rows: Int, isFirst: Bool, _ pass: BackwardPass, _ place: Matrices,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (frequency, group) = task.quotientAndRemainder(dividingBy: groups)
    let offset = group * groupOutputs * Panels.storedColumns(groupInputs)
    multiplyBackward(
      frequency, group, rows: rows, panels: 0..<Panels.count(columns: groupInputs), place,
      weights: pass.inputGradient == nil
        ? nil : pass.weights + frequency * weights.backwardMatrix + offset,
      products: place.weightGradients + frequency * weights.backwardMatrix + offset,
      accumulate: !isFirst, scratch)
  }

  /// Both products of one frequency and group for some panels over inputs.
  ///
  /// `weights` (packed; none without a data gradient) and `products` begin at the first of them.
  func multiplyBackward(
    _ frequency: Int, _ group: Int, rows: Int, panels: Range<Int>, _ place: Matrices,
    weights: UnsafePointer<Float>?, products: UnsafeMutablePointer<Float>, accumulate: Bool,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let stored = Panels.storedColumns(groupInputs)
    let outputs =
      place.outputs + frequency * spread(rows * outputChannels) + group * groupOutputs
    let positions = ColumnProduct(count: rows, stride: outputChannels)
    prefetch(rows, of: outputs)
    for panel in panels {
      let target = products + (panel - panels.lowerBound) * Panels.width * groupOutputs
      positions.multiply(
        a: outputs, m: groupOutputs,
        panels: place.inputs + frequency * panelMatrix(rows) + group * rows * stored, depth: rows,
        start: 0, columns: stored, panel: panel, c: target,
        stride: Panels.storedWidth(panel: panel, columns: groupInputs), accumulate: accumulate)
    }
    guard let weights else { return }
    multiplyRows(
      rows, from: outputs, stride: outputChannels, depth: groupOutputs, packed: weights,
      columns: groupInputs, panels: panels,
      into: place.inputGradients + frequency * spread(rows * inputChannels) + group * groupInputs,
      targetStride: inputChannels, scratch: scratch)
  }

  /// Both products read a frequency's tiles in other orders than the caches foresee.
  private func prefetch(_ rows: Int, of outputs: UnsafePointer<Float>) {
    for row in 0..<rows {
      var channel = 0
      while channel < groupOutputs {
        kernel_build_prefetch(outputs + row * outputChannels + channel)
        channel += 16
      }
    }
  }

  /// The shard's summed products to its weight gradient.
  private func transformGradient(
    _ pass: BackwardPass, _ place: Matrices, _ space: Workspace, _ pool: WorkerPool
  ) {
    let transform = weights
    pool.run(transform.backwardTasks) { task, worker in
      transform.transformGradient(
        task: task, products: transform.backwardPlace(task: task, in: place.weightGradients),
        into: pass.weightGradient, accumulate: false, scratch: space.worker(worker))
    }
  }
}
