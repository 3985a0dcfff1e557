import Kernels
import RunPlanning
import Tensors

/// RepVGG in its deploy form: one 3x3 convolution with bias and a ReLU for each block (with
/// squeeze-and-excitation between them in the networks that have it), then the classifier. Made by
/// fusing a `TrainingNetwork`; for inference only.
///
/// Images go through the first, large layers one by one (a thread's worth at a time) and through the
/// others in groups: what a layer writes, the next one finds in the cache, and small images together
/// are enough rows for a product. An image's logits are the same bits in whatever company it comes.
package final class DeployNetwork {
  package let shape: NetworkShape
  private let pool: WorkerPool
  private let layers: [DeployLayer]
  /// Of all layers, as the kernels read them: one block, whose pages are large.
  private let weightArena: Arena
  private let head: DeployHead
  /// Layers whose images are large enough to fill the products by themselves.
  private let largeLayers: Int
  /// Images that pass through these, and through the others, together.
  private let largeTogether: Int
  private let together: Int
  /// The input of a layer and its output, by turns.
  private let largeBuffers: [Arena]
  private let buffers: [Arena]
  private let logitArena: Arena
  private let sharedArena: Arena
  private let workerArena: Arena
  private let workerCount: Int
  private let workspace: Workspace
  /// Called before each block of a pass: whoever watches sees that it gets on.
  package var onBlock: () -> Void = {}

  /// Pixels of a layer's output from which an image is large. From measurements at development time.
  private static let largePixels = 1600
  /// Images that pass through the layers of small images together. Likewise.
  private static let mostTogether = 16

  /// `tensors`: deploy weights with published names and shapes, which are given back one after the other
  /// where nobody else holds them. `shape.shards` chunks of at most `shape.shardCapacity` images are
  /// evaluated together.
  package init(shape: NetworkShape, tensors: consuming NamedTensors, pool: WorkerPool) throws {
    var tensors = tensors
    self.shape = shape
    self.pool = pool
    let table = ParameterTable.deploy(blocks: shape.blocks, classes: shape.classes)
    try TensorCheck.check(tensors, against: table)
    let entries = Dictionary(uniqueKeysWithValues: table.entries.map { ($0.name, $0) })
    let large = shape.blocks.prefix { $0.outputPixels >= Self.largePixels }.count
    largeLayers = large
    largeTogether = min(shape.shardCapacity, pool.threads)
    together = min(shape.shardCapacity, max(Self.mostTogether, pool.threads))
    let head = DeployHead(
      features: shape.features, classes: shape.classes, pixels: shape.finalPixels,
      capacity: together)
    let needs = shape.blocks.enumerated().map { [largeTogether, together] index, block in
      DeployLayer.needs(block, images: index < large ? largeTogether : together)
    }
    let worker = max(needs.map(\.worker).max() ?? 0, head.workerCount)
    workerCount = (worker + 15) / 16 * 16
    sharedArena = Arena(count: needs.map(\.shared).max() ?? 0)
    workerArena = Arena(count: workerCount * pool.threads)
    let space = Workspace(
      shared: sharedArena.base, workers: workerArena.base, workerCount: workerCount)
    workspace = space
    let staging = Arena(count: max(needs.map(\.weights).max() ?? 0, head.weightCount))
    var places = SlotAllocator()
    let slots = shape.blocks.map { places.reserve(DeployLayer.packedCount($0)) }
    weightArena = Arena(count: places.count)
    let weights = weightArena.base
    layers = zip(shape.blocks, slots).map { block, slot in
      let layer = DeployLayer(
        block, packed: weights + slot.offset, tensors: tensors, table: entries,
        staging: staging.base, space: space, pool: pool)
      tensors.removeValue("\(block.key).rbr_reparam.weight")
      return layer
    }
    head.load(tensors, table: entries, staging: staging.base, space: space, pool: pool)
    self.head = head
    func buffers(_ blocks: ArraySlice<BlockShape>, images: Int) -> [Arena] {
      let count = images * (blocks.map(\.outputCount).max() ?? 0)
      return [Arena(count: count), Arena(count: count)]
    }
    largeBuffers = buffers(shape.blocks[..<large], images: large > 0 ? largeTogether : 0)
    // Also where the large layers leave their last output.
    self.buffers = buffers(shape.blocks[max(0, large - 1)...], images: together)
    logitArena = Arena(count: shape.imageCapacity * shape.classes)
  }

  /// Bytes of weights, as the kernels read them, and of everything that a pass works in.
  package var bytes: Int {
    let arenas = largeBuffers + buffers + [weightArena, logitArena, sharedArena, workerArena]
    return arenas.reduce(layers.reduce(head.bytes) { $0 + $1.bytes }) {
      $0 + $1.count * MemoryLayout<Float>.stride
    }
  }

  /// Computes the logits of every chunk: one entry for each of `shape.shards`, which may be empty.
  package func evaluate(_ batch: [ShardImages]) {
    precondition(batch.count == shape.shards, "one input for each chunk")
    for (chunk, images) in batch.enumerated() {
      precondition(images.count <= shape.shardCapacity, "more images than a chunk holds")
      let logits = logitArena.base + chunk * shape.shardCapacity * shape.classes
      var first = 0
      while first < images.count {
        let count = min(together, images.count - first)
        evaluate(
          images.pixels + first * shape.imageCount, count: count,
          into: logits + first * shape.classes)
        first += count
      }
    }
  }

  /// Logits of one chunk, [count][classes], valid until the next pass.
  package func logits(shard: Int) -> UnsafePointer<Float> {
    UnsafePointer(logitArena.base + shard * shape.shardCapacity * shape.classes)
  }

  /// One group of images through all layers.
  private func evaluate(
    _ pixels: UnsafePointer<Float>, count: Int, into logits: UnsafeMutablePointer<Float>
  ) {
    var input = pixels
    if largeLayers > 0 {
      let gathered = buffers[0].base
      let imageCount = shape.blocks[largeLayers - 1].outputCount
      var first = 0
      while first < count {
        let next = min(largeTogether, count - first)
        run(
          0..<largeLayers, images: next, input: pixels + first * shape.imageCount, largeBuffers,
          last: gathered + first * imageCount)
        first += next
      }
      input = UnsafePointer(gathered)
    }
    let last = buffers[(layers.count - largeLayers) % 2].base
    if largeLayers < layers.count {
      // The first of them writes beside its input, which may lie in the first buffer.
      run(largeLayers..<layers.count, images: count, input: input, buffers.reversed(), last: last)
      input = UnsafePointer(last)
    }
    head.run(images: count, input: input, into: logits, space: workspace, pool: pool)
  }

  /// Some images through some layers, whose outputs lie in both buffers by turns, and the last one's
  /// at `last`.
  private func run(
    _ range: Range<Int>, images: Int, input: UnsafePointer<Float>, _ buffers: [Arena],
    last: UnsafeMutablePointer<Float>
  ) {
    var input = input
    for index in range {
      onBlock()
      let isLast = index == range.upperBound - 1
      let output = isLast ? last : buffers[(index - range.lowerBound) % 2].base
      layers[index].run(
        images: images, input: input, output: output, space: workspace, pool: pool,
        scratch: { self.workerArena.base + $0 * self.workerCount })
      input = UnsafePointer(output)
    }
  }
}
