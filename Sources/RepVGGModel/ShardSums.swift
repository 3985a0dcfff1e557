import Kernels

/// Float64 sums of every slice of a rank's shards, and of every shard after `combineSlices`; nothing
/// is allocated after the start.
final class ShardSums {
  let length: Int
  /// Bytes of all sums.
  let bytes: Int
  private let shards: Int
  private let slices: Int
  private let partials: UnsafeMutablePointer<Double>
  private let totals: UnsafeMutablePointer<Double>

  /// `length`: sums that a slice makes; `slices`: the most slices of one shard.
  init(length: Int, slices: Int, shards: Int) {
    self.length = length
    self.shards = shards
    self.slices = slices
    bytes = (slices + 1) * shards * length * MemoryLayout<Double>.stride
    partials = .allocate(capacity: max(1, slices * shards * length))
    totals = .allocate(capacity: max(1, shards * length))
    totals.initialize(repeating: 0, count: max(1, shards * length))
  }

  deinit {
    partials.deallocate()
    totals.deallocate()
  }

  /// The sums of one slice, set to zero.
  func cleared(shard: Int, slice: Int) -> UnsafeMutablePointer<Double> {
    let sums = partials + (shard * slices + slice) * length
    sums.initialize(repeating: 0, count: length)
    return sums
  }

  /// The sums of one shard, valid after `combineSlices`.
  func shard(_ index: Int) -> UnsafeMutablePointer<Double> { totals + index * length }

  /// Adds up one shard's slices in their order; an empty shard has +0.
  func combineSlices(shard: Int, count: Int) {
    let total = self.shard(shard)
    total.update(repeating: 0, count: length)
    for slice in 0..<count {
      let partial = partials + (shard * slices + slice) * length
      for place in 0..<length { total[place] += partial[place] }
    }
  }

  /// Adds up the first `count` sums of all shards by the balanced pairwise tree into `target`.
  func combineShards(count: Int, into target: UnsafeMutablePointer<Double>) {
    foldShards(shards) { earlier, later in
      let (sum, source) = (shard(earlier), shard(later))
      for place in 0..<count { sum[place] += source[place] }
    }
    target.update(from: totals, count: count)
  }
}

/// Calls `merge(earlier, later)` in the order of the balanced pairwise tree ((0+1)+(2+3))+…, which
/// leaves the sum of all in 0.
package func foldShards(_ shards: Int, merge: (_ earlier: Int, _ later: Int) -> Void) {
  var distance = 1
  while distance < shards {
    for shard in stride(from: 0, to: shards - distance, by: 2 * distance) {
      merge(shard, shard + distance)
    }
    distance *= 2
  }
}
