import Kernels
import RunPlanning
import Tensors

/// One rank's RepVGG in its training form: parameters, gradients, running statistics, and the
/// activations of this rank's shards.
///
/// The network knows no communicator: it is given two closures, one that sums a message of
/// statistics over ranks and one that is told how much of the gradient arena is complete. Not
/// `Sendable`: it belongs to its rank's thread, and its pool divides the work.
package final class TrainingNetwork {
  package let shape: NetworkShape
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
  let blocks: [TrainingBlock]
  let linear: LinearPlaces
  /// Inputs of the pass at hand: every block's x of every shard.
  private var inputs: [[ShardImages]]

  package init(shape: NetworkShape, pool: WorkerPool) {
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
    let memory = NetworkMemory(shape: shape, threads: pool.threads)
    self.memory = memory
    let counter = GradientCounter(pool: pool, shards: shape.shards, slots: memory.counterSlots)
    self.counter = counter
    head = ClassifierHead(shape: shape, pool: pool, trains: true)
    let finder = PlaceFinder(
      layout: layout, parameters: parameters, gradients: gradients, statistics: statistics,
      statisticsPlaces: places)
    linear = finder.linear()
    blocks = shape.blocks.enumerated().map { index, block in
      TrainingBlock(
        shape: block, index: index, network: shape, memory: memory, pool: pool,
        parameters: finder.block(block), counter: counter)
    }
    inputs = []
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
    if shape.blocks[0].hasIdentity { sumImages(batch) }
    for (index, block) in blocks.enumerated() {
      let wantsSums = index + 1 < blocks.count && shape.blocks[index + 1].hasIdentity
      try block.forward(
        inputs[index], wantsOutputSums: wantsSums, reduceStatistics: reduceStatistics)
    }
    classify()
  }

  /// Evaluation-mode forward pass with the running statistics; no collective.
  package func evaluate(_ batch: [ShardImages]) {
    precondition(batch.count == shape.shards, "one input for each shard")
    setInputs(batch)
    for (index, block) in blocks.enumerated() {
      block.useRunningStatistics()
      block.evaluate(inputs[index])
    }
    classify()
  }

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
    let last = blocks.count - 1
    head.backward(
      counts: inputs[0].map(\.count), logitGradients: logitGradients, weights: linear.weight,
      weightGradient: linear.weightGradient, biasGradient: linear.biasGradient, counter: counter
    ) { shard in
      memory.gradient(buffer: 0, shard: shard, imageCount: shape.blocks[last].outputCount)
    }
    try gradientsReady(linear.gradientsEnd)
    for (step, block) in blocks.reversed().enumerated() {
      try block.backward(
        inputs[block.index], buffer: step, reduceStatistics: reduceStatistics,
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
    for name in batchCounts.keys { batchCounts[name, default: 0] += 1 }
  }

  /// Bytes that the network has allocated, apart from parameters and gradients: what grows with the
  /// batch and the threads.
  package var workingBytes: Int { memory.bytes + head.bytes }

  /// All running statistics, for copying them between ranks when BatchNorm is local.
  package var runningStatistics: UnsafeMutableBufferPointer<Float> { statisticsArena.all }

  private func setInputs(_ batch: [ShardImages]) {
    inputs.removeAll(keepingCapacity: true)
    inputs.append(batch)
    for index in blocks.indices.dropLast() {
      inputs.append(
        batch.indices.map { shard in
          ShardImages(
            pixels: UnsafePointer(memory.output(index, shard: shard)), count: batch[shard].count)
        })
    }
  }

  private func classify() {
    let last = blocks.count - 1
    head.forward(
      counts: inputs[0].map(\.count), weights: linear.weight, bias: linear.bias
    ) { memory.output(last, shard: $0) }
  }

  /// The sums of the images themselves, where already the first block has an identity branch.
  private func sumImages(_ batch: [ShardImages]) {
    let segments = shape.blocks[0].inputSegments
    let channels = shape.blocks[0].inputChannels
    let sums = memory.inputSums[0]
    var tasks = ShardTasks(capacity: batch.count)
    tasks.count { segments.count(images: batch[$0].count) }
    for task in 0..<tasks.total {
      let (shard, number) = tasks.locate(task)
      let rows = segments.rows(number, images: batch[shard].count)
      addChannelSums(
        batch[shard].pixels + rows.lowerBound * channels, rows: rows.count, channels: channels,
        sums: sums.cleared(task: task))
    }
    sums.combineTasks(tasks)
  }
}
