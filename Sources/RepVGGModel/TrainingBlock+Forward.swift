import Kernels

/// Sums a message over all ranks, in place.
package typealias ReduceStatistics = (UnsafeMutableBufferPointer<Double>) throws -> Void

extension TrainingBlock {
  /// Training: convolutions with their sums, one collective, normalise + add + ReLU.
  ///
  /// `inputs`: x of every shard. `wantsOutputSums`: leaves Σy and Σy² in `memory.inputSums` of the
  /// next block.
  func forward(
    _ inputs: [ShardImages], wantsOutputSums: Bool, reduceStatistics: ReduceStatistics
  ) throws {
    convolve(inputs, withSums: true)
    switch batchNorm {
    case .sync:
      assembleForwardMessage(inputs)
      let length = 2 * branchCount * channels
      try reduceStatistics(UnsafeMutableBufferPointer(rebasing: message[...length]))
      statistics.setForward(
        set: 0, sums: base, positions: message[length], scales: parameters.scales)
    case .local:
      for (shard, input) in inputs.enumerated() {
        gatherShardSums(shard)
        statistics.setForward(
          set: shard, sums: base, positions: Double(input.count * shape.outputPixels),
          scales: parameters.scales)
      }
    }
    normalise(inputs, wantsOutputSums: wantsOutputSums, set: set(ofShard:))
  }

  /// Evaluation: the same with the running statistics, which `useRunningStatistics` has put into
  /// set 0.
  func evaluate(_ inputs: [ShardImages]) {
    convolve(inputs, withSums: false)
    normalise(inputs, wantsOutputSums: false, set: { _ in 0 })
  }

  /// Sets up `evaluate`.
  func useRunningStatistics() {
    let running = parameters.running
    statistics.setForward(
      runningMeans: running.map { UnsafePointer($0.mean) },
      runningVariances: running.map { UnsafePointer($0.variance) }, scales: parameters.scales)
  }

  private var base: UnsafeMutablePointer<Double> {
    guard let address = message.baseAddress else { fatalError("statistics message is empty") }
    return address
  }

  /// z₃ and z₁ of every shard, and their sums while they are in the cache.
  private func convolve(_ inputs: [ShardImages], withSums: Bool) {
    let sums = memory.sums[index]
    tasks.count { dense.forwardBands(images: inputs[$0].count) }
    let (tasks, weights) = (tasks, parameters)
    pool.run(tasks.total) { task, worker in
      let (shard, number) = tasks.locate(task)
      let input = inputs[shard]
      let band = dense.forwardBand(number, images: input.count)
      let scratch = memory.scratch(worker: worker)
      let (z3, z1) = (memory.dense(index, shard: shard), memory.pointwise(index, shard: shard))
      dense.forward(
        band: band, input: input.pixels, weights: weights.denseWeight, output: z3,
        scratch: scratch)
      pointwise.forward(
        band: band, input: input.pixels, weights: weights.pointwiseWeight, output: z1,
        scratch: scratch)
      guard withSums else { return }
      let target = sums.cleared(task: task)
      let place = band.lowerBound * shape.outputWidth * channels
      let rows = band.count * shape.outputWidth
      addChannelSums(z3 + place, rows: rows, channels: channels, sums: target)
      addChannelSums(z1 + place, rows: rows, channels: channels, sums: target + 2 * channels)
    }
    if withSums { sums.combineTasks(tasks) }
  }

  /// [Σz, Σz²] of all branches over this rank's shards, and its positions.
  private func assembleForwardMessage(_ inputs: [ShardImages]) {
    let length = 4 * channels
    base.update(from: memory.sums[index].combineShards(), count: length)
    if shape.hasIdentity {
      (base + length).update(from: memory.inputSums[index].combineShards(), count: 2 * channels)
    }
    let images = inputs.reduce(0) { $0 + $1.count }
    message[2 * branchCount * channels] = Double(images * shape.outputPixels)
  }

  private func gatherShardSums(_ shard: Int) {
    base.update(from: memory.sums[index].shard(shard), count: 4 * channels)
    if shape.hasIdentity {
      (base + 4 * channels).update(
        from: memory.inputSums[index].shard(shard), count: 2 * channels)
    }
  }

  /// y = ReLU(Σ BN(z)), and the sums that the next block's identity branch needs.
  private func normalise(
    _ inputs: [ShardImages], wantsOutputSums: Bool, set: (_ shard: Int) -> Int
  ) {
    let segments = shape.outputSegments
    let outputSums = wantsOutputSums ? memory.inputSums[index + 1] : nil
    tasks.count { segments.count(images: inputs[$0].count) }
    let (tasks, statistics) = (tasks, statistics)
    pool.run(tasks.total) { task, _ in
      let (shard, number) = tasks.locate(task)
      let rows = segments.rows(number, images: inputs[shard].count)
      let place = rows.lowerBound * channels
      let branches = Branches(
        dense: UnsafePointer(memory.dense(index, shard: shard)) + place,
        pointwise: UnsafePointer(memory.pointwise(index, shard: shard)) + place,
        identity: shape.hasIdentity ? inputs[shard].pixels + place : nil)
      normaliseAddRectify(
        branches, output: memory.output(index, shard: shard) + place, rows: rows.count,
        channels: channels, coefficients: statistics.coefficients(set: set(shard)),
        sums: outputSums?.cleared(task: task))
    }
    outputSums?.combineTasks(tasks)
  }
}

extension Branches {
  /// Every branch's value transformed.
  func map<Other>(_ transform: (Value) -> Other) -> Branches<Other> {
    Branches<Other>(
      dense: transform(dense), pointwise: transform(pointwise), identity: identity.map(transform))
  }
}
