import Kernels
import RunPlanning
import Tensors

/// One rank's RepVGG in its training form: parameters, gradients, running statistics, and the
/// activations of this rank's shards.
///
/// The network knows no communicator: it is given two closures, one that sums a message of
/// statistics over ranks and one that is told how much of the gradient arena is complete. Not
/// `Sendable`: it belongs to its rank's thread, and its pool divides the work.
///
/// The network computes on images of one size at a time. What it knows does not depend on that size;
/// what it computes with is laid out anew by `resize(to:)`, in the memory of the largest size; what
/// blocks have of their own (squeeze-excitation, folded weights) is allocated anew.
package final class TrainingNetwork {
  package private(set) var shape: NetworkShape
  package let table: ParameterTable
  package let layout: ArenaLayout
  package let pool: WorkerPool
  /// Trainable parameters and their gradients (sums over this rank's shards), laid out by `layout`.
  package let parameters: Arena
  package let gradients: Arena
  /// Running means and variances by published name.
  let statisticsArena: Arena
  let statisticsPlaces: [String: Slot]
  /// Batches that each BatchNorm's running statistics have seen, by published name.
  package internal(set) var batchCounts: [String: Int64]
  let memory: NetworkMemory
  let head: ClassifierHead
  let counter: GradientCounter
  private(set) var blocks: [TrainingBlock] = []
  let linear: LinearPlaces
  private let finder: PlaceFinder
  /// Called before each block of a pass: whoever watches sees that it gets on.
  package var onBlock: () -> Void = {}
  /// Inputs of the pass at hand: every block's x of every shard.
  private var inputs: [[ShardImages]] = []
  /// Images of every shard.
  private var imageCounts: [Int]

  /// `otherSizes`: the same blocks on images of other sizes, to which the network will be brought.
  /// The memory is made for the largest of all.
  package init(shape: NetworkShape, otherSizes: [[BlockShape]] = [], pool: WorkerPool) {
    self.shape = shape
    self.pool = pool
    table = ParameterTable.training(blocks: shape.blocks, classes: shape.classes)
    layout = ArenaLayout(table)
    parameters = Arena(count: layout.count)
    gradients = Arena(count: layout.count)
    var allocator = SlotAllocator()
    var places: [String: Slot] = [:]
    var counts: [String: Int64] = [:]
    for entry in table.entries {
      switch entry.kind {
      case .runningMean, .runningVariance: places[entry.name] = allocator.reserve(entry.count)
      case .batchCount: counts[entry.name] = 0
      default: break
      }
    }
    let statistics = Arena(count: allocator.count)
    (statisticsArena, statisticsPlaces, batchCounts) = (statistics, places, counts)
    memory = NetworkMemory(
      shape: shape, otherSizes: otherSizes, threads: pool.threads,
      largestGradient: layout.largestGradient(blocks: shape.blocks))
    counter = GradientCounter(pool: pool, shards: shape.shards, slots: memory.counterSlots)
    head = ClassifierHead(shape: shape, pool: pool)
    finder = PlaceFinder(
      layout: layout, parameters: parameters, gradients: gradients, statistics: statistics,
      statisticsPlaces: places)
    linear = finder.linear()
    imageCounts = Array(repeating: 0, count: shape.shards)
    makeBlocks()
  }

  /// Brings the network to images of another size, one of those that it was made for: to what would
  /// be a network made anew for it with the same parameters, running statistics and batch counts.
  /// Logits and gradients of earlier passes are void. Nothing happens where it is there already.
  package func resize(to blocks: [BlockShape]) {
    guard blocks != shape.blocks else { return }
    precondition(
      blocks.map(\.withoutSize) == shape.blocks.map(\.withoutSize), "blocks of another network")
    self.blocks = []
    shape.blocks = blocks
    memory.resize(to: shape)
    head.resize(to: shape)
    makeBlocks()
  }

  private func makeBlocks() {
    blocks = shape.blocks.enumerated().map { index, block in
      let kind = block.recomputesBranches ? StemBlock.self : TrainingBlock.self
      return kind.init(
        shape: block, index: index, network: shape, memory: memory, pool: pool,
        parameters: finder.block(block), counter: counter)
    }
    inputs = shape.blocks.indices.map { index in
      (0..<shape.shards).map { shard in
        // The first block's are set by every pass.
        ShardImages(
          pixels: UnsafePointer(memory.output(max(0, index - 1), shard: shard)), count: 0)
      }
    }
  }
}

// MARK: - The passes of a step

