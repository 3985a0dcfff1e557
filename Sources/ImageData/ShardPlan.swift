import RunPlanning
import Tensors

/// Which samples make which shard of which step: a function of the seed alone, whoever asks.
///
/// Every sample is used exactly once an epoch. A step takes the next `globalBatch` samples of the
/// epoch's order; the last step takes what is left. The batch is cut evenly into shards, contiguous
/// in that order.
package struct ShardPlan: Sendable, Equatable {
  package let sampleCount: Int
  package let globalBatch: Int
  package let shards: Int
  package let seed: UInt64
  package let shuffle: Bool

  /// All counts at least 1, samples below 2^32; the configuration has been checked.
  package init(sampleCount: Int, globalBatch: Int, shards: Int, seed: UInt64, shuffle: Bool) {
    precondition(sampleCount > 0 && sampleCount <= UInt32.max, "samples out of range")
    precondition(globalBatch > 0 && shards > 0, "a batch and its shards must not be empty")
    (self.sampleCount, self.globalBatch, self.shards) = (sampleCount, globalBatch, shards)
    (self.seed, self.shuffle) = (seed, shuffle)
  }

  package var stepsPerEpoch: Int { (sampleCount - 1) / globalBatch + 1 }

  /// Samples of `step` over all shards: the global batch, or what is left for the last step.
  package func batchCount(step: Int) -> Int {
    precondition(step >= 0 && step < stepsPerEpoch, "step outside its epoch")
    return min(globalBatch, sampleCount - step * globalBatch)
  }

  /// Positions of a shard's samples in the epoch's order.
  package func positions(step: Int, shard: Int) -> Range<Int> {
    let part = EvenCut(batchCount(step: step), into: shards)[shard]
    let start = step * globalBatch
    return start + part.lowerBound..<start + part.upperBound
  }

  /// The most samples that `shard` has in any step.
  package func largestCount(shard: Int) -> Int {
    EvenCut(min(globalBatch, sampleCount), into: shards)[shard].count
  }

  /// The order of the samples in `epoch`; costs a pass over them, so keep it for the epoch.
  package func order(epoch: Int) -> EpochOrder { EpochOrder(plan: self, epoch: epoch) }

  /// The samples of every shard of one step. For tests and reports; loaders keep an `EpochOrder`.
  package func samples(epoch: Int, step: Int) -> [[Int]] {
    let order = order(epoch: epoch)
    return (0..<shards).map { order.samples(step: step, shard: $0) }
  }
}

/// The order of all samples in one epoch.
package struct EpochOrder: Sendable {
  package let epoch: Int
  private let plan: ShardPlan
  private let permutation: [UInt32]

  fileprivate init(plan: ShardPlan, epoch: Int) {
    (self.plan, self.epoch) = (plan, epoch)
    if plan.shuffle {
      var random = CounterRandom(seed: plan.seed, epoch: epoch, sample: 0, purpose: .shuffle)
      permutation = random.permutation(plan.sampleCount)
    } else {
      permutation = (0..<plan.sampleCount).map { UInt32($0) }
    }
  }

  package func samples(step: Int, shard: Int) -> [Int] {
    permutation[plan.positions(step: step, shard: shard)].map { Int($0) }
  }

  /// The samples with which the epoch begins, at most all.
  package func first(_ count: Int) -> [Int] { permutation.prefix(count).map { Int($0) } }

  /// Step and shard of each of the samples; a pass over all of the epoch.
  func places(of samples: Set<Int>) -> [Int: (step: Int, shard: Int)] {
    var places: [Int: (step: Int, shard: Int)] = [:]
    for (position, sample) in permutation.enumerated() where samples.contains(Int(sample)) {
      let (step, rest) = position.quotientAndRemainder(dividingBy: plan.globalBatch)
      let cut = EvenCut(plan.batchCount(step: step), into: plan.shards).ranges
      places[Int(sample)] = (step, cut.firstIndex { $0.contains(rest) } ?? 0)
    }
    return places
  }
}

/// Which samples of a test set each rank evaluates: fixed chunks of consecutive samples, the same
/// for every number of ranks, so that a chunk's results have the same bits whoever computes it.
/// Each rank takes a contiguous run of whole chunks, possibly none.
package struct EvaluationPlan: Sendable, Equatable {
  package let sampleCount: Int
  /// Samples of every chunk but the last.
  package let chunk: Int
  package let ranks: Int

  package init(sampleCount: Int, chunk: Int, ranks: Int) {
    precondition(sampleCount >= 0 && chunk > 0 && ranks > 0, "counts out of range")
    (self.sampleCount, self.chunk, self.ranks) = (sampleCount, chunk, ranks)
  }

  package var chunkCount: Int { (sampleCount + chunk - 1) / chunk }

  /// Indices of the chunks of `rank`.
  package func chunks(rank: Int) -> Range<Int> { EvenCut(chunkCount, into: ranks)[rank] }

  /// The samples of chunk `index`.
  package func samples(chunk index: Int) -> Range<Int> {
    precondition(index >= 0 && index < chunkCount, "chunk outside its plan")
    return index * chunk..<min(sampleCount, (index + 1) * chunk)
  }
}

extension CounterRandom {
  /// The numbers below `count`, at most 2³², in random order.
  ///
  /// Source: Durstenfeld's form of the Fisher–Yates shuffle, Communications of the ACM 7, 1964, 420.
  ///
  /// Numbers are drawn some at a time, so that the processor fetches the places that they name
  /// together: of a million they are far apart.
  mutating func permutation(_ count: Int) -> [UInt32] {
    var numbers = (0..<count).map { UInt32($0) }
    numbers.withUnsafeMutableBufferPointer { numbers in
      withUnsafeTemporaryAllocation(of: Int.self, capacity: 64) { draws in
        var last = numbers.count - 1
        while last > 0 {
          let count = min(draws.count, last)
          for index in 0..<count { draws[index] = next(below: last - index + 1) }
          for index in 0..<count { numbers.swapAt(last - index, draws[index]) }
          last -= count
        }
      }
    }
    return numbers
  }
}
