import Testing
import _TestSupport

@testable import Kernels

/// The stem's sums and its output against the definition, over several bands of an image.
@Suite struct StemConvolutionTests {
  /// Height, width, stride, input channels: several bands, and lines wider than one.
  @Test(arguments: [
    (20, 20, 2, 3), (20, 20, 1, 1), (3, 130, 1, 4), (3, 500, 1, 3), (5, 500, 2, 1), (1, 1, 1, 3),
  ])
  func sumsAndOutputAreTheDefinition(height: Int, width: Int, stride: Int, channels: Int) {
    let convolution = Convolution(
      kernel: 3, stride: stride, groups: 1, inputChannels: channels, outputChannels: 20,
      inputHeight: height, inputWidth: width)
    let check = StemCheck(convolution, images: 2)
    // Float64 all the way.
    #expect(check.forwardError() < 1e-13)
    #expect(check.backwardError() < 1e-6)
    #expect(check.outputError() < 1e-6)
  }
}

/// One stem, computed fast and by definition in Float64.
private struct StemCheck {
  let stem: StemConvolution
  let images: Int
  let input: [Float]
  let dense: [Float]
  let pointwise: [Float]

  init(_ convolution: Convolution, images: Int) {
    stem = StemConvolution(convolution)
    self.images = images
    // A mean far from 0, as unnormalised images have.
    input = testValues(images * convolution.inputPixels * convolution.inputChannels).map { $0 + 2 }
    dense = testValues(stem.patch * convolution.outputChannels, seed: 2)
    pointwise = testValues(convolution.inputChannels * convolution.outputChannels, seed: 3)
  }

  private var convolution: Convolution { stem.convolution }
  private var outputs: Int { convolution.outputChannels }

  /// The patch of every position, image after image.
  private var patches: [[Double]] {
    var patches: [[Double]] = []
    for image in 0..<images {
      for row in 0..<convolution.outputHeight {
        for column in 0..<convolution.outputWidth {
          patches.append(
            patch(image, row * convolution.stride - 1, column * convolution.stride - 1))
        }
      }
    }
    return patches
  }

  private func patch(_ image: Int, _ top: Int, _ left: Int) -> [Double] {
    let channels = convolution.inputChannels
    var values: [Double] = []
    for y in top..<top + 3 {
      for x in left..<left + 3 {
        let isInside =
          y >= 0 && y < convolution.inputHeight && x >= 0 && x < convolution.inputWidth
        for channel in 0..<channels {
          let pixel = (image * convolution.inputHeight + y) * convolution.inputWidth + x
          values.append(isInside ? Double(input[pixel * channels + channel]) : 0)
        }
      }
    }
    return values
  }

  private func product(_ values: ArraySlice<Double>, _ weights: [Float], _ channel: Int) -> Double {
    zip(values, 0...).reduce(0) { $0 + $1.0 * Double(weights[$1.1 * outputs + channel]) }
  }

  private func centre(_ patch: [Double]) -> ArraySlice<Double> {
    patch[4 * convolution.inputChannels..<5 * convolution.inputChannels]
  }

  func forwardError() -> Double {
    let inputs = convolution.inputChannels
    var expected = [Double](repeating: 0, count: stem.momentCount)
    for patch in patches {
      for channel in 0..<outputs {
        let z3 = product(patch[...], dense, channel)
        let z1 = product(centre(patch), pointwise, channel)
        for (place, value) in [z3, z3 * z3, z1, z1 * z1].enumerated() {
          expected[place * outputs + channel] += value
        }
        for (element, value) in patch.enumerated() {
          expected[(4 + element) * outputs + channel] += value * z3
        }
        for (element, value) in centre(patch).enumerated() {
          expected[(4 + stem.patch + element) * outputs + channel] += value * z1
        }
      }
      for (element, value) in patch.enumerated() {
        expected[(4 + stem.patch + inputs) * outputs + element] += value
      }
    }
    var sums = [Double](repeating: 0, count: stem.forwardSums)
    withPacked { _, scratch in
      stem.addForwardSums(0..<images, input: input, scratch: scratch, sums: &sums)
    }
    var moments = [Double](repeating: .nan, count: stem.momentCount)
    stem.moments(of: sums, dense: dense, pointwise: pointwise, into: &moments)
    return relativeError(moments, expected)
  }

  func backwardError() -> Double {
    let count = images * convolution.outputPixels * outputs
    let gradient = testValues(count, seed: 4)
    let gate = testValues(count, seed: 5)
    var expected = [Double](repeating: 0, count: stem.backwardSums)
    for (position, patch) in patches.enumerated() {
      for channel in 0..<outputs where gate[position * outputs + channel] > 0 {
        let value = Double(gradient[position * outputs + channel])
        expected[channel] += value
        for (element, part) in patch.enumerated() {
          expected[(1 + element) * outputs + channel] += part * value
        }
      }
    }
    var sums = [Double](repeating: 0, count: stem.backwardSums)
    withPacked { _, scratch in
      stem.addBackwardSums(
        0..<images, input: input, gradient: gradient, gate: gate, scratch: scratch, sums: &sums)
    }
    return relativeError(sums, expected)
  }

  func outputError() -> Double {
    let bias = testValues(outputs, seed: 6)
    var output = [Float](repeating: .nan, count: images * convolution.outputPixels * outputs)
    withPacked { packedDense, scratch in
      stem.writeOutput(
        0..<images, input: input, fused: packedDense, bias: bias, scratch: scratch,
        output: &output)
    }
    let expected = patches.flatMap { patch in
      (0..<outputs).map { max(0, product(patch[...], dense, $0) + Double(bias[$0])) }
    }
    return relativeError(output.map(Double.init), expected)
  }

  private func withPacked(
    _ body: (_ dense: UnsafePointer<Float>, _ scratch: UnsafeMutablePointer<Float>) -> Void
  ) {
    withFloats(stem.denseCount) { packedDense in
      withFloats(stem.workerCount) { scratch in
        stem.pack(dense, into: packedDense)
        body(packedDense, scratch)
      }
    }
  }
}