extension TrainingNetwork {
  /// Training-mode forward pass of this rank's shards; logits are then in `logits(shard:)`.
  ///
  /// `batch`: one entry for each of `shape.shards`. With synchronised BatchNorm `reduceStatistics`
  /// is called once a block, on every rank in the same order, with
  /// [Σz, Σz² per branch][positions] in Float64; with local BatchNorm never.
  package func forward(_ batch: [ShardImages], reduceStatistics: ReduceStatistics) throws {
    precondition(batch.count == shape.shards, "one input for each shard")
    setInputs(batch)
    for (index, block) in blocks.enumerated() {
      onBlock()
      try block.forward(
        inputs[index], previous: previous(index), reduceStatistics: reduceStatistics)
    }
    classify()
  }

  /// Evaluation-mode forward pass with the running statistics; no collective.
  package func evaluate(_ batch: [ShardImages]) {
    precondition(batch.count == shape.shards, "one input for each shard")
    setInputs(batch)
    for (index, block) in blocks.enumerated() {
      onBlock()
      block.evaluate(inputs[index], previous: previous(index))
    }
    classify()
  }

  private func previous(_ index: Int) -> TrainingBlock? { index > 0 ? blocks[index - 1] : nil }

  /// Logits of one shard, [count][classes], valid until the next pass.
  package func logits(shard: Int) -> UnsafePointer<Float> {
    UnsafePointer(head.logits(shard: shard))
  }

  /// Backward pass after `forward`.
  ///
  /// `logitGradients`: [count][classes] of every shard, of the mean loss over the global batch.
  /// `gradientsReady(end)` says that elements `0..<end` of `gradients` are complete; it is called at
  /// least once a block, so it is also the place to poll reductions. With synchronised BatchNorm the
  /// gradients of scales and shifts are global when this returns.
  package func backward(
    logitGradients: [UnsafePointer<Float>], reduceStatistics: ReduceStatistics,
    gradientsReady: (Int) throws -> Void
  ) throws {
    let last = blocks[blocks.count - 1]
    let sums = memory.sums[last.index]
    head.backward(
      counts: imageCounts, logitGradients: logitGradients, weights: linear.weight,
      weightGradient: linear.weightGradient, biasGradient: linear.biasGradient, counter: counter,
      activationGradient: { memory.gradient(last.index, shard: $0) },
      finish: { shard, slice, images, worker in
        last.sumBackward(
          shard: shard, images: images, into: sums.cleared(shard: shard, slice: slice),
          worker: worker)
      })
    for (shard, count) in imageCounts.enumerated() {
      last.combineBackwardSums(shard: shard, slices: head.sliceCount(images: count))
    }
    try gradientsReady(linear.gradientsEnd)
    for block in blocks.reversed() {
      onBlock()
      try block.backward(
        inputs[block.index], previous: previous(block.index), reduceStatistics: reduceStatistics,
        gradientsReady: gradientsReady)
    }
  }

  /// Whether the batch statistics of the last forward pass are finite (with synchronised BatchNorm
  /// the same answer on all ranks).
  package var hasFiniteStatistics: Bool { blocks.allSatisfy { $0.statistics.isFinite } }

  /// Moves the running statistics by the last forward pass's batch statistics. Part of the update,
  /// after the check that everything is finite: a rejected step leaves nothing behind.
  package func updateRunningStatistics() {
    for block in blocks {
      block.parameters.running.forEach { branch, running in
        block.statistics.updateRunning(
          branch: branch, mean: running.mean, variance: running.variance,
          momentum: shape.statisticsMomentum)
      }
    }
    // By index: a loop over keys would hold a copy of the dictionary.
    var place = batchCounts.startIndex
    while place != batchCounts.endIndex {
      batchCounts.values[place] += 1
      batchCounts.formIndex(after: &place)
    }
  }

  /// Bytes that the network has allocated, apart from parameters and gradients: what grows with the
  /// batch and the threads.
  package var workingBytes: Int {
    memory.bytes + head.bytes + blocks.reduce(0) { $0 + ($1.excitation?.bytes ?? 0) }
  }

  /// All running statistics, for copying them between ranks when BatchNorm is local.
  package var runningStatistics: UnsafeMutableBufferPointer<Float> { statisticsArena.all }

  private func setInputs(_ batch: [ShardImages]) {
    for (shard, images) in batch.enumerated() {
      inputs[0][shard].pixels = images.pixels
      imageCounts[shard] = images.count
      for index in blocks.indices { inputs[index][shard].count = images.count }
    }
  }

  private func classify() {
    let last = blocks[blocks.count - 1]
    head.forward(
      counts: imageCounts, weights: linear.weight, bias: linear.bias,
      prepare: { shard, images, worker in
        last.writeOutput(shard: shard, images: images, sums: nil, worker: worker)
      }, activations: { memory.output(last.index, shard: $0) })
  }
}
