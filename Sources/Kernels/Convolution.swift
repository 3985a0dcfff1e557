/// One convolution as RepVGG has them: 3x3 with padding 1 or 1x1 with padding 0, stride 1 or more,
/// groups, no bias; forward, data gradient and weight gradient over NHWC images.
///
/// Weights are [group][tap][cin / groups][cout / groups]; the passes read them packed once a step
/// (`packForward`, `packBackward`), or pack them themselves (`packsInPasses`). How the work on a shard's images is cut into chunks,
/// slices and products is a function of this shape and the number of images alone: never of threads,
/// ranks or the machine's load.
package struct Convolution: Sendable, Equatable {
  /// How the products are made.
  package enum Path: String, Sendable {
    /// Winograd F(4x4, 3x3): 36 products where the definition has 144.
    case winograd4 = "winograd-4x4"
    /// Winograd F(5x5, 3x3): 49 products where the definition has 225.
    case winograd5 = "winograd-5x5"
    /// The definition, as products whose rows are pixels in their place.
    case direct
  }

  /// 3 or 1.
  package var kernel: Int
  package var stride: Int
  package var groups: Int
  package var inputChannels: Int
  package var outputChannels: Int
  package var inputHeight: Int
  package var inputWidth: Int
  /// Whether the passes take the weights as they lie in memory and transform a panel of them where it
  /// is multiplied, and a panel of the weight gradient likewise (`packing(images:)`).
  package private(set) var packsInPasses = false

  package init(
    kernel: Int, stride: Int, groups: Int, inputChannels: Int, outputChannels: Int,
    inputHeight: Int, inputWidth: Int
  ) {
    self.kernel = kernel
    self.stride = stride
    self.groups = groups
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.inputHeight = inputHeight
    self.inputWidth = inputWidth
  }

  /// The convolution as training makes it for shards of at most `images` images: where the transformed
  /// weights are more than a core's caches hold (4 MiB) and meet few tiles, the passes transform them,
  /// a panel at a time. With more tiles packing once is faster, as every panel reads all tiles. From
  /// measurements at development time.
  package func packing(images: Int) -> Convolution {
    var convolution = self
    let transformed = (path == .winograd5 ? 49 : 36) * groupInputs * outputChannels
    convolution.packsInPasses =
      path != .direct && transformed > 1_048_576 && images * pathTiles <= 128
    return convolution
  }

  package var padding: Int { kernel / 2 }
  package var taps: Int { kernel * kernel }
  package var outputHeight: Int { (inputHeight + stride - 1) / stride }
  package var outputWidth: Int { (inputWidth + stride - 1) / stride }
  package var inputPixels: Int { inputHeight * inputWidth }
  package var outputPixels: Int { outputHeight * outputWidth }
  /// Input and output channels of one group.
  package var groupInputs: Int { inputChannels / groups }
  package var groupOutputs: Int { outputChannels / groups }
  package var weightCount: Int { taps * groupInputs * outputChannels }
  /// Elements of one group's weights.
  var groupWeights: Int { taps * groupInputs * groupOutputs }

  /// The path of all three passes. From measurements at development time (docs/performance.md): of
  /// the two tile sizes the one with fewer products on this image; tiles must save a third of the
  /// products, and few channels do not pay for the transforms.
  package var path: Path {
    guard kernel == 3 && stride == 1 && min(groupInputs, groupOutputs) >= 8 else { return .direct }
    let (four, five) = (tiles(4) * 36, tiles(5) * 49)
    guard 3 * min(four, five) <= 2 * 9 * inputPixels else { return .direct }
    return five < four ? .winograd5 : .winograd4
  }

  /// Tiles of an image, of `size` x `size` outputs.
  private func tiles(_ size: Int) -> Int {
    (inputHeight + size - 1) / size * ((inputWidth + size - 1) / size)
  }

  /// Tiles of an image on the path chosen.
  private var pathTiles: Int { path == .winograd5 ? tiles(5) : tiles(4) }
}

// MARK: - How the images of a shard are cut

extension Convolution {
  private var sliceImages: Int { Slices(pixels: inputPixels).imagesTogether }

