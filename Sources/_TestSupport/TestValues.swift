import Glibc
import Tensors

/// Reproducible values in −1…1 for tests.
package func testValues(_ count: Int, seed: UInt64 = 1) -> [Float] {
  var random = CounterRandom(seed: seed, epoch: 0, sample: 0, purpose: .test)
  return (0..<count).map { _ in 2 * random.uniform() - 1 }
}

/// ‖a − b‖ / max(‖b‖, floor), or ‖a − b‖ where that is zero. A floor keeps gradients that vanish by
/// construction (a weight in front of BatchNorm has none along itself) from being all rounding.
package func relativeError(
  _ actual: [Double], _ expected: [Double], floor: Double = 0
) -> Double {
  precondition(actual.count == expected.count, "values of different shapes")
  var (difference, norm) = (0.0, 0.0)
  for (left, right) in zip(actual, expected) {
    difference += (left - right) * (left - right)
    norm += right * right
  }
  let scale = max(norm.squareRoot(), floor)
  return scale > 0 ? difference.squareRoot() / scale : difference.squareRoot()
}

/// [images][channels][height][width] in Float64 → [images][height][width][channels] in Float32.
package func nhwc(_ tensor: ReferenceTensor) -> [Float] {
  var values = [Float](repeating: 0, count: tensor.values.count)
  for image in 0..<tensor.images {
    for channel in 0..<tensor.channels {
      for pixel in 0..<tensor.height * tensor.width {
        values[(image * tensor.height * tensor.width + pixel) * tensor.channels + channel] = Float(
          tensor.values[(image * tensor.channels + channel) * tensor.height * tensor.width + pixel])
      }
    }
  }
  return values
}

/// The inverse of `nhwc`, as plain Float64 values in NCHW order.
package func nchw(_ values: [Float], like tensor: ReferenceTensor) -> [Double] {
  var result = tensor.values
  for image in 0..<tensor.images {
    for channel in 0..<tensor.channels {
      for pixel in 0..<tensor.height * tensor.width {
        result[(image * tensor.channels + channel) * tensor.height * tensor.width + pixel] = Double(
          values[(image * tensor.height * tensor.width + pixel) * tensor.channels + channel])
      }
    }
  }
  return result
}

/// A reference tensor of reproducible values that Float32 holds exactly.
package func testTensor(
  images: Int, channels: Int, height: Int, width: Int, seed: UInt64 = 1
) -> ReferenceTensor {
  ReferenceTensor(
    images: images, channels: channels, height: height, width: width,
    values: testValues(images * channels * height * width, seed: seed).map(Double.init))
}

/// Gradients of the mean cross-entropy with label smoothing, with respect to the logits.
package func softmaxGradients(
  _ logits: [[Double]], labels: [Int], smoothing: Double
) -> [[Double]] {
  zip(logits, labels).map { row, label in
    let largest = row.max() ?? 0
    let exponentials = row.map { exp($0 - largest) }
    let sum = exponentials.reduce(0, +)
    return row.indices.map { index in
      let target = (index == label ? 1 - smoothing : 0) + smoothing / Double(row.count)
      return (exponentials[index] / sum - target) / Double(labels.count)
    }
  }
}
