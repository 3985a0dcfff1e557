import RepVGGModel
import Tensors
import Testing
import _TestSupport

/// Neither threads nor the order in which they take tasks may change a bit.
@Suite struct BitTests {
  static let items = [
    GradientCase(
      name: "groups, many shards",
      architecture: .init(stemWidth: 8, depths: [2, 2], widths: [36, 40], groups: [2: 4]),
      height: 24, width: 24, shardCounts: [5, 5, 4, 4, 4, 4, 4, 4]),
    // What ends a chunk of images runs beside what begins the next one.
    GradientCase(
      name: "shards of several chunks",
      architecture: .init(stemWidth: 8, depths: [2], widths: [16]), height: 56, width: 56,
      shardCounts: [56, 41]),
    GradientCase(
      name: "weights transformed a panel at a time",
      architecture: .init(stemWidth: 8, depths: [2], widths: [216]), height: 56, width: 56,
      shardCounts: [3, 2]),
    GradientCase(
      name: "squeeze-and-excitation",
      architecture: .init(
        stemWidth: 16, depths: [2, 1], widths: [48, 80], groups: [2: 2], squeezeExcitation: true),
      height: 28, width: 28, shardCounts: [5, 3, 4, 0]),
  ]

  private struct Results: Equatable {
    var gradients: NamedTensors
    var logits: [[Double]]
  }

  private func run(_ item: GradientCase, threads: Int, lastTaskFirst: Bool) throws -> Results {
    let pass = try SoloPass(item, threads: threads)
    defer { pass.close() }
    pass.network.pool.takesLastTaskFirst = lastTaskFirst
    try pass.run(
      logitGradients: [[Double]](repeating: [0.1, -0.2, 0.05, 0.03, 0.02], count: item.images))
    return Results(
      gradients: pass.network.trainableTensors(of: pass.network.gradients), logits: pass.logits)
  }

  @Test(arguments: items) func threadsAndTheirOrderDoNotChangeBits(item: GradientCase) throws {
    let expected = try run(item, threads: 1, lastTaskFirst: false)
    #expect(try run(item, threads: 1, lastTaskFirst: true) == expected)
    for threads in [2, 3, 4] {
      #expect(try run(item, threads: threads, lastTaskFirst: false) == expected, "\(threads)")
    }
  }

  /// The cases are what their names say.
  @Test func casesHaveSeveralChunksAndPanels() throws {
    let convolutions = Self.items.map { item in
      let images = item.shardCounts.max() ?? 0
      return item.blocks.dropFirst().map {
        (convolution: $0.convolution(kernel: 3).packing(images: images), images: images)
      }
    }
    #expect(convolutions[1].allSatisfy { $0.convolution.chunks(images: $0.images) > 1 })
    #expect(convolutions[2].contains { $0.convolution.packsInPasses })
  }
}
