import Kernels

extension TrainingBlock {
  /// Backward through the block.
  ///
  /// `inputs`: x of every shard, as in the forward pass. The gradient of y is in gradient buffer
  /// `buffer`; the gradient of x goes to the other buffer, except for the first block, which has
  /// none. `gradientsReady` is called when the block's weight gradients are complete.
  func backward(
    _ inputs: [ShardImages], buffer: Int, reduceStatistics: ReduceStatistics,
    gradientsReady: (Int) throws -> Void
  ) throws {
    sumBackward(inputs, buffer: buffer)
    try reduceBackwardSums(inputs, reduceStatistics)
    apply(inputs, buffer: buffer)
    weightGradients(inputs)
    try gradientsReady(parameters.gradientsEnd)
    if index > 0 { dataGradient(inputs, buffer: buffer + 1) }
  }

  private func gated(_ shard: Int, buffer: Int, place: Int) -> GatedGradient {
    GatedGradient(
      gradient: memory.gradient(buffer: buffer, shard: shard, imageCount: shape.outputCount)
        + place,
      gate: memory.output(index, shard: shard) + place)
  }

  /// Counts the tasks of a pass over the block's outputs.
  private func countSegments(_ inputs: [ShardImages]) {
    tasks.count { shape.outputSegments.count(images: inputs[$0].count) }
  }

  /// Σg and Σg·ẑ of every shard, one pass.
  private func sumBackward(_ inputs: [ShardImages], buffer: Int) {
    let sums = memory.sums[index]
    countSegments(inputs)
    let (tasks, statistics) = (tasks, statistics)
    pool.run(tasks.total) { task, _ in
      let (shard, number) = tasks.locate(task)
      let rows = shape.outputSegments.rows(number, images: inputs[shard].count)
      let place = rows.lowerBound * channels
      let branches = Branches(
        dense: UnsafePointer(memory.dense(index, shard: shard)) + place,
        pointwise: UnsafePointer(memory.pointwise(index, shard: shard)) + place,
        identity: shape.hasIdentity ? inputs[shard].pixels + place : nil)
      addBackwardSums(
        gated(shard, buffer: buffer, place: place), branches: branches, rows: rows.count,
        channels: channels,
        standardisation: statistics.standardisation(set: set(ofShard: shard)),
        sums: sums.cleared(task: task))
    }
    sums.combineTasks(tasks)
  }

  /// The collective of the backward pass; dγ and dβ; the constants of the application.
  private func reduceBackwardSums(
    _ inputs: [ShardImages], _ reduceStatistics: ReduceStatistics
  ) throws {
    let sums = memory.sums[index]
    switch batchNorm {
    case .sync:
      let length = (1 + branchCount) * channels
      let reduced = UnsafeMutableBufferPointer(rebasing: message[..<length])
      guard let base = reduced.baseAddress else { return }
      base.update(from: sums.combineShards(), count: length)
      try reduceStatistics(reduced)
      statistics.setBackward(set: 0, sums: base, scales: parameters.scales)
      setNormGradients(base)
    case .local:
      for shard in inputs.indices {
        statistics.setBackward(set: shard, sums: sums.shard(shard), scales: parameters.scales)
      }
      foldLocalGradients(inputs.count)
    }
  }

  /// dβ = Σg and dγ = Σg·ẑ are global already: they are not reduced a second time.
  private func setNormGradients(_ sums: UnsafePointer<Double>) {
    parameters.normGradients.forEach { branch, gradient in
      for channel in 0..<channels {
        gradient.shift[channel] = Float(sums[channel])
        gradient.scale[channel] = Float(sums[(1 + branch) * channels + channel])
      }
    }
  }

