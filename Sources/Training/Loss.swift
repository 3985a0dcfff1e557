import Glibc
import ImageData

/// Cross-entropy with label smoothing, over the shards of a rank.
///
/// The loss is the mean over the global batch, so gradients are sums over shards, never averages of
/// averages.
package struct Loss: Sendable {
  package var labelSmoothing: Double

  package init(labelSmoothing: Double) { self.labelSmoothing = labelSmoothing }

  /// What one shard, or all of them, contribute.
  package struct Totals: Sendable, Equatable {
    /// Sum (not mean) of the samples' losses.
    package var loss = 0.0
    /// Samples whose label has the largest logit, or one of the five largest.
    package var top1 = 0.0
    package var top5 = 0.0
    package var samples = 0.0

    package init() {}

    package static func += (left: inout Totals, right: Totals) {
      left.loss += right.loss
      left.top1 += right.top1
      left.top5 += right.top5
      left.samples += right.samples
    }
  }

  /// Losses and hits of `count` samples, and the gradient of loss / `globalCount`.
  ///
  /// `logits` and `gradient` are [count][classes]; `gradient` may be nil in evaluation. Softmax in
  /// Float64: p = exp(z − max) / Σ; the loss is −Σ t·log p with t = (1 − s)·[label] + s / classes.
  /// Where images are mixtures, [label] is the mixture of both labels; hits count the own one.
  package func evaluate(
    logits: UnsafePointer<Float>, labels: [Int32], count: Int, classes: Int, globalCount: Int,
    gradient: UnsafeMutablePointer<Float>?, mixture: LabelMixture? = nil
  ) -> Totals {
    var totals = Totals()
    for sample in 0..<count {
      let row = logits + sample * classes
      let label = Int(labels[sample])
      let (maximum, sum, logitSum) = softmaxSums(row, classes: classes)
      let logSum = maximum + log(sum)
      let uniform = labelSmoothing / Double(classes)
      let other = mixture.map { Int($0.labels[sample]) } ?? label
      let ownShare = mixture?.ownShare ?? 1
      // Exactly the own label's logit where nothing is mixed.
      let wantedLogit =
        other == label
        ? Double(row[label]) : ownShare * Double(row[label]) + (1 - ownShare) * Double(row[other])
      totals.loss +=
        (1 - labelSmoothing) * (logSum - wantedLogit)
        + uniform * (Double(classes) * logSum - logitSum)
      let better = rank(of: label, in: row, classes: classes)
      totals.top1 += better < 1 ? 1 : 0
      totals.top5 += better < 5 ? 1 : 0
      guard let gradient else { continue }
      let target = gradient + sample * classes
      for index in 0..<classes {
        let probability = exp(Double(row[index]) - maximum) / sum
        let share =
          index == label ? (other == label ? 1 : ownShare) : index == other ? 1 - ownShare : 0
        let wanted = share * (1 - labelSmoothing) + uniform
        target[index] = Float((probability - wanted) / Double(globalCount))
      }
    }
    totals.samples = Double(count)
    return totals
  }

  private func softmaxSums(
    _ row: UnsafePointer<Float>, classes: Int
  ) -> (maximum: Double, sum: Double, logitSum: Double) {
    var maximum = -Double.infinity
    var logitSum = 0.0
    for index in 0..<classes {
      maximum = max(maximum, Double(row[index]))
      logitSum += Double(row[index])
    }
    var sum = 0.0
    for index in 0..<classes { sum += exp(Double(row[index]) - maximum) }
    return (maximum, sum, logitSum)
  }

  /// Number of classes before `label`: larger logits, and equal ones with a smaller index. A label
  /// whose logit is not finite is behind all.
  private func rank(of label: Int, in row: UnsafePointer<Float>, classes: Int) -> Int {
    let own = row[label]
    guard own.isFinite else { return classes }
    var better = 0
    for index in 0..<classes where row[index] > own || (row[index] == own && index < label) {
      better += 1
    }
    return better
  }
}
