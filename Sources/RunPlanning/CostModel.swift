/// What a network costs: multiply-accumulates of one image, and memory of one rank. All formulas of
/// the plan stand here.
package struct CostModel: Sendable {
  package var blocks: [BlockShape]
  package var classes: Int

  package init(blocks: [BlockShape], classes: Int) {
    self.blocks = blocks
    self.classes = classes
  }

  private var featureWidth: Int { blocks.last?.outputChannels ?? 0 }

  /// Multiply-accumulates of the classifier.
  package var linearMACs: Int { classes * featureWidth }

  /// Of one image forward through a block with its 3x3 and 1x1 branches; the identity has none.
  package static func trainingMACs(_ block: BlockShape) -> Int {
    block.macs(kernelArea: 9) + block.macs(kernelArea: 1) + block.squeezeMACs
  }

  /// Of one image forward through a fused block.
  package static func deployMACs(_ block: BlockShape) -> Int {
    block.macs(kernelArea: 9) + block.squeezeMACs
  }

  package var trainingMACs: Int {
    blocks.reduce(linearMACs) { $0 + Self.trainingMACs($1) }
  }

  package var deployMACs: Int {
    blocks.reduce(linearMACs) { $0 + Self.deployMACs($1) }
  }

  /// Multiplications of the deploy form as the paper's table 4 counts them: Winograd F(2x2,3x3)
  /// takes 4/9 of a stride-1 3x3 layer, the classifier is left out.
  package var winogradMultiplications: Int {
    blocks.reduce(0) { sum, block in
      let products = block.macs(kernelArea: 9)
      return sum + (block.stride == 1 ? products / 9 * 4 : products)
    }
  }
}

/// Bytes of one rank, by what they are for.
package struct MemoryEstimate: Sendable, Equatable {
  package var parameters = 0
  /// The rank's own gradients and the reduced ones.
  package var gradients = 0
  package var momentum = 0
  /// Partial gradients of further shards, by the binary counter over shards.
  package var shardScratch = 0
  /// Tensors kept from the forward for the backward pass, for all images of the rank.
  package var activations = 0
  /// Gradients with respect to activations that find no room in activations no longer needed.
  package var activationGradients = 0
  /// Working memory of the convolutions, for all threads, and sums of their tasks.
  package var scratch = 0
  /// Images and layers of the deploy network, which is evaluated beside the training network.
  package var evaluation = 0
  /// Batches that the loader keeps ready and the one in use, and what `LoaderMemory` adds to them.
  package var loader = 0
  /// Images that the data set holds in memory.
  package var dataset = 0
  /// The average of the weights, where one is kept.
  package var average = 0
  /// Rank 0's alone: a checkpoint on its way to the disk, while training goes on.
  package var saving = 0

  /// Each item under the name that `plan` prints.
  package var items: [(name: String, bytes: Int)] {
    [
      ("parameters", parameters), ("gradients", gradients), ("momentum", momentum),
      ("shard_scratch", shardScratch), ("activations", activations),
      ("activation_gradients", activationGradients), ("scratch", scratch),
      ("evaluation", evaluation), ("loader", loader), ("dataset", dataset),
      ("average", average), ("saving", saving),
    ]
  }

  /// Of the rank that needs most, which is rank 0.
  package var total: Int { items.reduce(0) { $0 + $1.bytes } }

  /// Of rank 0 and `ranks` - 1 others; `Int.max` where that cannot be counted.
  package func total(ranks: Int) -> Int {
    let (others, overflow) = (total - saving).multipliedReportingOverflow(by: ranks - 1)
    let (bytes, isTooMuch) = others.addingReportingOverflow(total)
    return overflow || isTooMuch ? .max : bytes
  }
}

extension CostModel {
  /// What decides a rank's memory beside the network.
  package struct Load: Sendable {
    /// Shards of the rank, and images of its largest one.
    package var shards: Int
    package var shardSize: Int
    package var threads: Int
    /// Batches that the loader keeps ready.
    package var prefetch: Int
    /// What it takes beside them (`LoaderMemory`).
    package var loaderBytes = 0
    /// Bytes of the data set in memory.
    package var datasetBytes: Int
    /// As in `MachineSummary`.
    package var panelWidth: Int
    /// An average of the weights is kept.
    package var keepsAverage = false

    package init(
      shards: Int, shardSize: Int, threads: Int, prefetch: Int, datasetBytes: Int,
      panelWidth: Int = 16
    ) {
      self.shards = shards
      self.shardSize = shardSize
      self.threads = threads
      self.prefetch = prefetch
      self.datasetBytes = datasetBytes
      self.panelWidth = panelWidth
    }

    var images: Int { shards * shardSize }
  }

