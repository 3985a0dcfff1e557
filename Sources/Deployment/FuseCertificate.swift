import Foundation
import RepVGGModel
import RunPlanning
import Tensors

/// The proof that deploy weights compute the function of training weights: block by block against
/// Float64, and by the logits of whole networks on a named set of images.
package struct FuseCertificate: Sendable, Codable {
  package struct Block: Sendable, Codable {
    package var key: String
    /// ‖deploy − Float64 fuse‖ / ‖Float64 fuse‖ over kernel and bias.
    package var weightError: Double
    /// The same of the block's output before the ReLU, both forms computed in Float64 on random
    /// input: a check that does not use the formulas of the fuse.
    package var outputError: Double
  }

  /// Both networks on the same images.
  package struct Comparison: Sendable, Codable {
    package var split: String
    package var count: Int
    package var agreement: Int
    package var largestDifference: Double
    package var largestLogit: Double
    package var trainingTop1: Double
    package var deployTop1: Double

    package init(
      split: String, count: Int, agreement: Int, largestDifference: Double, largestLogit: Double,
      trainingTop1: Double, deployTop1: Double
    ) {
      self.split = split
      self.count = count
      self.agreement = agreement
      self.largestDifference = largestDifference
      self.largestLogit = largestLogit
      self.trainingTop1 = trainingTop1
      self.deployTop1 = deployTop1
    }
  }

  package var format = 1
  package var model: String
  package var trainingSHA256: String
  package var deploySHA256: String
  package var blocks: [Block]
  package var comparison: Comparison?
  package var tolerances: RunConfig.Fuse
  /// What is outside its tolerance; empty when the certificate holds.
  package var failures: [String] = []

  package var holds: Bool { failures.isEmpty }
  package var worstBlockError: Double {
    blocks.map { max($0.weightError, $0.outputError) }.max() ?? 0
  }

  /// Compares `deploy` with `training` block by block and judges; both under published names.
  package init(
    model: String, training: NamedTensors, deploy: NamedTensors, comparison: Comparison?,
    tolerances: RunConfig.Fuse
  ) throws(DeploymentError) {
    self.model = model
    self.comparison = comparison
    self.tolerances = tolerances
    trainingSHA256 = training.weightsSHA256()
    deploySHA256 = deploy.weightsSHA256()
    blocks = []
    let keys = ModelFile.blockKeys(of: training)
    guard keys == ModelFile.blockKeys(of: deploy) else {
      throw DeploymentError(
        .notEquivalent,
        "the two files have different blocks (\(keys.count) and "
          + "\(ModelFile.blockKeys(of: deploy).count)): they are not the same network")
    }
    for key in keys {
      blocks.append(try BlockComparison(key: key, training: training, deploy: deploy).result())
    }
    failures = judge(training: training, deploy: deploy)
  }

  private func judge(training: NamedTensors, deploy: NamedTensors) -> [String] {
    var failures = blocks.compactMap { block -> String? in
      // A NaN is within no tolerance, and must not hide behind the other error.
      let errors = [block.weightError, block.outputError]
      guard let error = errors.first(where: { !($0 <= tolerances.blockTolerance) }) else {
        return nil
      }
      return "\(block.key): relative error \(error) above \(tolerances.blockTolerance)"
    }
    // What the fuse takes over as it is.
    let copied = training.names.filter(Self.isCopied) + deploy.names.filter(Self.isCopied)
    for name in Set(copied).sorted() where training[name] != deploy[name] {
      failures.append("\(name) differs")
    }
    guard let comparison else { return failures }
    let relative = comparison.largestDifference / max(comparison.largestLogit, 1e-30)
    if !(relative <= tolerances.logitTolerance) {
      failures.append(
        "logits differ by \(comparison.largestDifference), \(relative) of the largest logit, above "
          + "\(tolerances.logitTolerance)")
    }
    let agreement = Double(comparison.agreement) / Double(max(comparison.count, 1))
    if !(agreement >= tolerances.minimumAgreement) {
      failures.append(
        "both forms agree on \(comparison.agreement) of \(comparison.count) images, below "
          + "\(tolerances.minimumAgreement)")
    }
    return failures
  }

  private static func isCopied(_ name: String) -> Bool {
    name.hasPrefix("linear.") || name.contains(".se.")
  }

  /// The contents of `certificate.json`.
  package func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // What is not finite must be said, not refused: such a certificate does not hold.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return Array(try encoder.encode(self)) + [0x0A]
  }
}

/// One block of both forms.
private struct BlockComparison {
  let key: String
  let training: NamedTensors
  let deploy: NamedTensors

  func result() throws(DeploymentError) -> FuseCertificate.Block {
    let fused = try Fuse.fusedBlock(key, of: training)
    let (shape, kernel) = try Fuse.values("\(key).rbr_reparam.weight", of: deploy, rank: 4)
    let (_, bias) = try Fuse.values("\(key).rbr_reparam.bias", of: deploy, rank: 1)
    guard shape == fused.shape, bias.count == fused.bias.count else {
      throw DeploymentError(
        .notEquivalent, "\(key): deploy kernel of shape \(shape), expected \(fused.shape)")
    }
    return FuseCertificate.Block(
      key: key,
      weightError: relativeError(
        kernel.map(Double.init) + bias.map(Double.init), fused.kernel + fused.bias),
      outputError: try outputError(kernel: kernel, bias: bias, shape: shape))
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
    // Input channels of all groups: an identity block has as many as outputs. Without an identity
    // the groups see the same values, which changes nothing about the comparison.
    let neighbourhood = (0..<max(inputs, outputs) * 9).map { _ in random.normal() }
    var (expected, actual): ([Double], [Double]) = ([], [])
    for output in 0..<outputs {
      // With an identity branch, output channel o belongs to the group that holds input o.
      let first = hasIdentity ? output / inputs * inputs : 0
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
