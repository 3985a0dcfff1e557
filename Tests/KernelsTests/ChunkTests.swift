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

  @Test func bandsAreWholeBlocksAndFitATable() {
    #expect(RowProduct.bandRows <= RowProduct.capacity)
    #expect(RowProduct.bandRows % 6 == 0 && RowProduct.bandRows % 8 == 0)
  }
}
