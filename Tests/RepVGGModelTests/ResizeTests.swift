import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

/// A network that was brought to another size of images is one that was made for it.
@Suite struct ResizeTests {
  /// With a stem, groups, direct layers and Winograd layers of both tile sizes.
  private func item(side: Int) -> GradientCase {
    GradientCase(
      name: "\(side) x \(side)",
      architecture: Architecture(
        stemWidth: 16, depths: [2, 2, 1], widths: [16, 32, 48], groups: [2: 2]),
      height: side, width: side, shardCounts: [3, 2])
  }

  private static let sides = [40, 24, 56, 33, 7, 1, 56, 40]

  private struct Results: Equatable {
    var logits: [[Double]]
    var gradients: NamedTensors
    var tensors: NamedTensors
    var evaluated: [[Double]]
  }

  private func results(_ pass: SoloPass) throws -> Results {
    try pass.run(
      logitGradients: [[Double]](
        repeating: [0.1, -0.2, 0.05, 0.03, 0.02], count: pass.item.images))
    let logits = pass.logits
    pass.network.updateRunningStatistics()
    let tensors = pass.network.tensors()
    let gradients = pass.network.trainableTensors(of: pass.network.gradients)
    pass.network.evaluate(pass.shards)
    return Results(
      logits: logits, gradients: gradients, tensors: tensors, evaluated: pass.logits)
  }

  /// Leaves NaN behind in what the passes write.
  private func poison(_ network: TrainingNetwork, _ item: GradientCase) throws {
    let values = Arena(count: item.images * max(network.shape.imageCount, GradientCase.classes))
    values.base.update(repeating: .nan, count: values.count)
    try network.forward(
      item.shardCounts.map { ShardImages(pixels: values.base, count: $0) },
      reduceStatistics: { _ in })
    try network.backward(
      logitGradients: item.shardCounts.map { _ in UnsafePointer(values.base) },
      reduceStatistics: { _ in }, gradientsReady: { _ in })
    #expect(!network.hasFiniteStatistics)
  }

  @Test(arguments: [1, 2], [RunConfig.BatchNormMode.sync, .local])
  func aResizedNetworkIsOneMadeAnew(threads: Int, batchNorm: RunConfig.BatchNormMode) throws {
    let network = TrainingNetwork(
      shape: item(side: 24).shape(batchNorm), otherSizes: Self.sides.map { item(side: $0).blocks },
      pool: WorkerPool(threads: threads))
    for side in Self.sides {
      let item = item(side: side)
      network.resize(to: item.blocks)
      let resized = try SoloPass(item, network: network)
      defer { resized.close() }
      let fresh = try SoloPass(item, batchNorm: batchNorm, threads: threads)
      defer { fresh.close() }
      #expect(try results(resized) == results(fresh), "\(item.name)")
      try poison(network, item)
    }
  }

  @Test func theSizesTakeDifferentPaths() {
    let paths = Self.sides.map { side in
      item(side: side).blocks.map { $0.convolution(kernel: 3).path }
    }
    #expect(Set(paths).count > 2)
    #expect(Set(paths.flatMap { $0 }).count == 3)
  }

  /// Parameters, running statistics and counts are not touched.
  @Test func whatTheNetworkKnowsStays() throws {
    let (small, large) = (item(side: 24), item(side: 56))
    let network = TrainingNetwork(
      shape: large.shape(), otherSizes: [small.blocks], pool: WorkerPool(threads: 1))
    try network.load(large.state)
    let (parameters, bytes) = (network.parameters.base, network.workingBytes)
    network.resize(to: small.blocks)
    #expect(network.tensors() == small.state)
    #expect(network.parameters.base == parameters)
    #expect(network.shape == small.shape() && network.workingBytes <= bytes)
    network.resize(to: large.blocks)
    #expect(network.workingBytes == bytes)
  }
}
