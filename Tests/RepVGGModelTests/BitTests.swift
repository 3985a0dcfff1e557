import RepVGGModel
import Tensors
import Testing
import _TestSupport

/// Threads and the grouping of shards must not change a bit.
@Suite struct BitTests {
  static let item = GradientCase(
    name: "bits",
    architecture: .init(
      stemWidth: 8, depths: [2, 2], widths: [36, 40], groups: [2: 4]),
    height: 24, width: 24, shardCounts: [5, 5, 4, 4, 4, 4, 4, 4])

  private func run(threads: Int) throws -> (NamedTensors, [[Double]]) {
    let pass = try SoloPass(Self.item, threads: threads)
    defer { pass.close() }
    let logits = [[Double]](
      repeating: [0.1, -0.2, 0.05, 0.03, 0.02], count: Self.item.images)
    try pass.run(logitGradients: logits)
    return (pass.network.trainableTensors(of: pass.network.gradients), pass.logits)
  }

  @Test(arguments: [2, 3, 4]) func threadsDoNotChangeBits(threads: Int) throws {
    let (gradients, logits) = try run(threads: 1)
    let (others, otherLogits) = try run(threads: threads)
    #expect(logits == otherLogits)
    for (name, tensor) in gradients { #expect(tensor == others[name], "\(name)") }
  }
}