  /// Images of a chunk: as many tiles as use a matrix of weights well and as the weight gradient
  /// needs so that its sums are not loaded and stored more than its operands; two images at least, or
  /// four, for threads to share, where they leave room in the cache.
  private var chunkImages: Int {
    switch path {
    case .winograd4, .winograd5:
      let wanted = max(96, min(groupInputs, groupOutputs) / 2)
      let least = pathTiles * (2 * inputChannels + outputChannels) <= 32_768 ? 2 : 1
      return max(least, (wanted + pathTiles / 2) / pathTiles)
    case .direct:
      let values = inputPixels * inputChannels + outputPixels * outputChannels
      return max(4, 512 / outputPixels, 262_144 / values)
    }
  }

  /// Slices of a full chunk.
  private var chunkSlices: Int { max(1, chunkImages / sliceImages) }

  /// Chunks into which `images` are cut: whole slices that pass through a convolution's phases
  /// together, so that what one phase writes the next finds in the cache.
  package func chunks(images: Int) -> Int {
    (slices(images: images) + chunkSlices - 1) / chunkSlices
  }

  /// The images of one chunk.
  package func chunk(_ index: Int, images: Int) -> Range<Int> {
    let (chunks, slices) = (chunks(images: images), slices(images: images))
    let start = slices * index / chunks * sliceImages
    let end = min(slices * (index + 1) / chunks * sliceImages, images)
    return start..<end
  }

  /// Most images of a chunk of at most `images` images. Chunks are of nearly equal size, so a smaller
  /// shard may have larger ones: this bounds them all.
  package func chunkCapacity(images: Int) -> Int { min(images, chunkSlices * sliceImages) }

  /// Slices of `images`, the unit of element-wise passes beside the convolution.
  package func slices(images: Int) -> Int { Slices(pixels: inputPixels).count(images: images) }

  /// The images of slice `index` of a chunk, numbered within the chunk's shard.
  package func slice(_ index: Int, of chunk: Range<Int>) -> Range<Int> {
    let start = chunk.lowerBound + index * sliceImages
    return start..<min(start + sliceImages, chunk.upperBound)
  }

  /// A slice's number within its shard.
  package func sliceNumber(_ images: Range<Int>) -> Int { images.lowerBound / sliceImages }
}

/// Runs of images, the unit of element-wise passes: enough rows for whole runs of sums.
package struct Slices {
  let imagesTogether: Int

  /// `pixels` of one image.
  package init(pixels: Int) { imagesTogether = max(1, 64 / pixels) }

  package func count(images: Int) -> Int { (images + imagesTogether - 1) / imagesTogether }

  package func images(_ index: Int, of images: Int) -> Range<Int> {
    index * imagesTogether..<min((index + 1) * imagesTogether, images)
  }
}

// MARK: - Memory and packed weights

/// Memory that a convolution works in: a part for all threads, and a part for each.
package struct Workspace {
  package var shared: UnsafeMutablePointer<Float>
  private let workers: UnsafeMutablePointer<Float>
  private let workerCount: Int

  /// `workers`: `workerCount` elements for each thread, aligned to 64 bytes.
  package init(
    shared: UnsafeMutablePointer<Float>, workers: UnsafeMutablePointer<Float>, workerCount: Int
  ) {
    self.shared = shared
    self.workers = workers
    self.workerCount = workerCount
  }

  func worker(_ index: Int) -> UnsafeMutablePointer<Float> { workers + index * workerCount }
}

extension Convolution {
  /// Elements of a thread's part of the workspace.
  package var workerCount: Int {
    let zeros = (max(groupInputs, groupOutputs) + 15) / 16 * 16
    let tables = (RowProduct.scratchCount + 15) / 16 * 16
    switch path {
    case .winograd4: return WinogradPass<WinogradF4>(self).workerCount
    case .winograd5: return WinogradPass<WinogradF5>(self).workerCount
    case .direct: return zeros + tables
    }
  }

  /// Elements of the shared part for a forward pass over `images`.
  package func forwardCount(images: Int) -> Int {
    switch path {
    case .winograd4: return WinogradPass<WinogradF4>(self).forwardCount(images: images)
    case .winograd5: return WinogradPass<WinogradF5>(self).forwardCount(images: images)
    case .direct: return 0
    }
  }