  /// Local statistics: γ's and β's gradients are partial sums of shards, like every other gradient.
  private func foldLocalGradients(_ shards: Int) {
    let length = branchCount * 2 * channels
    for shard in 0..<shards {
      let sums = memory.sums[index].shard(shard)
      let target = localGradients.base + shard * length
      for branch in 0..<branchCount {
        for channel in 0..<channels {
          target[branch * 2 * channels + channel] = Float(sums[(1 + branch) * channels + channel])
          target[(branch * 2 + 1) * channels + channel] = Float(sums[channel])
        }
      }
    }
    foldShards(shards) { earlier, later in
      add(
        localGradients.base + later * length, to: localGradients.base + earlier * length,
        count: length)
    }
    parameters.normGradients.forEach { branch, gradient in
      let source = localGradients.base + branch * 2 * channels
      gradient.scale.update(from: source, count: channels)
      gradient.shift.update(from: source + channels, count: channels)
    }
  }

  /// dz of every branch, one pass: in place for the convolutions, into the other buffer for the
  /// identity.
  private func apply(_ inputs: [ShardImages], buffer: Int) {
    countSegments(inputs)
    let (tasks, statistics) = (tasks, statistics)
    pool.run(tasks.total) { task, _ in
      let (shard, number) = tasks.locate(task)
      let rows = shape.outputSegments.rows(number, images: inputs[shard].count)
      let place = rows.lowerBound * channels
      let z3 = memory.dense(index, shard: shard) + place
      let z1 = memory.pointwise(index, shard: shard) + place
      let identity = memory.gradient(
        buffer: buffer + 1, shard: shard, imageCount: shape.inputCount)
      let branches = Branches(
        dense: BackwardBranch(value: z3, gradient: z3),
        pointwise: BackwardBranch(value: z1, gradient: z1),
        identity: shape.hasIdentity
          ? BackwardBranch(value: inputs[shard].pixels + place, gradient: identity + place) : nil)
      applyBackward(
        gated(shard, buffer: buffer, place: place), branches: branches, rows: rows.count,
        channels: channels, constants: statistics.backwardConstants(set: set(ofShard: shard)))
    }
  }

  /// Weight gradients of both convolutions, summed over shards by the counter.
  private func weightGradients(_ inputs: [ShardImages]) {
    func sum(
      _ convolution: Convolution, into gradient: UnsafeMutablePointer<Float>,
      outputGradient: (Int) -> UnsafeMutablePointer<Float>
    ) {
      counter.sum(
        into: gradient, count: convolution.weightCount, tasks: convolution.weightGradientTasks
      ) { shard, task, partial, worker in
        convolution.weightGradient(
          task: task, images: inputs[shard].count, input: inputs[shard].pixels,
          outputGradient: outputGradient(shard), weightGradient: partial,
          scratch: memory.scratch(worker: worker))
      }
    }
    sum(pointwise, into: parameters.pointwiseGradient) { memory.pointwise(index, shard: $0) }
    sum(dense, into: parameters.denseGradient) { memory.dense(index, shard: $0) }
  }

  /// dx = dz₃ ⋆ K₃ᵀ + dz₁·K₁ᵀ (+ the identity's part, which is there already).
  private func dataGradient(_ inputs: [ShardImages], buffer: Int) {
    var denseWeights = UnsafePointer(parameters.denseWeight)
    if dense.flippedWeightCount > 0 {
      dense.flipWeights(denseWeights, into: memory.flippedWeights.base)
      denseWeights = UnsafePointer(memory.flippedWeights.base)
    }
    tasks.count { dense.dataGradientTasks(images: inputs[$0].count) }
    let tasks = tasks
    let weights = denseWeights
    pool.run(tasks.total) { task, worker in
      let (shard, number) = tasks.locate(task)
      let images = inputs[shard].count
      let gradient = memory.gradient(
        buffer: buffer, shard: shard, imageCount: shape.inputCount)
      let scratch = memory.scratch(worker: worker)
      if shape.stride > 1 {
        (gradient + number * shape.inputCount).update(repeating: 0, count: shape.inputCount)
      }
      dense.dataGradient(
        task: number, images: images, outputGradient: memory.dense(index, shard: shard),
        weights: weights, inputGradient: gradient, scratch: scratch,
        accumulate: shape.hasIdentity)
      pointwise.dataGradient(
        task: number, images: images, outputGradient: memory.pointwise(index, shard: shard),
        weights: parameters.pointwiseWeight, inputGradient: gradient, scratch: scratch,
        accumulate: true)
    }
  }
}