  private static let floatBytes = 4

  /// What the training network, the optimizer, the evaluation and the loader allocate; a test holds
  /// it against what they do allocate. `otherSizes`: the same blocks on images of other sizes, smaller
  /// ones, which the network computes in the same memory.
  package func memory(
    layout: ArenaLayout, load: Load, otherSizes: [[BlockShape]] = []
  ) -> MemoryEstimate {
    let arena = layout.count * Self.floatBytes
    let inputs = blocks.first.map { $0.inputPixels * $0.inputChannels } ?? 0
    let outputs = blocks.map { $0.outputPixels * $0.outputChannels }
    let largestOutput = outputs.max() ?? 0
    var memory = MemoryEstimate()
    memory.parameters = arena
    memory.gradients = 2 * arena
    memory.momentum = arena
    memory.shardScratch =
      Self.counterSlots(shards: load.shards) * layout.largestGradient(blocks: blocks)
      * Self.floatBytes
    let plan = ActivationPlan(blocks: blocks, images: load.images)
    let activations = otherSizes.reduce(plan.count) {
      max($0, ActivationPlan(blocks: $1, images: load.images).count)
    }
    let needs = ScratchNeeds(blocks, load)
    let largest = otherSizes.reduce(needs) { $0.covering(ScratchNeeds($1, load)) }
    // The head's features and logits with their gradients.
    let head = 2 * (featureWidth + classes)
    let squeeze = blocks.reduce(0) { $0 + $1.squeezeActivations }
    memory.activations = (plan.kept + load.images * (head + squeeze)) * Self.floatBytes
    memory.activationGradients = (activations - plan.kept) * Self.floatBytes
    let squeezeSums = load.threads * blocks.reduce(0) { $0 + $1.squeezeSums }
    memory.scratch =
      (largest.shared + largest.workers + largest.packed) * Self.floatBytes
      + (largest.sums + squeezeSums) * 8
    // Fusing gives about as many weights as the training form has, and packing four times as many.
    memory.evaluation =
      5 * arena
      + (load.images * (inputs + 2 * largestOutput) + needs.shared + needs.workers)
      * Self.floatBytes
    memory.loader =
      (load.prefetch + 1) * load.images * inputs * Self.floatBytes
      + load.loaderBytes
    memory.dataset = load.datasetBytes
    memory.average = load.keepsAverage ? arena : 0
    // The state as it lies in memory, in the order of files, and as the bytes of files.
    memory.saving = 3 * (load.keepsAverage ? 3 : 2) * arena
    return memory
  }

  /// Elements of what the convolutions work in, Float64 ones for sums, over all threads and shards.
  private struct ScratchNeeds {
    var shared: Int
    var workers: Int
    var packed: Int
    var sums: Int

    init(_ blocks: [BlockShape], _ load: Load) {
      let kernels = blocks.map {
        KernelPlan($0, images: load.shardSize, panelWidth: load.panelWidth)
      }
      shared = kernels.map(\.sharedCount).max() ?? 0
      workers = load.threads * (kernels.map(\.workerCount).max() ?? 0)
      packed = kernels.map(\.packedCount).max() ?? 0
      sums = load.shards * kernels.reduce(0) { $0 + $1.sumCount }
    }

    /// What either finds room in.
    func covering(_ other: ScratchNeeds) -> ScratchNeeds {
      var both = self
      both.shared = max(shared, other.shared)
      both.workers = max(workers, other.workers)
      both.packed = max(packed, other.packed)
      both.sums = max(sums, other.sums)
      return both
    }
  }

  /// Slots beside the gradient itself with which a binary counter adds up `shards` partials.
  package static func counterSlots(shards: Int) -> Int {
    shards <= 1 ? 0 : Int.bitWidth - (shards - 1).leadingZeroBitCount
  }

  /// Whether every count of this network stays far inside `Int`; in floating point, so that the
  /// question itself cannot overflow. Ask before any other.
  package func isCountable(images: Int) -> Bool {
    let limit = 9e15  // 2^53, also the largest whole number that JSON readers keep exact
    var (work, activations) = (Double(classes) * Double(featureWidth), 0.0)
    for block in blocks {
      let outputs =
        Double(block.outputHeight) * Double(block.outputWidth) * Double(block.outputChannels)
      let inputs =
        Double(block.inputHeight) * Double(block.inputWidth) * Double(block.inputChannels)
      work += (outputs + 1) * Double(block.inputChannels) * 10
      activations += (3 * outputs + 10 * inputs) * Double(images) * 8
    }
    return work < limit && activations < limit
  }
}
