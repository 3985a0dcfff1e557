import Kernels
import Testing
import _TestSupport

/// Every convolution of small sizes against the definition.
@Suite struct ConvolutionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var convolution: Convolution
    var images: Int

    var testDescription: String {
      let shape = convolution
      return "\(shape.kernel)x\(shape.kernel)/\(shape.stride) groups \(shape.groups), "
        + "\(shape.inputChannels)→\(shape.outputChannels), "
        + "\(shape.inputHeight)x\(shape.inputWidth), \(images) images"
    }
  }

  /// Kernels 1 and 3, strides 1 and 2, groups 1, 2, 4, 1–9 pixels, channels 1–33.
  static let cases: [Case] = {
    var cases: [Case] = []
    let channels = [(1, 1), (1, 5), (3, 4), (16, 17), (33, 16), (8, 33)]
    let sizes = [(1, 1), (1, 4), (2, 2), (3, 5), (4, 4), (7, 7), (9, 8)]
    for kernel in [1, 3] {
      for stride in [1, 2] {
        for (height, width) in sizes {
          for groups in [1, 2, 4] {
            for (inputs, outputs) in channels {
              let convolution = Convolution(
                kernel: kernel, stride: stride, groups: groups, inputChannels: inputs * groups,
                outputChannels: outputs * groups, inputHeight: height, inputWidth: width)
              cases.append(Case(convolution: convolution, images: (height + inputs) % 3 + 1))
            }
          }
        }
      }
    }
    return cases
  }()

  @Test func forwardAndGradientsAreTheDefinition() {
    for item in Self.cases {
      let worst = Comparison(item).worstError()
      #expect(worst < 2e-6, "\(item.testDescription)")
    }
  }

  @Test func manyBandsGiveTheDefinition() {
    let convolution = Convolution(
      kernel: 3, stride: 1, groups: 1, inputChannels: 20, outputChannels: 24, inputHeight: 30,
      inputWidth: 30)
    #expect(convolution.forwardBands(images: 3) > 3)
    #expect(Comparison(Case(convolution: convolution, images: 3)).worstError() < 2e-6)
  }

  @Test func weightGradientOfNoImagesIsZero() {
    let convolution = Convolution(
      kernel: 3, stride: 1, groups: 2, inputChannels: 4, outputChannels: 6, inputHeight: 3,
      inputWidth: 3)
    var gradient = [Float](repeating: 7, count: convolution.weightCount)
    var scratch = [Float](repeating: 0, count: convolution.scratchCount)
    for task in 0..<convolution.weightGradientTasks {
      convolution.weightGradient(
        task: task, images: 0, input: [], outputGradient: [], weightGradient: &gradient,
        scratch: &scratch)
    }
    #expect(gradient.allSatisfy { $0 == 0 })
  }
}

/// One convolution, computed fast and by definition.
private struct Comparison {
  let convolution: Convolution
  let images: Int
  let reference: ReferenceConvolution
  let input: ReferenceTensor
  /// Published order [cout][cin / groups][taps].
  let weights: [Float]

  init(_ item: ConvolutionTests.Case) {
    convolution = item.convolution
    images = item.images
    reference = ReferenceConvolution(
      kernel: convolution.kernel, stride: convolution.stride, groups: convolution.groups,
      outputChannels: convolution.outputChannels)
    input = testTensor(
      images: images, channels: convolution.inputChannels, height: convolution.inputHeight,
      width: convolution.inputWidth)
    weights = testValues(convolution.weightCount, seed: 2)
  }

  private var groupInputs: Int { convolution.inputChannels / convolution.groups }
  private var groupOutputs: Int { convolution.outputChannels / convolution.groups }

  /// Published order ↔ [group][tap][cin / groups][cout / groups].
  private func memoryIndex(_ file: Int) -> Int {
    let (rest, tap) = file.quotientAndRemainder(dividingBy: convolution.taps)
    let (output, input) = rest.quotientAndRemainder(dividingBy: groupInputs)
    let (group, column) = output.quotientAndRemainder(dividingBy: groupOutputs)
    return ((group * convolution.taps + tap) * groupInputs + input) * groupOutputs + column
  }

  /// The largest relative error of forward, data gradient and weight gradient.
  func worstError() -> Double {
    var memory = [Float](repeating: 0, count: weights.count)
    for file in weights.indices { memory[memoryIndex(file)] = weights[file] }
    let wide = weights.map(Double.init)
    let expected = reference.forward(input, wide)
    let gradient = ReferenceTensor(
      images: images, channels: expected.channels, height: expected.height, width: expected.width,
      values: testValues(expected.values.count, seed: 3).map(Double.init))
    return max(
      relativeError(nchw(forward(memory), like: expected), expected.values),
      dataGradientError(memory, wide, gradient), weightGradientError(gradient))
  }

  private func forward(_ memory: [Float]) -> [Float] {
    var output = [Float](
      repeating: .nan, count: images * convolution.outputPixels * convolution.outputChannels)
    var scratch = [Float](repeating: .nan, count: convolution.scratchCount)
    for band in 0..<convolution.forwardBands(images: images) {
      convolution.forward(
        band: convolution.forwardBand(band, images: images), input: nhwc(input), weights: memory,
        output: &output, scratch: &scratch)
    }
    return output
  }

  /// Both with and without adding to what is there.
  private func dataGradientError(
    _ memory: [Float], _ wide: [Double], _ gradient: ReferenceTensor
  ) -> Double {
    var weights = memory
    if convolution.flippedWeightCount > 0 { convolution.flipWeights(memory, into: &weights) }
    let expected = reference.inputGradient(gradient, wide, input: input).values
    let start = testTensor(
      images: images, channels: input.channels, height: input.height, width: input.width, seed: 4)
    func compute(accumulate: Bool) -> Double {
      var result = nhwc(accumulate ? start : start.zeros)
      var scratch = [Float](repeating: .nan, count: convolution.scratchCount)
      for task in 0..<convolution.dataGradientTasks(images: images) {
        convolution.dataGradient(
          task: task, images: images, outputGradient: nhwc(gradient), weights: weights,
          inputGradient: &result, scratch: &scratch, accumulate: accumulate)
      }
      let sum = accumulate ? zip(expected, start.values).map { $0 + $1 } : expected
      return relativeError(nchw(result, like: input), sum)
    }
    return max(compute(accumulate: false), compute(accumulate: true))
  }

  private func weightGradientError(_ gradient: ReferenceTensor) -> Double {
    var result = [Float](repeating: .nan, count: weights.count)
    var scratch = [Float](repeating: .nan, count: convolution.scratchCount)
    for task in 0..<convolution.weightGradientTasks {
      convolution.weightGradient(
        task: task, images: images, input: nhwc(input), outputGradient: nhwc(gradient),
        weightGradient: &result, scratch: &scratch)
    }
    let published = weights.indices.map { Double(result[memoryIndex($0)]) }
    return relativeError(published, reference.weightGradient(gradient, input: input))
  }
}
