import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

/// A network with random weights, its batch, and how the batch is cut into shards.
struct GradientCase: CustomTestStringConvertible, Sendable {
  var name: String
  var architecture: Architecture
  var inputChannels = 3
  var height = 8
  var width = 8
  var shardCounts = [2, 2]
  var smoothing = 0.0

  var testDescription: String { name }
  static let classes = 5

  var blocks: [BlockShape] {
    architecture.blocks(inputChannels: inputChannels, height: height, width: width)
  }

  var images: Int { shardCounts.reduce(0, +) }

  func shape(_ batchNorm: RunConfig.BatchNormMode = .sync) -> NetworkShape {
    NetworkShape(
      blocks: blocks, classes: Self.classes, shards: shardCounts.count,
      shardCapacity: shardCounts.max() ?? 1, batchNorm: batchNorm)
  }

  static let all: [GradientCase] = [
    GradientCase(
      name: "plain", architecture: Architecture(stemWidth: 4, depths: [2], widths: [6])),
    GradientCase(
      name: "groups 2 with and without identity",
      architecture: Architecture(
        stemWidth: 4, depths: [2, 2], widths: [8, 12], groups: [1: 2, 2: 2, 3: 2, 4: 2]),
      height: 17, width: 16),
    GradientCase(
      name: "groups 4 on stride 2",
      architecture: Architecture(
        stemWidth: 8, depths: [1, 1], widths: [8, 16], groups: [1: 4, 2: 4]),
      height: 16, width: 15),
    GradientCase(
      name: "odd sizes, stride 1 everywhere",
      architecture: Architecture(
        stemWidth: 5, stemStride: 1, depths: [2], widths: [5], strides: [1]),
      inputChannels: 1, height: 5, width: 7),
    GradientCase(
      name: "identity in the stem",
      architecture: Architecture(stemWidth: 3, stemStride: 1, depths: [1], widths: [4])),
    GradientCase(
      name: "uneven and empty shards",
      architecture: Architecture(stemWidth: 4, depths: [2], widths: [17]),
      shardCounts: [3, 2, 0, 1, 0]),
    GradientCase(
      name: "label smoothing", architecture: Architecture(stemWidth: 4, depths: [1], widths: [4]),
      smoothing: 0.1),
    GradientCase(
      name: "squeeze-and-excitation",
      architecture: Architecture(
        stemWidth: 16, depths: [2], widths: [32], squeezeExcitation: true), height: 9, width: 8),
    GradientCase(
      name: "squeeze-and-excitation, groups, uneven and empty shards",
      architecture: Architecture(
        stemWidth: 16, depths: [2, 1], widths: [32, 50], groups: [1: 2, 2: 4, 3: 2],
        squeezeExcitation: true), height: 12, width: 17, shardCounts: [3, 2, 0, 1, 0]),
    GradientCase(
      name: "squeeze-and-excitation, identity in the stem",
      architecture: Architecture(
        stemWidth: 33, stemStride: 1, depths: [1], widths: [16], squeezeExcitation: true),
      inputChannels: 33, height: 5, width: 6),
  ]

  /// Weights away from their initial values, so that every term of a gradient matters.
  var state: NamedTensors {
    var tensors = NamedTensors()
    let table = ParameterTable.training(blocks: blocks, classes: Self.classes)
    for (index, entry) in table.entries.enumerated() {
      let values = testValues(entry.count, seed: UInt64(100 + index))
      switch entry.kind {
      case .batchCount: tensors[entry.name] = Tensor(shape: [], integers: [3])
      case .batchNormScale, .runningVariance:
        tensors[entry.name] = Tensor(shape: entry.shape, values.map { 1 + 0.5 * $0 })
      // Few units: most of them open.
      case .bias where entry.name.hasSuffix(".se.down.bias"):
        tensors[entry.name] = Tensor(shape: entry.shape, values.map { 0.4 + 0.3 * $0 })
      default: tensors[entry.name] = Tensor(shape: entry.shape, values.map { 0.5 * $0 })
      }
    }
    return tensors
  }

  var batch: ReferenceTensor {
    testTensor(images: images, channels: inputChannels, height: height, width: width, seed: 9)
  }

