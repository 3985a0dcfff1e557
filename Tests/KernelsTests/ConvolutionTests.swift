import Testing
import _TestSupport

@testable import Kernels

/// Every convolution of small sizes against the definition in Float64.
@Suite struct ConvolutionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var convolution: Convolution
    var images: Int
    var threads = 1

    var testDescription: String {
      let shape = convolution
      return "\(shape.kernel)x\(shape.kernel)/\(shape.stride) groups \(shape.groups), "
        + "\(shape.inputChannels)→\(shape.outputChannels), "
        + "\(shape.inputHeight)x\(shape.inputWidth), \(images) images, \(shape.path.rawValue)"
    }
  }

  private static func convolution(
    _ kernel: Int, stride: Int, groups: Int, _ channels: (Int, Int), _ size: (Int, Int)
  ) -> Convolution {
    Convolution(
      kernel: kernel, stride: stride, groups: groups, inputChannels: channels.0 * groups,
      outputChannels: channels.1 * groups, inputHeight: size.0, inputWidth: size.1)
  }

  /// Kernels 1 and 3, strides 1 and 2, groups 1, 2, 4, 1–9 pixels, channels 1–33.
  static let cases: [Case] = {
    var cases: [Case] = []
    let channels = [(1, 1), (1, 5), (3, 4), (8, 9), (16, 17), (33, 16), (8, 33), (24, 40)]
    let sizes = [
      (1, 1), (1, 4), (2, 2), (3, 3), (3, 5), (4, 4), (5, 6), (6, 5), (7, 7), (9, 8),
    ]
    for kernel in [1, 3] {
      for stride in [1, 2] {
        for size in sizes {
          for groups in [1, 2, 4] {
            for pair in channels {
              cases.append(
                Case(
                  convolution: convolution(
                    kernel, stride: stride, groups: groups, pair, size),
                  images: (size.0 + pair.0) % 3 + 1))
            }
          }
        }
      }
    }
    return cases
  }()

  @Test func forwardAndGradientsAreTheDefinition() {
    for item in Self.cases {
      let worst = ConvolutionComparison(item).worstError()
      #expect(worst < Self.tolerance(item.convolution), "\(item.testDescription)")
    }
  }

  /// Relative L2 error: rounding alone, and what Winograd's transforms make of it.
  private static func tolerance(_ convolution: Convolution) -> Double {
    convolution.path == .direct ? 2e-6 : 8e-6
  }

  /// Layers of RepVGG with fewer images, several chunks and bands, threads.
  @Test func realLayersAreTheDefinition() {
    let layers = [
      Self.convolution(3, stride: 1, groups: 1, (48, 48), (56, 56)),
      Self.convolution(3, stride: 2, groups: 1, (48, 96), (56, 56)),
      Self.convolution(3, stride: 1, groups: 1, (192, 192), (14, 14)),
      Self.convolution(3, stride: 1, groups: 4, (64, 64), (28, 28)),
      Self.convolution(1, stride: 2, groups: 1, (48, 96), (56, 56)),
      Self.convolution(3, stride: 1, groups: 1, (192, 192), (2, 2)),
      Self.convolution(3, stride: 2, groups: 1, (192, 1280), (14, 14)),
    ]
    for layer in layers {
      let item = Case(convolution: layer, images: layer.inputPixels > 16 ? 1 : 3, threads: 2)
      let worst = ConvolutionComparison(item).worstError()
      #expect(worst < Self.tolerance(layer), "\(item.testDescription)")
    }
  }

  /// Bias and ReLU where the output is written give the bits of a pass behind it, on every path.
  @Test(arguments: [false, true]) func finishIsTheBitsOfItsOwnPass(rectify: Bool) {
    let wide = [
      Self.convolution(3, stride: 2, groups: 1, (432, 40), (5, 4)),
      Self.convolution(1, stride: 1, groups: 1, (400, 21), (1, 1)),
      Self.convolution(3, stride: 1, groups: 2, (24, 40), (14, 14)),
      Self.convolution(3, stride: 1, groups: 1, (20, 17), (13, 11)),
    ].map { Case(convolution: $0, images: 3, threads: 2) }
    let paths = Set((Self.cases + wide).map(\.convolution.path))
    #expect(paths == [.direct, .winograd4, .winograd5])
    var isRectified = true
    for item in Self.cases + wide {
      let (inPlace, behind) = ConvolutionComparison(item).finished(rectify: rectify)
      #expect(inPlace == behind, "\(item.testDescription)")
      isRectified = isRectified && inPlace.allSatisfy { $0 >= 0 }
    }
    #expect(isRectified == rectify)
  }

  @Test func chunksAndSlicesCoverEveryImageOnce() {
    for item in Self.cases {
      for images in [1, 2, 5, 32, 33] {
        let convolution = item.convolution
        var covered: [Int] = []
        for index in 0..<convolution.chunks(images: images) {
          let chunk = convolution.chunk(index, images: images)
          for slice in 0..<convolution.slices(images: chunk.count) {
            covered += Array(convolution.slice(slice, of: chunk))
          }
        }
        #expect(covered == Array(0..<images), "\(item.testDescription)")
      }
    }
  }

  /// Threads take whole tasks, so they do not change a bit.
  @Test func threadsDoNotChangeBits() {
    for stride in [1, 2] {
      let layer = Self.convolution(3, stride: stride, groups: 2, (16, 24), (14, 13))
      let results = [1, 2, 4].map {
        ConvolutionComparison(Case(convolution: layer, images: 9, threads: $0)).results()
      }
      #expect(results[1] == results[0] && results[2] == results[0])
    }
  }

  @Test func weightGradientOfNoImagesIsZero() {
    let convolution = Self.convolution(3, stride: 1, groups: 2, (8, 8), (4, 4))
    let result = ConvolutionComparison(Case(convolution: convolution, images: 0)).results()
    #expect(result.weightGradient.count == convolution.weightCount)
    #expect(result.weightGradient.allSatisfy { $0 == 0 })
  }

  /// Winograd's error against Float64 for the deep sums of the zoo's stage 3: 1728 products of values
  /// in ±1, whose sums have a standard deviation of 13.7. A simulation in Float32 gives 2.8e-6
  /// relative for F(4x4, 3x3) and 4.3e-6 for F(5x5, 3x3), and 8e-4 at the worst of 64,000 outputs.
  @Test(arguments: [(8, Convolution.Path.winograd4, 3.5e-6), (14, .winograd5, 5e-6)])
  func winogradErrorIsBounded(size: Int, path: Convolution.Path, bound: Double) {
    let layer = Self.convolution(3, stride: 1, groups: 1, (192, 192), (size, size))
    #expect(layer.path == path)
    let comparison = ConvolutionComparison(Case(convolution: layer, images: 1))
    #expect(comparison.worstForwardDifference() < 1.2e-3)
    #expect(comparison.worstError() < bound)
  }
}
