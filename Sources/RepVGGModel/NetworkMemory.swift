import Kernels
import RunPlanning
import Tensors

/// All memory of a rank's training network, allocated once: a step allocates none of it.
final class NetworkMemory {
  /// Images that it holds, and where shard s begins: s x shardCapacity.
  let shape: NetworkShape
  /// Per block: output y, 3x3 output, 1x1 output, each [images][pixels][channels]; the backward pass
  /// overwrites the two branch outputs by their gradients.
  private let activations: Arena
  private let outputSlots: [Slot]
  private let denseSlots: [Slot]
  private let pointwiseSlots: [Slot]
  /// The gradient that comes into a block and the one that leaves it, by turns.
  private let gradientArena: Arena
  private let gradientCount: Int
  /// Scratch of each worker for gathered columns.
  private let scratchArena: Arena
  private let scratchCount: Int
  /// Flipped weights of the block at hand.
  let flippedWeights: Arena
  private let counterArena: Arena
  let sums: [ShardSums]

  init(shape: NetworkShape, threads: Int) {
    self.shape = shape
    var allocator = SlotAllocator()
    let images = shape.imageCapacity
    outputSlots = shape.blocks.map { allocator.reserve(images * $0.outputCount) }
    denseSlots = shape.blocks.map { allocator.reserve(images * $0.outputCount) }
    pointwiseSlots = shape.blocks.map { allocator.reserve(images * $0.outputCount) }
    activations = Arena(count: allocator.count)

    // The image's own gradient is never computed: inputs of all blocks but the first.
    gradientCount = images * (shape.blocks.map(\.outputCount).max() ?? 0)
    gradientArena = Arena(count: 2 * gradientCount)
    let convolutions = shape.blocks.flatMap {
      [$0.convolution(kernel: 3), $0.convolution(kernel: 1)]
    }
    scratchCount = convolutions.map(\.scratchCount).max() ?? 0
    scratchArena = Arena(count: scratchCount * threads)
    flippedWeights = Arena(count: convolutions.map(\.flippedWeightCount).max() ?? 0)
    let largest = max(
      convolutions.map(\.weightCount).max() ?? 0, shape.features * shape.classes)
    counterArena = Arena(count: largest * GradientCounter.slotCount(shards: shape.shards))
    counterSlots = (0..<GradientCounter.slotCount(shards: shape.shards)).map {
      [counterArena] in counterArena.base + $0 * largest
    }
    // A pass makes at most 2 sums for three branches, or 1 + 3, of each channel.
    sums = shape.blocks.map { block in
      let bands = block.convolution(kernel: 3).forwardBands(images: shape.shardCapacity)
      let tasks = max(bands, block.outputSegments.count(images: shape.shardCapacity))
      return ShardSums(
        length: 4 * block.outputChannels, tasks: tasks * shape.shards, shards: shape.shards)
    }
    inputSums = shape.blocks.map { block in
      ShardSums(
        length: 2 * block.inputChannels,
        tasks: shape.shards * block.inputSegments.count(images: shape.shardCapacity),
        shards: shape.shards)
    }
  }

  /// Scratch slots of the largest weight, for `GradientCounter`.
  let counterSlots: [UnsafeMutablePointer<Float>]
  /// Σx and Σx² of each block's input, for its identity branch.
  let inputSums: [ShardSums]

  /// A block's output of one shard.
  func output(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(activations, outputSlots[block], block, shard)
  }

  func dense(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(activations, denseSlots[block], block, shard)
  }

  func pointwise(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(activations, pointwiseSlots[block], block, shard)
  }

  private func start(
    _ arena: Arena, _ slot: Slot, _ block: Int, _ shard: Int
  ) -> UnsafeMutablePointer<Float> {
    arena.base + slot.offset + shard * shape.shardCapacity * shape.blocks[block].outputCount
  }

  /// One of the two gradient buffers, where a tensor of `imageCount` values an image begins.
  func gradient(
    buffer: Int, shard: Int, imageCount: Int
  ) -> UnsafeMutablePointer<Float> {
    gradientArena.base + (buffer % 2) * gradientCount + shard * shape.shardCapacity * imageCount
  }

  /// Bytes of all of it.
  var bytes: Int {
    let arenas = [activations, gradientArena, scratchArena, flippedWeights, counterArena]
    return arenas.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
      + (sums + inputSums).reduce(0) { $0 + $1.bytes }
  }

  func scratch(worker: Int) -> UnsafeMutablePointer<Float> {
    scratchArena.base + worker * scratchCount
  }
}
