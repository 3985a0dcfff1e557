import Kernels

extension TrainingBlock {
  /// Backward through the block, whose backward sums are in `memory.sums`, combined over slices.
  ///
  /// `inputs`: x of every shard, as in the forward pass. The gradient of x goes to the previous
  /// block, whose backward sums are made with it. `gradientsReady` is called when the block's weight
  /// gradients are complete.
  func backward(
    _ inputs: [ShardImages], previous: TrainingBlock?, reduceStatistics: ReduceStatistics,
    gradientsReady: (Int) throws -> Void
  ) throws {
    try reduceBackwardSums(inputs, reduceStatistics)
    differentiate(inputs, previous: previous)
    try gradientsReady(parameters.gradientsEnd)
  }

  /// The collective of the backward pass; dγ and dβ; the constants of the application.
  private func reduceBackwardSums(
    _ inputs: [ShardImages], _ reduceStatistics: ReduceStatistics
  ) throws {
    let sums = memory.sums[index]
    switch batchNorm {
    case .sync:
      let length = (1 + branchCount) * channels
      sums.combineShards(count: length, into: messageBase)
      try reduceStatistics(UnsafeMutableBufferPointer(rebasing: message[..<length]))
      statistics.setBackward(set: 0, sums: messageBase, scales: parameters.scales)
      setNormGradients(messageBase)
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

  /// dz of every branch, chunk by chunk; both kernels' gradients from it; dx = dz₃ ⋆ K₃ᵀ + dz₁·K₁ᵀ
  /// (+ the identity's part); and the previous block's backward sums.
  func differentiateConvolutions(_ inputs: [ShardImages], previous: TrainingBlock?) {
    let space = memory.workspace
    var weights = PackedWeights(
      dense: UnsafePointer(packedDense), pointwise: UnsafePointer(packedPointwise))
    if previous != nil {
      weights.dense = dense.packBackward(
        parameters.denseWeight, into: packedDense, space: space, pool: pool)
      weights.pointwise = pointwise.packBackward(
        parameters.pointwiseWeight, into: packedPointwise, space: space, pool: pool)
    }
    let chunk = ChunkGradients(workspace, space)
    counter.sum(into: parameters.pointwiseGradient, count: parameters.gradientCount) {
      shard, partial in
      let input = inputs[shard]
      if input.count == 0 {
        partial.update(repeating: 0, count: parameters.gradientCount)
      } else {
        beginGradients(shard: shard, images: input.count, into: partial)
        differentiate(shard, input, weights, chunk, into: partial, previous: previous)
      }
      previous?.combineBackwardSums(shard: shard, slices: dense.slices(images: input.count))
    }
  }

  private func differentiate(
    _ shard: Int, _ input: ShardImages, _ weights: PackedWeights, _ chunk: ChunkGradients,
    into partial: UnsafeMutablePointer<Float>, previous: TrainingBlock?
  ) {
    let inputGradient = previous.map { memory.gradient($0.index, shard: shard) }
    dense.backward(
      images: input.count,
      BackwardPass(
        input: input.pixels, outputGradient: chunk.dense, weights: weights.dense,
        inputGradient: inputGradient, accumulate: shape.hasIdentity,
        weightGradient: partial + parameters.denseGradientOffset),
      space: memory.workspace, pool: pool,
      before: { images, chunkImages, _ in
        apply(shard, images, chunkImages, chunk, inputGradient)
      },
      besideTasks: pointwise.weightGradientTasks,
      beside: { chunkImages, task, _ in
        pointwise.addWeightGradient(
          task: task, chunk: chunkImages.images, input: input.pixels, panels: chunk.pointwisePanels,
          weightGradient: partial)
      },
      after: { images, chunkImages, worker in
        guard let previous, let inputGradient else { return }
        pointwise.dataGradient(
          images,
          outputGradient: chunk.pointwise(chunkImages)
            + (images.lowerBound - chunkImages.images.lowerBound) * shape.outputCount,
          weights: weights.pointwise, inputGradient: inputGradient, accumulate: true,
          space: memory.workspace, worker: worker)
        previous.sumBackward(
          shard: shard, images: images,
          into: memory.sums[previous.index].cleared(
            shard: shard, slice: dense.sliceNumber(images)), worker: worker)
      })
  }

  /// dz of every branch for some images of a chunk, one pass: the convolutions' into the chunk's
  /// memory, the identity's to where the input's gradient will be.
  private func apply(
    _ shard: Int, _ images: Range<Int>, _ chunkImages: ImageChunk, _ chunk: ChunkGradients,
    _ inputGradient: UnsafeMutablePointer<Float>?
  ) {
    let place = images.lowerBound * shape.outputCount
    let chunkPlace = (images.lowerBound - chunkImages.images.lowerBound) * shape.outputCount
    let pointwiseBase = chunk.pointwise(chunkImages)
    let values = branches(shard: shard, place: place)
    var identity: BackwardBranch?
    if let value = values.identity, let inputGradient {
      identity = BackwardBranch(value: value, gradient: inputGradient + place)
    }
    applyBackward(
      gated(shard: shard, place: place),
      branches: Branches(
        dense: BackwardBranch(value: values.dense, gradient: chunk.dense + chunkPlace),
        pointwise: BackwardBranch(value: values.pointwise, gradient: pointwiseBase + chunkPlace),
        identity: identity),
      rows: images.count * shape.outputPixels, channels: channels,
      constants: statistics.backwardConstants(set: set(ofShard: shard)))
    pointwise.packGradient(
      images, of: chunkImages.images, outputGradient: pointwiseBase,
      panels: chunk.pointwisePanels)
  }
}

/// The convolutions' weights as their backward passes take them.
private struct PackedWeights {
  var dense: UnsafePointer<Float>
  var pointwise: UnsafePointer<Float>
}

/// Where a chunk's gradients of the convolutions' outputs lie.
private struct ChunkGradients {
  let dense: UnsafeMutablePointer<Float>
  private let pointwise: UnsafeMutablePointer<Float>
  private let pointwiseCount: Int
  let pointwisePanels: UnsafeMutablePointer<Float>

  init(_ workspace: BlockWorkspace, _ space: Workspace) {
    dense = space.shared + workspace.denseGradient
    pointwise = space.shared + workspace.pointwiseGradient
    pointwiseCount = workspace.pointwiseCount
    pointwisePanels = space.shared + workspace.pointwisePanels
  }

  /// The 1x1's is still read when the next chunk's is written: they take turns in two places.
  func pointwise(_ chunk: ImageChunk) -> UnsafeMutablePointer<Float> {
    pointwise + chunk.index % 2 * pointwiseCount
  }
}
