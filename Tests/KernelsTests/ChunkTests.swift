import Testing
import _TestSupport

@testable import Kernels

/// Shards of several chunks and bands, and the memory that is reserved for them.
@Suite struct ChunkTests {
  private static func layer(
    _ kernel: Int, _ stride: Int, _ groups: Int, _ channels: (Int, Int), _ size: Int
  ) -> Convolution {
    Convolution(
      kernel: kernel, stride: stride, groups: groups, inputChannels: channels.0,
      outputChannels: channels.1, inputHeight: size, inputWidth: size)
  }

  /// A shard smaller than the largest may have larger chunks than that one has.
  @Test func capacityBoundsEveryChunk() {
    var sizes: [Convolution] = []
    for size in [1, 2, 3, 4, 7, 14, 28, 56] {
      for stride in [1, 2] {
        for channels in [(16, 16), (192, 1280), (512, 512)] {
          sizes.append(Self.layer(3, stride, 1, channels, size))
        }
      }
    }
    for layer in sizes {
      for images in 1...64 {
        #expect(layer.chunkCapacity(images: images) <= layer.chunkCapacity(images: 64))
        for index in 0..<layer.chunks(images: images) {
          let count = layer.chunk(index, images: images).count
          #expect(count > 0 && count <= layer.chunkCapacity(images: images))
        }
      }
    }
  }

  /// Both tile sizes and the direct path, two or more chunks each, with and without groups.
  @Test(arguments: [1, 3]) func severalChunksAreTheDefinition(threads: Int) {
    let cases: [(Convolution, Int)] = [
      (Self.layer(3, 1, 1, (16, 16), 28), 5), (Self.layer(3, 1, 2, (32, 16), 28), 5),
      (Self.layer(3, 1, 1, (16, 24), 14), 23), (Self.layer(3, 1, 2, (16, 16), 14), 23),
      (Self.layer(3, 2, 1, (16, 32), 40), 17), (Self.layer(3, 2, 2, (16, 32), 40), 17),
      (Self.layer(1, 1, 1, (64, 48), 40), 7),
    ]
    for (layer, images) in cases {
      #expect(layer.chunks(images: images) > 1)
      let item = ConvolutionTests.Case(convolution: layer, images: images, threads: threads)
      let worst = ConvolutionComparison(item).worstError()
      #expect(worst < (layer.path == .direct ? 2e-6 : 8e-6), "\(item.testDescription)")
    }
  }

  /// Weights transformed a panel at a time, both tile sizes, half panels, groups: the bits of weights
  /// transformed as a whole; the weight gradient of several chunks is added up in another order.
  @Test(arguments: [1, 3]) func packingInPassesDoesNotChangeBits(threads: Int) {
    let cases: [(Convolution, images: Int, chunks: Int)] = [
      (Self.layer(3, 1, 1, (216, 216), 14), 3, 1), (Self.layer(3, 1, 1, (248, 248), 8), 2, 1),
      (Self.layer(3, 1, 2, (312, 312), 14), 2, 1), (Self.layer(3, 1, 2, (312, 312), 14), 13, 2),
    ]
    for (layer, images, chunks) in cases {
      let inPasses = layer.packing(images: images)
      #expect(inPasses.packsInPasses && inPasses.chunks(images: images) == chunks)
      #expect(inPasses.forwardWeightCount == 0 && inPasses.backwardWeightCount == 0)
      let (expected, results) = (
        ConvolutionComparison(.init(convolution: layer, images: images)).results(),
        ConvolutionComparison(.init(convolution: inPasses, images: images, threads: threads))
          .results()
      )
      #expect(results.output == expected.output)
      #expect(results.inputGradient == expected.inputGradient)
      if chunks == 1 {
        #expect(results.weightGradient == expected.weightGradient)
      } else {
        let error = relativeError(
          results.weightGradient.map(Double.init), expected.weightGradient.map(Double.init))
        #expect(error < 1e-6)
      }
    }
  }

  /// Weights that fit the caches are kept, and those that meet many tiles.
  @Test func packingDependsOnTilesAndWeights() {
    let layer = Self.layer(3, 1, 1, (512, 512), 14)
    #expect(layer.packing(images: 8).packsInPasses)
    #expect(layer.packing(images: 14).packsInPasses)
    #expect(!layer.packing(images: 15).packsInPasses)
    #expect(Self.layer(3, 1, 1, (192, 192), 4).packing(images: 32).packsInPasses)
    #expect(!Self.layer(3, 1, 1, (128, 128), 14).packing(images: 8).packsInPasses)
    #expect(!Self.layer(3, 2, 1, (512, 2048), 14).packing(images: 8).packsInPasses)
  }

  @Test func bandsAreWholeBlocksAndFitATable() {
    #expect(RowProduct.bandRows <= RowProduct.capacity)
    #expect(RowProduct.bandRows % 6 == 0 && RowProduct.bandRows % 8 == 0)
  }
}
