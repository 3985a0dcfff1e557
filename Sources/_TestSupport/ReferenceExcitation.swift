import Foundation

/// Squeeze-and-excitation of one block by its definition, in Float64: s·sigmoid(up(ReLU(down(mean of
/// s)))), weights in published order.
package struct ReferenceExcitation {
  package var down: [Double]
  package var downBias: [Double]
  package var up: [Double]
  package var upBias: [Double]

  package init(down: [Double], downBias: [Double], up: [Double], upBias: [Double]) {
    self.down = down
    self.downBias = downBias
    self.up = up
    self.upBias = upBias
  }

  package struct Gradients {
    package var sum: ReferenceTensor
    package var down: [Double]
    package var downBias: [Double]
    package var up: [Double]
    package var upBias: [Double]
  }

  /// What one image goes through.
  private struct Passage {
    var means: [Double]
    var hidden: [Double]
    var scales: [Double]
  }

  private func passage(_ sum: ReferenceTensor, image: Int) -> Passage {
    let pixels = sum.height * sum.width
    let means = (0..<sum.channels).map { channel in
      let start = (image * sum.channels + channel) * pixels
      return sum.values[start..<start + pixels].reduce(0, +) / Double(pixels)
    }
    let hidden = downBias.indices.map { unit in
      let value = means.indices.reduce(downBias[unit]) {
        $0 + down[unit * means.count + $1] * means[$1]
      }
      return max(value, 0)
    }
    let scales = upBias.indices.map { channel in
      let value = hidden.indices.reduce(upBias[channel]) {
        $0 + up[channel * hidden.count + $1] * hidden[$1]
      }
      return 1 / (1 + exp(-value))
    }
    return Passage(means: means, hidden: hidden, scales: scales)
  }

  /// s·a, before the block's ReLU.
  package func forward(_ sum: ReferenceTensor) -> ReferenceTensor {
    var output = sum
    for image in 0..<sum.images {
      let scales = passage(sum, image: image).scales
      forEachValue(of: sum, image) { channel, place in output.values[place] *= scales[channel] }
    }
    return output
  }

  /// Gradients of the sum and of all weights from that of s·a.
  package func backward(_ gradient: ReferenceTensor, sum: ReferenceTensor) -> Gradients {
    var result = Gradients(
      sum: gradient, down: down.map { _ in 0 }, downBias: downBias.map { _ in 0 },
      up: up.map { _ in 0 }, upBias: upBias.map { _ in 0 })
    for image in 0..<sum.images {
      let passage = passage(sum, image: image)
      var scaleGradient = upBias.map { _ in 0.0 }
      forEachValue(of: sum, image) { channel, place in
        scaleGradient[channel] += gradient.values[place] * sum.values[place]
      }
      var hiddenGradient = downBias.map { _ in 0.0 }
      for channel in upBias.indices {
        let scale = passage.scales[channel]
        let slope = scaleGradient[channel] * scale * (1 - scale)
        result.upBias[channel] += slope
        for unit in downBias.indices {
          result.up[channel * downBias.count + unit] += slope * passage.hidden[unit]
          hiddenGradient[unit] += slope * up[channel * downBias.count + unit]
        }
      }
      var meanGradient = passage.means.map { _ in 0.0 }
      for unit in downBias.indices where passage.hidden[unit] > 0 {
        result.downBias[unit] += hiddenGradient[unit]
        for channel in meanGradient.indices {
          let place = unit * meanGradient.count + channel
          result.down[place] += hiddenGradient[unit] * passage.means[channel]
          meanGradient[channel] += hiddenGradient[unit] * down[place]
        }
      }
      let pixels = Double(sum.height * sum.width)
      forEachValue(of: sum, image) { channel, place in
        result.sum.values[place] =
          gradient.values[place] * passage.scales[channel] + meanGradient[channel] / pixels
      }
    }
    return result
  }

  private func forEachValue(
    of tensor: ReferenceTensor, _ image: Int, _ body: (_ channel: Int, _ place: Int) -> Void
  ) {
    let pixels = tensor.height * tensor.width
    for channel in 0..<tensor.channels {
      for pixel in 0..<pixels {
        body(channel, (image * tensor.channels + channel) * pixels + pixel)
      }
    }
  }
}
