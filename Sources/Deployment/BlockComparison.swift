import Tensors

/// One block of both forms, under published names.
struct BlockComparison {
  let key: String
  let training: NamedTensors
  let deploy: NamedTensors
  /// Of the block's input: those that the block before it puts out; 0 for the first, whose kernel
  /// says them.
  let inputChannels: Int

  /// The errors, and the block's output channels.
  func result() throws(DeploymentError) -> (block: FuseCertificate.Block, outputChannels: Int) {
    let fused = try Fuse.fusedBlock(key, of: training)
    let (shape, kernel) = try Fuse.values("\(key).rbr_reparam.weight", of: deploy, rank: 4)
    let (_, bias) = try Fuse.values("\(key).rbr_reparam.bias", of: deploy, rank: 1)
    guard shape == fused.shape, bias.count == fused.bias.count else {
      throw DeploymentError(
        .notEquivalent, "\(key): deploy kernel of shape \(shape), expected \(fused.shape)")
    }
    let kernelGap = Gap(kernel, fused.kernel)
    let biasGap = Gap(bias, fused.bias)
    let block = FuseCertificate.Block(
      key: key,
      weightError: relativeError(
        kernel.map(Double.init) + bias.map(Double.init), fused.kernel + fused.bias),
      outputError: try outputError(kernel: kernel, bias: bias, shape: shape),
      largestDifference: Gap.larger(kernelGap.largest, biasGap.largest),
      largestRelativeDifference: Gap.larger(kernelGap.relative, biasGap.relative),
      meanDifference: (kernelGap.sum + biasGap.sum) / Double(kernel.count + bias.count),
      excitationIsSame: excitationIsSame)
    return (block, shape[0])
  }

  /// How far values are from those that they should be.
  private struct Gap {
    var largest = 0.0
    var sum = 0.0
    private var largestValue = 0.0

    init(_ actual: [Float], _ expected: [Double]) {
      for (left, right) in zip(actual, expected) {
        let difference = (Double(left) - right).magnitude
        largest = Self.larger(largest, difference)
        sum += difference
        largestValue = max(largestValue, right.magnitude)
      }
    }

    var relative: Double { largest / max(largestValue, 1e-300) }

    /// A NaN is larger than anything.
    static func larger(_ left: Double, _ right: Double) -> Double {
      left.isNaN || right.isNaN ? .nan : max(left, right)
    }
  }

  private var excitationIsSame: Bool? {
    let names = ["down.weight", "down.bias", "up.weight", "up.bias"].map { "\(key).se.\($0)" }
    guard names.contains(where: { training[$0] != nil || deploy[$0] != nil }) else { return nil }
    return names.allSatisfy { training[$0] == deploy[$0] }
  }

  /// Input channels of each group follow one another, and so do its output channels.
  private func groups(inputs: Int, outputs: Int) throws(DeploymentError) -> Int {
    let channels = inputChannels > 0 ? inputChannels : inputs
    let (groups, rest) = channels.quotientAndRemainder(dividingBy: inputs)
    guard rest == 0, groups > 0, outputs % groups == 0 else {
      throw DeploymentError(
        .badModel,
        "\(key): a kernel for \(inputs) channels to \(outputs) does not fit the \(channels) channels "
          + "of the block before it; check the file")
    }
    return groups
  }

  /// Both forms at one pixel with its eight neighbours, on random values.
  ///
  /// One pixel is enough: neither form knows where in an image it is, and all nine taps take part.
  private func outputError(
    kernel: [Float], bias: [Float], shape: [Int]
  ) throws(DeploymentError) -> Double {
    let (outputs, inputs) = (shape[0], shape[1])
    let (_, dense) = try Fuse.values("\(key).rbr_dense.conv.weight", of: training, rank: 4)
    let (_, pointwise) = try Fuse.values("\(key).rbr_1x1.conv.weight", of: training, rank: 4)
    let denseNorm = try Fuse.Norm("\(key).rbr_dense.bn", of: training, channels: outputs)
    let pointwiseNorm = try Fuse.Norm("\(key).rbr_1x1.bn", of: training, channels: outputs)
    let hasIdentity = training["\(key).rbr_identity.weight"] != nil
    let identityNorm =
      hasIdentity ? try Fuse.Norm("\(key).rbr_identity", of: training, channels: outputs) : nil
    var random = CounterRandom(seed: 1, epoch: 0, sample: 0, purpose: .certificate)
    let groups = try groups(inputs: inputs, outputs: outputs)
    guard !hasIdentity || inputs * groups == outputs else {
      throw DeploymentError(
        .badModel,
        "\(key): an identity from \(inputs * groups) channels to \(outputs); check the file")
    }
    // Input channels of all groups, each with values of its own.
    let neighbourhood = (0..<inputs * groups * 9).map { _ in random.normal() }
    var (expected, actual): ([Double], [Double]) = ([], [])
    for output in 0..<outputs {
      let first = output / (outputs / groups) * inputs
      var (sum3, sum1, fused) = (0.0, 0.0, Double(bias[output]))
      for input in 0..<inputs {
        let values = (first + input) * 9
        let weights = (output * inputs + input) * 9
        for tap in 0..<9 {
          sum3 += Double(dense[weights + tap]) * neighbourhood[values + tap]
          fused += Double(kernel[weights + tap]) * neighbourhood[values + tap]
        }
        sum1 += Double(pointwise[output * inputs + input]) * neighbourhood[values + 4]
      }
      var sum = sum3 * denseNorm.factors[output] + denseNorm.biases[output]
      sum += sum1 * pointwiseNorm.factors[output] + pointwiseNorm.biases[output]
      if let identityNorm {
        sum += neighbourhood[output * 9 + 4] * identityNorm.factors[output]
        sum += identityNorm.biases[output]
      }
      expected.append(sum)
      actual.append(fused)
    }
    return relativeError(actual, expected)
  }

  private func relativeError(_ actual: [Double], _ expected: [Double]) -> Double {
    var (difference, norm) = (0.0, 0.0)
    for (left, right) in zip(actual, expected) {
      difference += (left - right) * (left - right)
      norm += right * right
    }
    return (difference / max(norm, 1e-300)).squareRoot()
  }
}
