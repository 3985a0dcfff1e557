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
}

/// Decodes and transforms samples one after the other, with scratch for one decoded image.
package final class SampleReader {
  package let dataset: any Dataset
  package let transform: SampleTransform
  private let decoded: UnsafeMutablePointer<UInt8>

  /// The transform must be made for the dataset's image size.
  package init(dataset: any Dataset, transform: SampleTransform) {
    precondition(
      dataset.channels == transform.channels && dataset.height == transform.sourceHeight
        && dataset.width == transform.sourceWidth, "a transform for another image size")
    self.dataset = dataset
    self.transform = transform
    decoded = .allocate(capacity: max(1, dataset.bytesPerSample))
  }

  deinit { decoded.deallocate() }

  /// Writes the samples' values, Float32 NHWC, one after the other; returns their labels.
  package func read(
    _ samples: some Collection<Int>, epoch: Int, into pixels: UnsafeMutablePointer<Float>
  ) throws(DataError) -> [Int32] {
    var labels: [Int32] = []
    labels.reserveCapacity(samples.count)
    for sample in samples {
      try dataset.decode(sample, into: decoded)
      transform.apply(
        decoded, sample: sample, epoch: epoch,
        into: pixels + labels.count * transform.elementsPerSample)
      labels.append(Int32(dataset.label(of: sample)))
    }
    return labels
  }
}

/// Memory for one batch of a rank's shards.
final class BatchBuffer {
  private let arena: Arena
  private let slots: [Slot]
  private let ownedShards: Range<Int>

  init(plan: ShardPlan, ownedShards: Range<Int>, elementsPerSample: Int) {
    var allocator = SlotAllocator()
    slots = ownedShards.map {
      allocator.reserve(plan.largestCount(shard: $0) * elementsPerSample)
    }
    arena = Arena(count: allocator.count)
    self.ownedShards = ownedShards
  }

  /// Reads the shards of one step into this memory.
  func fill(step: Int, order: EpochOrder, reader: SampleReader) throws(DataError) -> Batch {
    var shards: [ShardBatch] = []
    shards.reserveCapacity(slots.count)
    for (slot, shard) in zip(slots, ownedShards) {
      let samples = order.samples(step: step, shard: shard)
      let pixels = arena.base + slot.offset
      let labels = try reader.read(samples, epoch: order.epoch, into: pixels)
      shards.append(
        ShardBatch(
          shard: shard, count: samples.count, pixels: UnsafePointer(pixels), labels: labels,
          samples: samples))
    }
    return Batch(epoch: order.epoch, step: step, shards: shards)
  }
}
