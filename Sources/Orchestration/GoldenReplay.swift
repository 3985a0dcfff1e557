import Collectives
import Deployment
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// Replays a golden state with the real training step on the ranks at hand, and measures how far
/// every quantity is from the truth.
package final class GoldenReplay {
  /// One quantity with its worst tensor.
  package struct Finding: Sendable {
    package var quantity: String
    /// Name of the worst tensor.
    package var worst: String
    /// Relative L2 error of it (for losses |a − b| / |b|).
    package var error: Double
    package var tolerance: Double

    package var isInside: Bool { error <= tolerance }
  }

  private let golden: GoldenState
  private let communicator: any Communicator
  private let shards: Int
  private let ownedShards: Range<Int>
  private let network: TrainingNetwork
  private let step: Step

  /// Samples are cut into `shards` shards as in training; at least one for each rank.
  package init(
    _ golden: GoldenState, communicator: any Communicator, shards: Int = 8, threads: Int
  ) throws {
    self.golden = golden
    self.communicator = communicator
    let recipe = golden.recipe
    self.shards = max(shards, communicator.size)
    ownedShards = EvenCut(self.shards, into: communicator.size)[communicator.rank]
    let evaluated = golden.tensors["eval.logits"]?.shape[0] ?? 0
    var shape = NetworkShape(
      blocks: golden.blocks, classes: recipe.classes, shards: ownedShards.count,
      shardCapacity: (max(recipe.batch, evaluated) + self.shards - 1) / self.shards)
    try MemoryLimit.require(
      .steps, of: CostModel(blocks: golden.blocks, classes: recipe.classes),
      load: CostModel.Load(
        shards: shape.shards, shardSize: shape.shardCapacity, threads: threads, prefetch: 0,
        datasetBytes: 0),
      subject: "\(golden.path): the recipe's network on \(recipe.batch) images of \(recipe.size) x "
        + "\(recipe.size)")
    shape.epsilon = recipe.bn_eps
    shape.statisticsMomentum = recipe.bn_momentum
    network = TrainingNetwork(shape: shape, pool: Machine.pool(threads: threads))
    var optimizer = RunConfig.Optimizer()
    optimizer.momentum = recipe.momentum
    optimizer.nesterov = recipe.nesterov
    optimizer.weightDecay = recipe.weight_decay
    step = Step(
      network: network, optimizer: SGD(optimizer, layout: network.layout),
      communicator: communicator, buckets: network.layout.buckets(bytes: 65_536),
      labelSmoothing: recipe.label_smoothing)
  }

  /// All findings, the same on every rank.
  package func run() throws -> [Finding] {
    try network.load(golden.group("init"))
    var losses = Worst()
    var logits = Worst()
    var gradients = Worst()
    let expectedLosses = golden.floats("losses")
    for index in 0..<golden.recipe.steps {
      let images = BatchImages(
        golden.floats("step\(index).input"), blocks: golden.blocks,
        cut: EvenCut(golden.recipe.batch, into: shards).ranges, owned: ownedShards)
      let outcome = try run(images, step: index)
      let loss = outcome.totals.loss / outcome.totals.samples
      let expected = Double(expectedLosses[index])
      losses.take("step \(index)", abs(loss - expected) / abs(expected))
      logits.take(
        "step\(index).logits", try gatherLogits(images), golden.floats("step\(index).logits"))
      if index == 0 {
        let own = network.trainableTensors(of: step.reducedGradients)
        gradients.compare(own, golden.group("grad"))
      }
    }
    let state = network.tensors()
    var final = Worst()
    final.compare(state, golden.group("final"))
    return [
      losses.finding("loss of each step", 1e-5),
      logits.finding("logits of each step", 1e-4),
      gradients.finding("gradients at step 0", 2e-4),
      final.finding("final state", 1e-4),
      try evaluation("evaluation logits, own final state", 1e-4),
      try deploy("deploy weights, own final state", state, 1e-4),
      try evaluationOfGoldenState(),
      try deploy("deploy weights, golden final state", golden.group("final"), 1e-6),
    ]
  }

  private func run(_ images: BatchImages, step index: Int) throws -> StepOutcome {
    let labels = golden.labels(step: index)
    let batch = images.shards.enumerated().map { place, shard in
      ShardSamples(images: shard, labels: Array(labels[images.samples(ofOwned: place)]))
    }
    return try step.run(
      batch, StepRequest(globalCount: golden.recipe.batch, learningRate: golden.recipe.lr))
  }

  private func evaluation(_ quantity: String, _ tolerance: Double) throws -> Finding {
    let expected = golden.floats("eval.logits")
    let count = expected.count / golden.recipe.classes
    let images = BatchImages(
      golden.floats("eval.input"), blocks: golden.blocks, cut: EvenCut(count, into: shards).ranges,
      owned: ownedShards)
    network.evaluate(images.shards)
    var worst = Worst()
    worst.take("eval.logits", try gatherLogits(images), expected)
    return worst.finding(quantity, tolerance)
  }

  private func evaluationOfGoldenState() throws -> Finding {
    try network.load(golden.group("final"))
    return try evaluation("evaluation logits, golden final state", 1e-5)
  }

  private func deploy(
    _ quantity: String, _ state: NamedTensors, _ tolerance: Double
  ) throws -> Finding {
    var worst = Worst()
    let fused = try Fuse.deployTensors(from: state, epsilon: golden.recipe.bn_eps)
    worst.compare(fused, golden.group("deploy"))
    return worst.finding(quantity, tolerance)
  }

  /// The logits of the whole batch, in sample order, on every rank.
  private func gatherLogits(_ images: BatchImages) throws -> [Float] {
    let classes = golden.recipe.classes
    var all = [Float](repeating: 0, count: images.count * classes)
    for (place, shard) in images.shards.enumerated() {
      let first = images.samples(ofOwned: place).lowerBound * classes
      let logits = network.logits(shard: place)
      for value in 0..<shard.count * classes { all[first + value] = logits[value] }
    }
    // Every sample's logits are zero on all ranks but one: the sum is exact.
    try all.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    return all
  }
}

