import Kernels

/// Sums a message over all ranks, in place.
package typealias ReduceStatistics = (UnsafeMutableBufferPointer<Double>) throws -> Void

extension TrainingBlock {
  /// Training: convolutions with their sums, one collective, the constants of the normalisation. The
  /// output itself is written by whoever reads it first.
  ///
  /// `inputs`: x of every shard, which `previous` writes.
  func forward(
    _ inputs: [ShardImages], previous: TrainingBlock?, reduceStatistics: ReduceStatistics
  ) throws {
    usesRunningStatistics = false
    keepInputs(inputs)
    convolve(inputs, previous: previous, withSums: true)
    switch batchNorm {
    case .sync:
      assembleForwardMessage(inputs)
      let length = 2 * branchCount * channels
      try reduceStatistics(UnsafeMutableBufferPointer(rebasing: message[...length]))
      statistics.setForward(
        set: 0, sums: messageBase, positions: message[length], scales: parameters.scales)
    case .local:
      for shard in inputs.indices {
        gatherShardSums(shard)
        statistics.setForward(
          set: shard, sums: messageBase,
          positions: Double(inputs[shard].count * shape.outputPixels), scales: parameters.scales)
      }
    }
    prepareOutput()
  }

  /// Evaluation: the same with the running statistics.
  func evaluate(_ inputs: [ShardImages], previous: TrainingBlock?) {
    usesRunningStatistics = true
    keepInputs(inputs)
    statistics.setForward(running: parameters.running, scales: parameters.scales)
    convolve(inputs, previous: previous, withSums: false)
    prepareOutput()
  }

  private func keepInputs(_ shards: [ShardImages]) {
    inputs.removeAll(keepingCapacity: true)
    for shard in shards { inputs.append(shard.pixels) }
  }

  /// [Σz, Σz²] of all branches over this rank's shards, and its positions.
  private func assembleForwardMessage(_ inputs: [ShardImages]) {
    let length = 4 * channels
    memory.sums[index].combineShards(count: length, into: messageBase)
    if shape.hasIdentity {
      memory.inputSums[index].combineShards(count: 2 * channels, into: messageBase + length)
    }
    var images = 0
    for input in inputs { images += input.count }
    message[2 * branchCount * channels] = Double(images * shape.outputPixels)
  }

  private func gatherShardSums(_ shard: Int) {
    messageBase.update(from: memory.sums[index].shard(shard), count: 4 * channels)
    if shape.hasIdentity {
      (messageBase + 4 * channels).update(
        from: memory.inputSums[index].shard(shard), count: 2 * channels)
    }
  }
}
