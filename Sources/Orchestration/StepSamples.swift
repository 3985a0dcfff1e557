import ImageData
import RunPlanning

/// Which samples a training step takes, by name, for messages. Steps count from 1 over all epochs.
package struct StepSamples {
  private let dataset: any Dataset
  private let shardPlan: ShardPlan
  private let totalSteps: Int

  /// Bytes of names in a message: it travels between ranks in a fixed size.
  private static let shownBytes = 900

  /// - Parameter dataset: the one that `plan` trains on.
  package init(plan: RunPlan, dataset: any Dataset) {
    self.dataset = dataset
    totalSteps = plan.totalSteps
    shardPlan = ShardPlan(
      sampleCount: dataset.count, globalBatch: plan.globalBatch, shards: plan.shards,
      seed: plan.seed, shuffle: plan.config.training.shuffle)
  }

  /// From 1; nil for what is no training step.
  package func epoch(ofStep step: Int) -> Int? {
    (1...max(totalSteps, 1)).contains(step) ? (step - 1) / shardPlan.stepsPerEpoch + 1 : nil
  }

  /// Indices into the data set, all shards in order; empty for what is no training step. A pass over
  /// all of the data set.
  package func samples(ofStep step: Int) -> [Int] {
    guard epoch(ofStep: step) != nil else { return [] }
    let (epoch, place) = (step - 1).quotientAndRemainder(dividingBy: shardPlan.stepsPerEpoch)
    return shardPlan.samples(epoch: epoch, step: place).flatMap { $0 }
  }

  /// File names, or places in files.
  package func names(ofStep step: Int) -> [String] {
    samples(ofStep: step).map { dataset.name(of: $0) }
  }

  /// The first names, and how many more there are.
  package func text(ofStep step: Int) -> String {
    let samples = samples(ofStep: step)
    var names: [String] = []
    var bytes = 0
    for sample in samples {
      let name = dataset.name(of: sample)
      bytes += name.utf8.count + 2
      if bytes > Self.shownBytes, !names.isEmpty { break }
      names.append(name)
    }
    let rest = samples.count - names.count
    return names.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
  }
}