/// The largest of several errors, and whose it is.
private struct Worst {
  private var name = "nothing compared"
  private var error = Double.infinity
  private var isEmpty = true

  mutating func take(_ name: String, _ error: Double) {
    let error = error.isNaN ? .infinity : error
    if isEmpty || error > self.error { (self.name, self.error) = (name, error) }
    isEmpty = false
  }

  mutating func take(_ name: String, _ actual: [Float], _ expected: [Float]) {
    guard actual.count == expected.count else { return take(name, .infinity) }
    var (difference, norm) = (0.0, 0.0)
    for (left, right) in zip(actual, expected) {
      difference += (Double(left) - Double(right)) * (Double(left) - Double(right))
      norm += Double(right) * Double(right)
    }
    take(name, norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot())
  }

  /// Every tensor of `expected`; batch counts must be equal, and no tensor may be missing.
  mutating func compare(_ actual: NamedTensors, _ expected: NamedTensors) {
    for (name, tensor) in expected {
      guard let own = actual[name], own.shape == tensor.shape else {
        take(name, .infinity)
        continue
      }
      if let values = own.floats, let truth = tensor.floats {
        take(name, values, truth)
      } else {
        take(name, own == tensor ? 0 : .infinity)
      }
    }
    for name in actual.names where expected[name] == nil { take(name, .infinity) }
  }

  func finding(_ quantity: String, _ tolerance: Double) -> GoldenReplay.Finding {
    GoldenReplay.Finding(quantity: quantity, worst: name, error: error, tolerance: tolerance)
  }
}

/// A batch of NCHW images as this rank's shards of NHWC images.
private final class BatchImages {
  let count: Int
  private let cut: [Range<Int>]
  private let owned: Range<Int>
  private let imageCount: Int
  private let arena: Arena

  /// `values`: [N, C, H, W]; `cut`: the samples of every shard.
  init(_ values: [Float], blocks: [BlockShape], cut: [Range<Int>], owned: Range<Int>) {
    self.cut = cut
    self.owned = owned
    let (channels, pixels) = (blocks[0].inputChannels, blocks[0].inputPixels)
    imageCount = channels * pixels
    count = values.count / imageCount
    arena = Arena(count: values.count)
    for image in 0..<count {
      for channel in 0..<channels {
        for pixel in 0..<pixels {
          arena.base[(image * pixels + pixel) * channels + channel] =
            values[(image * channels + channel) * pixels + pixel]
        }
      }
    }
  }

  /// Samples of this rank's shard number `place`.
  func samples(ofOwned place: Int) -> Range<Int> { cut[owned.lowerBound + place] }

  var shards: [ShardImages] {
    owned.indices.map { shard in
      ShardImages(
        pixels: UnsafePointer(arena.base + cut[shard].lowerBound * imageCount),
        count: cut[shard].count)
    }
  }
}
