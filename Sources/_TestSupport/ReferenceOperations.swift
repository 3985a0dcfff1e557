import RunPlanning

/// A Float64 tensor [images][channels][height][width], by plain indexing.
package struct ReferenceTensor: Equatable {
  package var images: Int
  package var channels: Int
  package var height: Int
  package var width: Int
  package var values: [Double]

  package init(images: Int, channels: Int, height: Int, width: Int, values: [Double]? = nil) {
    self.images = images
    self.channels = channels
    self.height = height
    self.width = width
    self.values =
      values ?? [Double](repeating: 0, count: images * channels * height * width)
  }

  package func index(_ image: Int, _ channel: Int, _ y: Int, _ x: Int) -> Int {
    ((image * channels + channel) * height + y) * width + x
  }

  package subscript(image: Int, channel: Int, y: Int, x: Int) -> Double {
    get { values[index(image, channel, y, x)] }
    set { values[index(image, channel, y, x)] = newValue }
  }

  /// A tensor of zeros of the same shape.
  package var zeros: ReferenceTensor {
    ReferenceTensor(images: images, channels: channels, height: height, width: width)
  }

  /// Calls `body` with the index of every value of one channel.
  package func forEachPosition(ofChannel channel: Int, _ body: (Int) -> Void) {
    for image in 0..<images {
      for pixel in 0..<height * width {
        body((image * channels + channel) * height * width + pixel)
      }
    }
  }
}

/// The slow convolution: the definition, loop by loop. The oracle of every fast one.
package struct ReferenceConvolution {
  package var kernel: Int
  package var stride: Int
  package var groups: Int
  package var outputChannels: Int

  package init(kernel: Int, stride: Int, groups: Int, outputChannels: Int) {
    self.kernel = kernel
    self.stride = stride
    self.groups = groups
    self.outputChannels = outputChannels
  }

  /// `weights` in published order [cout][cin / groups][kh][kw].
  package func forward(_ input: ReferenceTensor, _ weights: [Double]) -> ReferenceTensor {
    var output = outputShape(input)
    forEachTerm(input, output) { output.values[$0] += input.values[$1] * weights[$2] }
    return output
  }

  package func inputGradient(
    _ gradient: ReferenceTensor, _ weights: [Double], input: ReferenceTensor
  ) -> ReferenceTensor {
    var result = input.zeros
    forEachTerm(input, gradient) { result.values[$1] += gradient.values[$0] * weights[$2] }
    return result
  }

  package func weightGradient(
    _ gradient: ReferenceTensor, input: ReferenceTensor
  ) -> [Double] {
    var result = [Double](
      repeating: 0, count: outputChannels * input.channels / groups * kernel * kernel)
    forEachTerm(input, gradient) { result[$2] += gradient.values[$0] * input.values[$1] }
    return result
  }

  private func outputShape(_ input: ReferenceTensor) -> ReferenceTensor {
    ReferenceTensor(
      images: input.images, channels: outputChannels,
      height: (input.height + stride - 1) / stride, width: (input.width + stride - 1) / stride)
  }

  /// Every product of the convolution: indices of output, input and weight.
  private func forEachTerm(
    _ input: ReferenceTensor, _ output: ReferenceTensor, _ body: (Int, Int, Int) -> Void
  ) {
    let groupInputs = input.channels / groups
    let groupOutputs = outputChannels / groups
    let padding = kernel / 2
    for image in 0..<input.images {
      for channel in 0..<outputChannels {
        let firstInput = channel / groupOutputs * groupInputs
        for y in 0..<output.height {
          for x in 0..<output.width {
            let place = output.index(image, channel, y, x)
            for tap in 0..<kernel * kernel {
              let inputY = y * stride - padding + tap / kernel
              let inputX = x * stride - padding + tap % kernel
              guard
                inputY >= 0, inputY < input.height, inputX >= 0, inputX < input.width
              else { continue }
              for offset in 0..<groupInputs {
                body(
                  place, input.index(image, firstInput + offset, inputY, inputX),
                  (channel * groupInputs + offset) * kernel * kernel + tap)
              }
            }
          }
        }
      }
    }
  }
}

/// The slow BatchNorm of one branch over one set of positions (PyTorch's: biased variance).
package struct ReferenceBatchNorm {
  package var scale: [Double]
  package var shift: [Double]
  package var epsilon: Double
  package private(set) var means: [Double] = []
  package private(set) var variances: [Double] = []

  package init(scale: [Double], shift: [Double], epsilon: Double) {
    self.scale = scale
    self.shift = shift
    self.epsilon = epsilon
  }

  /// Statistics of `input` itself.
  package mutating func useBatch(_ input: ReferenceTensor) {
    let count = Double(input.images * input.height * input.width)
    means = []
    variances = []
    for channel in 0..<input.channels {
      var sum = 0.0
      input.forEachPosition(ofChannel: channel) { sum += input.values[$0] }
      let mean = sum / count
      var squares = 0.0
      input.forEachPosition(ofChannel: channel) {
        squares += (input.values[$0] - mean) * (input.values[$0] - mean)
      }
      means.append(mean)
      variances.append(squares / count)
    }
  }

  package mutating func useRunning(means: [Double], variances: [Double]) {
    self.means = means
    self.variances = variances
  }

  package func forward(_ input: ReferenceTensor) -> ReferenceTensor {
    var output = input.zeros
    for channel in 0..<input.channels {
      let inverse = 1 / (variances[channel] + epsilon).squareRoot()
      input.forEachPosition(ofChannel: channel) {
        output.values[$0] =
          scale[channel] * (input.values[$0] - means[channel]) * inverse + shift[channel]
      }
    }
    return output
  }

  /// Gradients of input, scale and shift, through the batch statistics.
  package func backward(
    _ gradient: ReferenceTensor, input: ReferenceTensor
  ) -> (input: ReferenceTensor, scale: [Double], shift: [Double]) {
    var result = input.zeros
    var scaleGradient: [Double] = []
    var shiftGradient: [Double] = []
    let count = Double(input.images * input.height * input.width)
    for channel in 0..<input.channels {
      let inverse = 1 / (variances[channel] + epsilon).squareRoot()
      var (sum, product) = (0.0, 0.0)
      input.forEachPosition(ofChannel: channel) {
        sum += gradient.values[$0]
        product += gradient.values[$0] * (input.values[$0] - means[channel]) * inverse
      }
      input.forEachPosition(ofChannel: channel) {
        let standardised = (input.values[$0] - means[channel]) * inverse
        result.values[$0] =
          scale[channel] * inverse
          * (gradient.values[$0] - sum / count - standardised * product / count)
      }
      scaleGradient.append(product)
      shiftGradient.append(sum)
    }
    return (result, scaleGradient, shiftGradient)
  }
}
