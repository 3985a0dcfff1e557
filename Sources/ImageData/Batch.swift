import RunPlanning
import Tensors

/// A rank's part of one step's global batch: its shards, in order.
///
/// Pixels lie in the loader's buffers: they are valid until the next call of `BatchLoader.next` or
/// `stop`. Not for keeping: copy what must live longer.
package struct Batch {
  package let epoch: Int
  /// Step within the epoch.
  package let step: Int
  package let shards: [ShardBatch]
  /// Samples that could not be decoded and were replaced, with what was wrong.
  package let replaced: [DataError]
}

/// One shard of one step: transformed images and their labels.
package struct ShardBatch {
  /// Index over all ranks' shards.
  package let shard: Int
  /// Samples, possibly 0 in an epoch's last step.
  package let count: Int
  /// Float32 NHWC, [count, height, width, channels]; aligned to 64 bytes.
  package let pixels: UnsafePointer<Float>
  /// Class of each sample.
  package let labels: [Int32]
  /// Index of each sample in the dataset.
  package let samples: [Int]
  /// The other labels where images are mixed.
  package let mixture: LabelMixture?
}

/// Second labels of a shard's images, each of which is a mixture of two.
package struct LabelMixture: Sendable, Equatable {
  package var labels: [Int32]
  /// Share of each image's own label, 0…1; the second has the rest.
  package var ownShare: Double

  package init(labels: [Int32], ownShare: Double) {
    self.labels = labels
    self.ownShare = ownShare
  }
}

/// Memory for one batch of a rank's shards, filled sample by sample, by any number of threads: each
/// writes its own samples' places.
final class BatchBuffer {
  private let arena: Arena
  private let slots: [Slot]
  private let shards: Range<Int>
  private let labels: UnsafeMutablePointer<Int32>
  private let transform: SampleTransform
  /// Of the batch at hand.
  private var samples: [[Int]] = []
  private var epoch = 0
  private var step = 0

  init(plan: ShardPlan, ownedShards: Range<Int>, transform: SampleTransform) {
    var allocator = SlotAllocator()
    slots = ownedShards.map {
      allocator.reserve(plan.largestCount(shard: $0) * transform.elementsPerSample)
    }
    arena = Arena(count: allocator.count)
    shards = ownedShards
    let capacity = max(1, ownedShards.reduce(0) { $0 + plan.largestCount(shard: $1) })
    labels = .allocate(capacity: capacity)
    labels.initialize(repeating: 0, count: capacity)
    self.transform = transform
  }

  deinit { labels.deallocate() }

  /// Begins the batch of one step.
  func begin(step: Int, order: EpochOrder) {
    (self.step, epoch) = (step, order.epoch)
    samples = shards.map { order.samples(step: step, shard: $0) }
  }

  /// Samples of the batch at hand, over all shards.
  var count: Int { samples.reduce(0) { $0 + $1.count } }

  /// A sample of the batch at hand: which, and where it goes.
  struct Place {
    var sample: Int
    /// The samples of its shard, and where it stands among them.
    var shardSamples: [Int]
    var position: Int
    var epoch: Int
    var pixels: UnsafeMutablePointer<Float>
    var label: UnsafeMutablePointer<Int32>
  }

  /// `index`: `0..<count`, through the shards.
  func place(_ index: Int) -> Place {
    let elements = transform.size(epoch: epoch).elements
    var position = index
    for (slot, samples) in zip(slots, samples) {
      if position < samples.count {
        return Place(
          sample: samples[position], shardSamples: samples, position: position, epoch: epoch,
          pixels: arena.base + slot.offset + position * elements, label: labels + index)
      }
      position -= samples.count
    }
    preconditionFailure("a sample outside its batch")
  }

  /// Ends the batch: mixes its images where the transform says so.
  func finish(plan: ShardPlan, replaced: [DataError]) -> Batch {
    var finished: [ShardBatch] = []
    finished.reserveCapacity(slots.count)
    var first = 0
    for ((slot, shard), samples) in zip(zip(slots, shards), samples) {
      let pixels = arena.base + slot.offset
      let labels = Array(UnsafeBufferPointer(start: self.labels + first, count: samples.count))
      let mixture = transform.mixing?.apply(
        to: pixels, labels: labels, size: transform.size(epoch: epoch),
        epoch: epoch, draw: step * plan.shards + shard)
      finished.append(
        ShardBatch(
          shard: shard, count: samples.count, pixels: UnsafePointer(pixels), labels: labels,
          samples: samples, mixture: mixture))
      first += samples.count
    }
    return Batch(epoch: epoch, step: step, shards: finished, replaced: replaced)
  }
}