  var labels: [Int] { (0..<images).map { $0 * 7 % Self.classes } }

  var reference: ReferenceNetwork {
    ReferenceNetwork(blocks: blocks, classes: Self.classes, tensors: state)
  }
}

/// The fast network on one rank, driven without a communicator.
struct SoloPass {
  let network: TrainingNetwork
  let item: GradientCase
  private let pixels: UnsafeMutablePointer<Float>

  init(
    _ item: GradientCase, batchNorm: RunConfig.BatchNormMode = .sync, threads: Int = 1
  ) throws {
    try self.init(
      item,
      network: TrainingNetwork(
        shape: item.shape(batchNorm), pool: WorkerPool(threads: threads)))
  }

  /// Of a network that has the item's shape.
  init(_ item: GradientCase, network: TrainingNetwork) throws {
    self.item = item
    self.network = network
    try network.load(item.state)
    let values = nhwc(item.batch)
    pixels = .allocate(capacity: values.count)
    pixels.initialize(from: values, count: values.count)
  }

  func close() { pixels.deallocate() }

  var shards: [ShardImages] {
    var first = 0
    return item.shardCounts.map { count in
      defer { first += count }
      return ShardImages(
        pixels: UnsafePointer(pixels + first * network.shape.imageCount), count: count)
    }
  }

  /// All logits in sample order.
  var logits: [[Double]] {
    item.shardCounts.enumerated().flatMap { shard, count in
      (0..<count).map { sample in
        (0..<GradientCase.classes).map {
          Double(network.logits(shard: shard)[sample * GradientCase.classes + $0])
        }
      }
    }
  }

  /// Forward and backward with the reference's logit gradients.
  func run(logitGradients: [[Double]]) throws {
    try network.forward(shards, reduceStatistics: { _ in })
    let flat = logitGradients.flatMap { $0.map(Float.init) }
    try flat.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var first = 0
      let pointers = item.shardCounts.map { count in
        defer { first += count }
        return base + first * GradientCase.classes
      }
      try network.backward(
        logitGradients: pointers, reduceStatistics: { _ in }, gradientsReady: { _ in })
    }
  }
}

