import RunPlanning
import Tensors

/// What the network sees of one sample, as bytes again.
package struct SeenSample: Sendable {
  /// Index in the data set.
  package let sample: Int
  /// Where it comes from, for people.
  package let name: String
  package let epoch: Int
  package let label: Int
  /// The other label where training mixes images, and the share of the own one, 0…1.
  package let mixture: (label: Int, ownShare: Double)?
  package let size: SampleTransform.Size
  /// [height][width][channels].
  package let bytes: [UInt8]
}

/// Shows samples as training or evaluation shows them to the network, by the same readers and
/// buffers, so that crops, colours, erased parts and mixtures are those of the run.
package final class SamplePreview {
  private let dataset: any Dataset
  private let transform: SampleTransform
  private let plan: ShardPlan?
  private let damaged: RunConfig.Damaged
  private let reader: SampleReader

  /// Samples that could not be decoded and for which others stand, as the configuration wants it.
  package private(set) var replaced: [DataError] = []

  /// - Parameters:
  ///   - plan: which samples share a shard in training; nil for evaluation, whose transform draws
  ///     nothing.
  ///   - damaged: what happens at a training image that cannot be decoded.
  package init(
    dataset: any Dataset, transform: SampleTransform, plan: ShardPlan?,
    damaged: RunConfig.Damaged = .fail
  ) {
    precondition(plan == nil || plan?.sampleCount == dataset.count, "a plan for another dataset")
    (self.dataset, self.transform) = (dataset, transform)
    (self.plan, self.damaged) = (plan, damaged)
    reader = SampleReader(dataset: dataset, transform: transform)
  }

  /// The samples with which training begins an epoch; of evaluation the first ones.
  package func first(_ count: Int, epoch: Int) -> [Int] {
    plan?.order(epoch: epoch).first(count) ?? Array(0..<min(count, dataset.count))
  }

  /// The samples in the order asked for. Each is in `0..<dataset.count`; one may come twice.
  package func see(_ samples: [Int], epoch: Int) throws(DataError) -> [SeenSample] {
    guard let plan else { return try seeInEvaluation(samples) }
    let order = plan.order(epoch: epoch)
    let wanted = Set(samples)
    var shards: [(step: Int, shard: Int)] = []
    let places = order.places(of: wanted)
    for place in samples.compactMap({ places[$0] })
    where !shards.contains(where: { $0 == place }) { shards.append(place) }
    var seen: [Int: SeenSample] = [:]
    for (step, shard) in shards {
      for one in try see(wanted, step: step, shard: shard, order: order, plan: plan) {
        seen[one.sample] = one
      }
    }
    return samples.compactMap { seen[$0] }
  }

  /// Those of the samples that lie in one shard. The others of it are read where they are mixed in.
  private func see(
    _ wanted: Set<Int>, step: Int, shard: Int, order: EpochOrder, plan: ShardPlan
  ) throws(DataError) -> [SeenSample] {
    let buffer = BatchBuffer(plan: plan, ownedShards: shard..<shard + 1, transform: transform)
    buffer.begin(step: step, order: order)
    for index in 0..<buffer.count {
      let place = buffer.place(index)
      guard transform.mixing != nil || wanted.contains(place.sample) else { continue }
      if let damage = try reader.read(place, damaged: damaged) { replaced.append(damage) }
    }
    let batch = buffer.finish(plan: plan, replaced: []).shards[0]
    let size = transform.size(epoch: order.epoch)
    return batch.samples.indices.filter { wanted.contains(batch.samples[$0]) }.map { position in
      let sample = batch.samples[position]
      return SeenSample(
        sample: sample, name: dataset.name(of: sample), epoch: order.epoch,
        label: Int(batch.labels[position]),
        mixture: batch.mixture.map { (Int($0.labels[position]), $0.ownShare) }, size: size,
        bytes: transform.bytes(
          of: batch.pixels + position * size.elements, count: size.elements))
    }
  }

  private func seeInEvaluation(_ samples: [Int]) throws(DataError) -> [SeenSample] {
    let size = transform.size(epoch: 0)
    let pixels = Arena(count: size.elements)
    var seen: [SeenSample] = []
    for sample in samples {
      let label = try reader.read(CollectionOfOne(sample), epoch: 0, into: pixels.base)[0]
      seen.append(
        SeenSample(
          sample: sample, name: dataset.name(of: sample), epoch: 0, label: Int(label),
          mixture: nil, size: size, bytes: transform.bytes(of: pixels.base, count: size.elements)))
    }
    return seen
  }
}

extension SampleTransform {
  /// Normalised values as the bytes they came from; mixtures as the nearest bytes.
  func bytes(of values: UnsafePointer<Float>, count: Int) -> [UInt8] {
    let scales = (0..<channels).map { channel in
      let black = normalisation.value(of: 0, channel: channel)
      let white = normalisation.value(of: 255, channel: channel)
      return (black: Double(black), step: (Double(white) - Double(black)) / 255)
    }
    return (0..<count).map { index in
      let scale = scales[index % channels]
      let value = ((Double(values[index]) - scale.black) / scale.step).rounded()
      // A mean or deviation beyond reason leaves nothing to show.
      return value.isFinite ? UInt8(max(0, min(255, value))) : 0
    }
  }
}
