/// Which path a block's convolutions take and how much memory their passes work in.
///
/// The kernels decide (`Convolution` in the room Kernels, which this room cannot see); this says the
/// same from a block's shape, for plans of runs that do not run here. Tests hold both together.
package struct KernelPlan: Sendable, Equatable {
  /// How a convolution's products are made.
  package enum Path: String, Sendable {
    /// Winograd F(4x4, 3x3) and F(5x5, 3x3).
    case winograd4 = "winograd-4x4"
    case winograd5 = "winograd-5x5"
    /// The definition, pixels in their place.
    case direct
    /// Direct, computed again from the images where it is needed rather than stored.
    case recomputed
  }

  private let block: BlockShape
  /// Largest number of images of one shard.
  private let images: Int
  /// Columns of a panel of the products, which the build's CPU decides.
  private let panelWidth: Int

  package init(_ block: BlockShape, images: Int, panelWidth: Int = 16) {
    self.block = block
    self.images = images
    self.panelWidth = panelWidth
  }

  private var inputs: Int { block.inputChannels / block.groups }
  private var outputs: Int { block.outputChannels / block.groups }
  private var groups: Int { block.groups }
  /// Tiles of an image, of `size` x `size` outputs.
  private func tiles(_ size: Int) -> Int {
    (block.inputHeight + size - 1) / size * ((block.inputWidth + size - 1) / size)
  }
  /// Tiles of an image and products of a tile on the path chosen.
  private var tiles: Int { path == .winograd5 ? tiles(5) : tiles(4) }
  private var frequencies: Int { path == .winograd5 ? 49 : 36 }
  private var isWinograd: Bool { path == .winograd4 || path == .winograd5 }

  /// The path of the 3x3 convolution, of all its passes.
  package var path: Path {
    if block.recomputesBranches { return .recomputed }
    guard block.stride == 1 && min(inputs, outputs) >= 8 else { return .direct }
    let (four, five) = (tiles(4) * 36, tiles(5) * 49)
    guard 3 * min(four, five) <= 2 * 9 * block.inputPixels else { return .direct }
    return five < four ? .winograd5 : .winograd4
  }

  /// Whether the 3x3 convolution's weights are transformed where they are multiplied, a panel at a
  /// time.
  private var packsInPasses: Bool {
    isWinograd && frequencies * inputs * block.outputChannels > 1_048_576
      && images * tiles <= 128
  }

  // MARK: - Cuts

  private var sliceImages: Int { max(1, 64 / block.inputPixels) }
  private var slices: Int { (images + sliceImages - 1) / sliceImages }

  /// Most images of a chunk.
  private var chunkImages: Int {
    let wanted: Int
    if isWinograd {
      let least = tiles * (2 * block.inputChannels + block.outputChannels) <= 32_768 ? 2 : 1
      wanted = max(least, (max(96, min(inputs, outputs) / 2) + tiles / 2) / tiles)
    } else {
      let values =
        block.inputPixels * block.inputChannels + block.outputPixels * block.outputChannels
      wanted = max(4, 512 / block.outputPixels, 262_144 / values)
    }
    return min(images, max(1, wanted / sliceImages) * sliceImages)
  }

  // MARK: - Float32 elements

  private func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }

  /// Columns with which panels (the last one perhaps of half the width) hold `count`.
  private func stored(_ count: Int) -> Int {
    let half = panelWidth / 2
    return (count + half - 1) / half * half
  }

  /// The distance between a path's matrices: an odd number of cache lines.
  private func spread(_ count: Int) -> Int { ((count + 15) / 16 | 1) * 16 }

  /// The part that all threads share.
  package var sharedCount: Int {
    if path == .recomputed { return 0 }
    let chunk = chunkImages
    let chunkOutputs = chunk * block.outputPixels * block.outputChannels
    let panels = chunk * block.outputPixels * groups * stored(outputs)
    var (forward, backward) = (0, panels)
    if isWinograd {
      let rows = chunk * tiles
      let activations = spread(rows * block.inputChannels) + spread(rows * block.outputChannels)
      forward = frequencies * activations
      backward =
        frequencies
        * (spread(rows * groups * stored(inputs)) + activations
          + (packsInPasses ? 0 : spread(groups * outputs * stored(inputs))))
    }
    return max(
      forward, aligned(backward) + 3 * aligned(chunkOutputs) + aligned(panels))
  }

  /// The part of each thread.
  package var workerCount: Int {
    let tables = aligned(2 * 10 * 256 + 4 * 9)
    let plain = aligned(max(inputs, outputs)) + tables
    if path == .recomputed {
      let (patch, width) = (9 * block.inputChannels, block.outputWidth)
      let lines = block.stride * (max(1, 240 / width) - 1) + 3
      let stem =
        tables + aligned(lines * (block.inputWidth + 2) * block.inputChannels + 16)
        + aligned(240 * block.outputChannels) + aligned(240 * stored(block.outputChannels))
        + aligned(patch * stored(block.outputChannels)) + aligned(2 * patch)
        + aligned(2 * (lines * (block.inputWidth + 2) * block.inputChannels + 16))
      return aligned(max(plain, stem))
    }
    if isWinograd {
      let size = path == .winograd5 ? 7 : 6
      let single = aligned(max(tables, 9 * outputs * panelWidth + 3 * size * 8))
      let (forward, backward) = (panelWidth * inputs, panelWidth * outputs)
      let run = packsInPasses ? frequencies * max(spread(forward), 2 * spread(backward)) : 0
      return aligned(max(plain, single + run))
    }
    return plain
  }

  /// Packed weights of both convolutions.
  package var packedCount: Int {
    let larger = groups * max(inputs * stored(outputs), outputs * stored(inputs))
    if path == .recomputed { return 0 }
    let dense = packsInPasses ? 0 : isWinograd ? frequencies * spread(larger) : 9 * larger
    return aligned(dense) + aligned(larger)
  }

  /// Float64 sums of all slices and of the shard, over the block's output and over its input.
  package var sumCount: Int {
    let outputSlices =
      (images + max(1, 64 / block.outputPixels) - 1) / max(1, 64 / block.outputPixels)
    let patch = 9 * block.inputChannels
    let length =
      block.recomputesBranches
      ? max((patch + 1) * patch, (1 + patch) * block.outputChannels) : 4 * block.outputChannels
    let inputLength = 2 * block.inputChannels
    return (max(slices, outputSlices) + 1) * length
      + ((block.hasIdentity ? slices : 0) + 1) * inputLength
  }
}