  /// Elements of the shared part for a backward pass over `images`.
  package func backwardCount(images: Int) -> Int {
    switch path {
    case .winograd4: return WinogradPass<WinogradF4>(self).backwardCount(images: images)
    case .winograd5: return WinogradPass<WinogradF5>(self).backwardCount(images: images)
    case .direct: return gradientPanelCount(images: chunkCapacity(images: images))
    }
  }

  /// Elements of the weights as `packForward` packs them.
  package var forwardWeightCount: Int {
    if packsInPasses { return 0 }
    switch path {
    case .winograd4:
      return WinogradTiles<WinogradF4>.frequencies
        * WinogradPass<WinogradF4>(self).weights.forwardMatrix
    case .winograd5:
      return WinogradTiles<WinogradF5>.frequencies
        * WinogradPass<WinogradF5>(self).weights.forwardMatrix
    case .direct: return taps * groupInputs * groups * Panels.storedColumns(groupOutputs)
    }
  }

  /// Elements of the weights as `packBackward` packs them.
  package var backwardWeightCount: Int {
    if packsInPasses { return 0 }
    switch path {
    case .winograd4:
      return WinogradTiles<WinogradF4>.frequencies
        * WinogradPass<WinogradF4>(self).weights.backwardMatrix
    case .winograd5:
      return WinogradTiles<WinogradF5>.frequencies
        * WinogradPass<WinogradF5>(self).weights.backwardMatrix
    case .direct: return taps * groupOutputs * groups * Panels.storedColumns(groupInputs)
    }
  }

  /// Packs weights in memory order for the forward pass, and returns what that takes: `packed`, or
  /// `weights` themselves.
  package func packForward(
    _ weights: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, space: Workspace,
    pool: WorkerPool
  ) -> UnsafePointer<Float> {
    if packsInPasses { return weights }
    switch path {
    case .winograd4:
      WinogradPass<WinogradF4>(self).packForward(weights, into: packed, space, pool)
    case .winograd5:
      WinogradPass<WinogradF5>(self).packForward(weights, into: packed, space, pool)
    case .direct: packForwardDirect(weights, into: packed, pool: pool)
    }
    return UnsafePointer(packed)
  }

  private func packForwardDirect(
    _ weights: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, pool: WorkerPool
  ) {
    let panels = Panels.count(columns: groupOutputs)
    let depth = taps * groupInputs
    pool.run(groups * panels) { task, _ in
      let (group, panel) = task.quotientAndRemainder(dividingBy: panels)
      Panels.pack(
        weights + group * groupWeights, stride: groupOutputs, depth: depth, columns: groupOutputs,
        panel: panel, into: packed + group * depth * Panels.storedColumns(groupOutputs))
    }
  }

  /// Packs weights in memory order for the data gradient, and returns what that takes: `packed`, or
  /// `weights` themselves.
  package func packBackward(
    _ weights: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, space: Workspace,
    pool: WorkerPool
  ) -> UnsafePointer<Float> {
    if packsInPasses { return weights }
    switch path {
    case .winograd4:
      WinogradPass<WinogradF4>(self).packBackward(weights, into: packed, space, pool)
    case .winograd5:
      WinogradPass<WinogradF5>(self).packBackward(weights, into: packed, space, pool)
    case .direct: packBackwardDirect(weights, into: packed, pool: pool)
    }
    return UnsafePointer(packed)
  }

  private func packBackwardDirect(
    _ weights: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, pool: WorkerPool
  ) {
    let panels = Panels.count(columns: groupInputs)
    let depth = taps * groupOutputs
    pool.run(groups * panels) { task, _ in
      let (group, panel) = task.quotientAndRemainder(dividingBy: panels)
      let target = packed + group * depth * Panels.storedColumns(groupInputs)
      let stored = Panels.storedWidth(panel: panel, columns: groupInputs)
      let first = panel * Panels.width
      for tap in 0..<taps {
        // Row 0 of this tap within the panel, as if the panel had only the tap's rows.
        let place = target + first * depth + tap * groupOutputs * stored - first * groupOutputs
        Panels.packTransposed(
          weights + group * groupWeights + tap * groupInputs * groupOutputs, stride: groupOutputs,
          depth: groupOutputs, columns: groupInputs, panel: panel, into: place)
      }
    }
  }
}
