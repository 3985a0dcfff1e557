/// The passes of a stride-1 3x3 convolution by Winograd F(mxm, 3x3).
///
/// Forward: y = Aᵀ·[Σ U ∘ (Bᵀ·d·B)]·A. The data gradient is its transpose, and not a convolution of its
/// own: dx = B·[Σ U ∘ (A·dy·Aᵀ)]·Bᵀ, overlapping tiles added up; so that A·dy·Aᵀ serves the weight
/// gradient Gᵀ·[Σ (Bᵀ·d·B) ∘ (A·dy·Aᵀ)]·G, too.
struct WinogradPass<F: WinogradLines> {
  private let convolution: Convolution

  init(_ convolution: Convolution) { self.convolution = convolution }

  private typealias Tiles = WinogradTiles<F>
  private var inputChannels: Int { convolution.inputChannels }
  private var outputChannels: Int { convolution.outputChannels }
  private var groups: Int { convolution.groups }
  private var groupInputs: Int { convolution.groupInputs }
  private var groupOutputs: Int { convolution.groupOutputs }
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
        task: task, weights: source, into: packed, scratch: space.worker(worker))
    }
  }

  func packBackward(
    _ source: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, _ space: Workspace,
    _ pool: WorkerPool
  ) {
    let transform = weights
    pool.run(transform.backwardTasks) { task, worker in
      transform.transformBackward(
        task: task, weights: source, into: packed, scratch: space.worker(worker))
    }
  }

  // MARK: Memory

  /// Elements of a thread's part of the workspace.
  var workerCount: Int {
    max(RowProduct.scratchCount, Tiles.scratchCount, weights.backwardScratch)
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
        + weights.gradientMatrix)
  }

  /// Where a shard's chunks have their matrices.
  private struct Matrices {
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
  private func panelMatrix(_ rows: Int) -> Int {
    spread(rows * groups * Panels.storedColumns(groupInputs))
  }

  func forward(
    _ chunk: Range<Int>, _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ space: Workspace, _ pool: WorkerPool,
    _ before: SliceBody, _ after: SliceBody
  ) {
    let tiles = inputTiles
    let rows = chunk.count * tiles.count
    let inputMatrix = spread(rows * inputChannels)
    let outputMatrix = spread(rows * outputChannels)
    let (v, m) = (space.shared, space.shared + Tiles.frequencies * inputMatrix)
    pool.run(convolution.slices(images: chunk.count)) { index, worker in
      let images = convolution.slice(index, of: chunk)
      before(images, chunk, worker)
      for image in images {
        let first = v + (image - chunk.lowerBound) * tiles.count * inputChannels
        tiles.transformInput(
          input + image * inputImage, channels: 0..<inputChannels,
          matrixStride: inputMatrix, scratch: space.worker(worker)
        ) { (first + $0, inputChannels) }
      }
    }
    pool.run(Tiles.frequencies * groups) { task, worker in
      let (frequency, group) = task.quotientAndRemainder(dividingBy: groups)
      multiplyRows(
        rows, from: v + frequency * inputMatrix + group * groupInputs, stride: inputChannels,
        depth: groupInputs,
        panels: packed + frequency * weights.forwardMatrix
          + group * groupInputs * Panels.storedColumns(groupOutputs), columns: groupOutputs,
        into: m + frequency * outputMatrix + group * groupOutputs, targetStride: outputChannels,
        scratch: space.worker(worker))
    }
    pool.run(convolution.slices(images: chunk.count)) { index, worker in
      let images = convolution.slice(index, of: chunk)
      for image in images {
        let first = (image - chunk.lowerBound) * tiles.count * outputChannels
        outputTiles.transformOutput(
          Tiles.Matrices(
            base: m + first, matrixStride: outputMatrix, tileStride: outputChannels),
          scratch: space.worker(worker), into: output + image * outputImage)
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
        depth: depth, b: panels, bRows: depth, columns: columns,
        panels: 0..<Panels.count(columns: columns), accumulate: false)
    }
  }

  func backward(
    _ chunk: Range<Int>, images: Int, _ pass: BackwardPass, _ space: Workspace,
    _ pool: WorkerPool, _ before: SliceBody, _ besideTasks: Int, _ beside: BesideBody,
    _ after: SliceBody
  ) {
    let place = matrices(images: images, space)
    let rows = chunk.count * inputTiles.count
    pool.run(convolution.slices(images: chunk.count)) { index, worker in
      let images = convolution.slice(index, of: chunk)
      before(images, chunk, worker)
      for image in images { transformBackward(image, chunk, pass, place, space.worker(worker)) }
    }
    let tasks = Tiles.frequencies * groups
    pool.run(tasks + besideTasks) { task, worker in
      if task < tasks {
        multiplyBackward(
          task, rows: rows, isFirst: chunk.lowerBound == 0, pass, place, space.worker(worker))
      } else {
        beside(chunk, task - tasks, worker)
      }
    }
    pool.run(convolution.slices(images: chunk.count)) { index, worker in
      let images = convolution.slice(index, of: chunk)
      if let inputGradient = pass.inputGradient {
        for image in images {
          let first = (image - chunk.lowerBound) * inputTiles.count * inputChannels
          let target = inputGradient + image * inputImage
          if !pass.accumulate { target.update(repeating: 0, count: inputImage) }
          inputTiles.addInputGradient(
            Tiles.Matrices(
              base: place.inputGradients + first, matrixStride: spread(rows * inputChannels),
              tileStride: inputChannels), scratch: space.worker(worker), to: target)
        }
      }
      after(images, chunk, worker)
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
    let stored = Panels.storedColumns(groupInputs)
    let outputs =
      place.outputs + frequency * spread(rows * outputChannels) + group * groupOutputs
    let positions = ColumnProduct(count: rows, stride: outputChannels)
    for panel in 0..<Panels.count(columns: groupInputs) {
      // Column 0 of the panel's own matrix, as `multiply` counts columns over all panels.
      let first = panel * Panels.width
      let products =
        place.weightGradients + frequency * weights.gradientMatrix
        + group * groupOutputs * stored + first * groupOutputs - first
      positions.multiply(
        a: outputs, m: groupOutputs,
        panels: place.inputs + frequency * panelMatrix(rows) + group * rows * stored, depth: rows,
        start: 0,
        columns: stored, panel: panel, c: products,
        stride: Panels.storedWidth(panel: panel, columns: groupInputs), accumulate: !isFirst)
    }
    guard pass.inputGradient != nil else { return }
    multiplyRows(
      rows, from: outputs, stride: outputChannels, depth: groupOutputs,
      panels: pass.weights + frequency * weights.backwardMatrix + group * groupOutputs * stored,
      columns: groupInputs,
      into: place.inputGradients + frequency * spread(rows * inputChannels) + group * groupInputs,
      targetStride: inputChannels, scratch: scratch)
  }

  /// The shard's summed products to its weight gradient.
  func finish(
    images: Int, _ pass: BackwardPass, _ space: Workspace, _ pool: WorkerPool
  ) {
    let products = matrices(images: images, space).weightGradients
    let transform = weights
    pool.run(transform.backwardTasks) { task, worker in
      transform.transformGradient(
        task: task, products: products, into: pass.weightGradient, scratch: space.worker(worker))
    }
  }
}