@Suite struct GradientTests {
  /// The reference itself: finite differences of its loss, in Float64, for every tensor.
  @Test(arguments: GradientCase.all)
  func referenceIsTheDerivative(item: GradientCase) {
    var reference = item.reference
    let (batch, labels) = (item.batch, item.labels)
    let gradients = reference.gradients(batch, labels: labels, smoothing: item.smoothing)
    for (name, gradient) in gradients.values {
      let largest = gradient.map(abs).max() ?? 0
      for place in Set([0, gradient.count / 2, gradient.count - 1]) {
        let step = 1e-6
        let value = reference.state[name]?[place] ?? 0
        reference.state[name]?[place] = value + step
        let above = reference.loss(batch, labels: labels, smoothing: item.smoothing)
        reference.state[name]?[place] = value - step
        let below = reference.loss(batch, labels: labels, smoothing: item.smoothing)
        reference.state[name]?[place] = value
        let slope = (above - below) / (2 * step)
        #expect(
          abs(slope - gradient[place]) < 1e-6 + 1e-4 * largest, "\(item.name): \(name)[\(place)]")
      }
    }
  }

  /// Every kind of squeeze-and-excitation's weights has a gradient to be wrong about.
  @Test(arguments: GradientCase.all.filter(\.architecture.squeezeExcitation))
  func excitationHasGradients(item: GradientCase) {
    let gradients = item.reference.gradients(item.batch, labels: item.labels).values
    for member in ["down.weight", "down.bias", "up.weight", "up.bias"] {
      let norms = item.blocks.map { block in
        (gradients["\(block.key).se.\(member)"] ?? []).reduce(0) { $0 + $1 * $1 }.squareRoot()
      }
      #expect((norms.max() ?? 0) > 1e-3, "\(member): \(norms)")
    }
  }

  /// The fast network against the reference: logits, statistics and every gradient.
  @Test(arguments: GradientCase.all, [1, 2])
  func networkIsTheReference(item: GradientCase, threads: Int) throws {
    let expected = item.reference.gradients(
      item.batch, labels: item.labels, smoothing: item.smoothing)
    let pass = try SoloPass(item, threads: threads)
    defer { pass.close() }
    try pass.run(
      logitGradients: logitGradients(expected.logits, item.labels, smoothing: item.smoothing))
    #expect(relativeError(pass.logits.flatMap { $0 }, expected.logits.flatMap { $0 }) < 5e-6)
    let gradients = pass.network.trainableTensors(of: pass.network.gradients)
    #expect(gradients.count == expected.values.count)
    for (name, values) in expected.values {
      let actual = try #require(gradients[name]?.floats).map(Double.init)
      #expect(relativeError(actual, values, floor: 0.01) < 2e-5, "\(item.name): \(name)")
    }
    pass.network.updateRunningStatistics()
    let tensors = pass.network.tensors()
    for (prefix, statistics) in expected.statistics {
      for (member, batch) in [
        ("running_mean", statistics.mean), ("running_var", statistics.variance),
      ] {
        let name = "\(prefix).\(member)"
        let before = try #require(item.state[name]?.floats)
        let wanted = zip(before, batch).map { 0.9 * Double($0) + 0.1 * $1 }
        let actual = try #require(tensors[name]?.floats).map(Double.init)
        #expect(relativeError(actual, wanted) < 1e-5, "\(item.name): \(name)")
      }
      #expect(tensors["\(prefix).num_batches_tracked"]?.integers == [4])
    }
  }

  /// Local statistics: every shard is a batch of its own, gradients are their sums.
  @Test(arguments: GradientCase.all)
  func localBatchNormIsShardByShard(item: GradientCase) throws {
    let pass = try SoloPass(item, batchNorm: .local)
    defer { pass.close() }
    var expected: [String: [Double]] = [:]
    var logits: [[Double]] = []
    var gradients: [[Double]] = []
    var first = 0
    for count in item.shardCounts where count > 0 {
      let range = first..<first + count
      first += count
      let shard = images(range, of: item.batch)
      let labels = Array(item.labels[range])
      let result = item.reference.gradients(shard, labels: labels, smoothing: item.smoothing)
      // The reference divides by the shard's samples, the job by the global batch's.
      let share = Double(count) / Double(item.images)
      logits += result.logits
      gradients += logitGradients(result.logits, labels, smoothing: item.smoothing).map {
        $0.map { $0 * share }
      }
      for (name, values) in result.values {
        let sum = expected[name] ?? [Double](repeating: 0, count: values.count)
        expected[name] = zip(sum, values).map { $0 + $1 * share }
      }
    }
    try pass.run(logitGradients: gradients)
    #expect(relativeError(pass.logits.flatMap { $0 }, logits.flatMap { $0 }) < 5e-6)
    let actual = pass.network.trainableTensors(of: pass.network.gradients)
    for (name, values) in expected {
      let tensor = try #require(actual[name]?.floats).map(Double.init)
      #expect(relativeError(tensor, values, floor: 0.01) < 5e-5, "\(item.name): \(name)")
    }
  }

  @Test(arguments: GradientCase.all)
  func evaluationIsTheReference(item: GradientCase) throws {
    let pass = try SoloPass(item)
    defer { pass.close() }
    pass.network.evaluate(pass.shards)
    let expected = item.reference.evaluate(item.batch)
    #expect(relativeError(pass.logits.flatMap { $0 }, expected.flatMap { $0 }) < 5e-6)
  }

  private func images(_ range: Range<Int>, of batch: ReferenceTensor) -> ReferenceTensor {
    let size = batch.channels * batch.height * batch.width
    return ReferenceTensor(
      images: range.count, channels: batch.channels, height: batch.height, width: batch.width,
      values: Array(batch.values[range.lowerBound * size..<range.upperBound * size]))
  }

  private func logitGradients(
    _ logits: [[Double]], _ labels: [Int], smoothing: Double
  ) -> [[Double]] {
    softmaxGradients(logits, labels: labels, smoothing: smoothing)
  }
}
