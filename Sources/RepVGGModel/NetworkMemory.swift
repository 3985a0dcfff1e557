import Kernels
import RunPlanning
import Tensors

/// All memory of a rank's training network, allocated once: a step allocates none of it, and images
/// of another size are computed in the same arenas, which are made for the largest.
final class NetworkMemory {
  /// Decides how many images it holds; shard s begins at image s x shardCapacity.
  private(set) var shape: NetworkShape
  private var plan: ActivationPlan
  private let arenaCounts: ArenaCounts
  private let activations: Arena
  private let sharedArena: Arena
  private let workerArena: Arena
  private let packedArena: Arena
  private let counterArena: Arena
  /// What a block's convolutions work in.
  let workspace: Workspace
  /// Scratch slots of the largest gradient, for `GradientCounter`.
  let counterSlots: [UnsafeMutablePointer<Float>]
  /// Sums of the passes over each block's output.
  private(set) var sums: [ShardSums] = []
  /// Σx and Σx² of each block's input, for its identity branch.
  private(set) var inputSums: [ShardSums] = []

  /// `otherSizes`: the same blocks on images of other sizes.
  init(shape: NetworkShape, otherSizes: [[BlockShape]], threads: Int, largestGradient: Int) {
    self.shape = shape
    plan = ActivationPlan(blocks: shape.blocks, images: shape.imageCapacity)
    arenaCounts = otherSizes.reduce(ArenaCounts(shape)) { largest, blocks in
      var other = shape
      other.blocks = blocks
      return largest.covering(ArenaCounts(other))
    }
    activations = Arena(count: arenaCounts.activations)
    sharedArena = Arena(count: arenaCounts.shared)
    workerArena = Arena(count: arenaCounts.worker * threads)
    packedArena = Arena(count: arenaCounts.packed)
    workspace = Workspace(
      shared: sharedArena.base, workers: workerArena.base, workerCount: arenaCounts.worker)
    let slots = CostModel.counterSlots(shards: shape.shards)
    counterArena = Arena(count: largestGradient * slots)
    counterSlots = (0..<slots).map { [counterArena] in counterArena.base + $0 * largestGradient }
    makeSums()
  }

  /// Lays the arenas out for images of another size.
  func resize(to shape: NetworkShape) {
    let counts = ArenaCounts(shape)
    precondition(counts.covering(arenaCounts) == arenaCounts, "a size that was not announced")
    self.shape = shape
    plan = ActivationPlan(blocks: shape.blocks, images: shape.imageCapacity)
    (sums, inputSums) = ([], [])
    makeSums()
  }

  private func makeSums() {
    let capacity = shape.shardCapacity
    sums = shape.blocks.indices.map { index in
      let block = shape.blocks[index]
      let own = block.convolution(kernel: 3).slices(images: capacity)
      let next = Slices(pixels: block.outputPixels).count(images: capacity)
      return ShardSums(
        length: block.sumCount, slices: max(own, next), shards: shape.shards)
    }
    inputSums = shape.blocks.map { block in
      ShardSums(
        length: 2 * block.inputChannels,
        slices: block.hasIdentity ? block.convolution(kernel: 3).slices(images: capacity) : 0,
        shards: shape.shards)
    }
  }

  /// A block's output of one shard.
  func output(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(plan.blocks[block].output, block, shard)
  }

  /// Outputs of a block's 3x3 and 1x1 convolution; only where it stores them.
  func dense(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(stored(plan.blocks[block].dense), block, shard)
  }

  func pointwise(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(stored(plan.blocks[block].pointwise), block, shard)
  }

  private func stored(_ place: Int?) -> Int {
    guard let place else { fatalError("a stem does not store its branches") }
    return place
  }

  /// The gradient of a block's output.
  func gradient(_ block: Int, shard: Int) -> UnsafeMutablePointer<Float> {
    start(plan.blocks[block].gradient, block, shard)
  }

  private func start(_ offset: Int, _ block: Int, _ shard: Int) -> UnsafeMutablePointer<Float> {
    activations.base + offset + shard * shape.shardCapacity * shape.blocks[block].outputCount
  }

  /// Packed weights of the block at hand.
  var packed: UnsafeMutablePointer<Float> { packedArena.base }

  /// Bytes of all of it.
  var bytes: Int {
    let arenas = [activations, sharedArena, workerArena, packedArena, counterArena]
    return arenas.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
      + (sums + inputSums).reduce(0) { $0 + $1.bytes }
  }

  func scratch(worker: Int) -> UnsafeMutablePointer<Float> {
    workerArena.base + worker * arenaCounts.worker
  }
}

/// Elements of the arenas that depend on the size of the images; `worker` of each thread.
private struct ArenaCounts: Equatable {
  var activations: Int
  var shared: Int
  var worker: Int
  var packed: Int

  init(_ shape: NetworkShape) {
    activations = ActivationPlan(blocks: shape.blocks, images: shape.imageCapacity).count
    let needs = shape.blocks.map { BlockWorkspace($0, images: shape.shardCapacity) }
    shared = needs.map(\.sharedCount).max() ?? 0
    worker = needs.map(\.workerCount).max() ?? 0
    packed = needs.map(\.packedCount).max() ?? 0
  }

  /// What either finds room in.
  func covering(_ other: ArenaCounts) -> ArenaCounts {
    var both = self
    both.activations = max(activations, other.activations)
    both.shared = max(shared, other.shared)
    both.worker = max(worker, other.worker)
    both.packed = max(packed, other.packed)
    return both
  }
}

/// How much a block's passes work in, and where the parts lie, in Float32 elements.
struct BlockWorkspace {
  /// In the shared part, after what the 3x3 convolution needs: a chunk's gradient of its output; two
  /// places, each of `pointwiseCount` elements, for that of the 1x1's output; the latter as panels.
  let denseGradient: Int
  let pointwiseGradient: Int
  let pointwiseCount: Int
  let pointwisePanels: Int
  let sharedCount: Int
  let workerCount: Int
  /// Where the packed weights of the 1x1 convolution begin.
  let packedPointwise: Int
  let packedCount: Int

  /// `images`: the most of one shard.
  init(_ block: BlockShape, images: Int) {
    func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    let dense = block.convolution(kernel: 3).packing(images: images)
    let pointwise = block.convolution(kernel: 1)
    let chunkImages = dense.chunkCapacity(images: images)
    let outputs = aligned(chunkImages * dense.outputPixels * dense.outputChannels)
    denseGradient = aligned(dense.backwardCount(images: images))
    pointwiseGradient = denseGradient + outputs
    pointwiseCount = outputs
    pointwisePanels = pointwiseGradient + 2 * outputs
    let backward = pointwisePanels + aligned(pointwise.gradientPanelCount(images: chunkImages))
    let worker = max(dense.workerCount, pointwise.workerCount)
    if block.recomputesBranches {
      let stem = StemConvolution(dense)
      sharedCount = 0
      workerCount = aligned(max(worker, stem.workerCount))
      // It packs what it multiplies into memory of its own.
      (packedPointwise, packedCount) = (0, 0)
    } else {
      sharedCount = max(dense.forwardCount(images: images), backward)
      workerCount = aligned(worker)
      packedPointwise = aligned(max(dense.forwardWeightCount, dense.backwardWeightCount))
      packedCount =
        packedPointwise
        + aligned(max(pointwise.forwardWeightCount, pointwise.backwardWeightCount))
    }
  }
}

extension BlockShape {
  /// Float64 sums that a pass over the block's output makes at most.
  var sumCount: Int {
    guard recomputesBranches else { return 4 * outputChannels }
    let stem = StemConvolution(convolution(kernel: 3))
    return max(stem.forwardSums, stem.backwardSums)
  }
}
