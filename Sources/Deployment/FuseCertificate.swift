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
    /// Largest |deploy − Float64 fuse| of a value of kernel or bias.
    package var largestDifference: Double
    /// The same, relative to the largest value of the kernel or of the bias, whichever is worse.
    package var largestRelativeDifference: Double
    /// Mean of |deploy − Float64 fuse| over kernel and bias.
    package var meanDifference: Double
    /// Whether squeeze-and-excitation is the same bits in both forms; nil for a block without.
    package var excitationIsSame: Bool?
  }

  /// Something that lies beside the certificate, by the name of its file.
  package struct File: Sendable, Codable, Equatable {
    package var name: String
    /// Of all of the file's bytes.
    package var sha256: String

    package init(name: String, sha256: String) {
      (self.name, self.sha256) = (name, sha256)
    }
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

  /// 2 since blocks have largest and mean differences and files have hashes; all of format 1 is
  /// still there under its names.
  package var format = 2
  package var model: String
  /// Of names, shapes and values (`NamedTensors.weightsSHA256`), however they are stored.
  package var trainingSHA256: String
  package var deploySHA256: String
  /// Of the files' bytes, where there are files.
  package var trainingFileSHA256: String?
  package var deployFileSHA256: String?
  /// What else was delivered with it.
  package var files: [File] = []
  package var blocks: [Block]
  package var comparison: Comparison?
  package var tolerances: RunConfig.Fuse
  /// What is outside its tolerance; empty when the certificate holds.
  package var failures: [String] = []

  package var holds: Bool { failures.isEmpty }
  package var worstBlockError: Double {
    // A NaN must not hide behind a number.
    let errors = blocks.flatMap { [$0.weightError, $0.outputError] }
    return errors.first(where: \.isNaN) ?? errors.max() ?? 0
  }

  /// Largest |deploy − Float64 fuse| of all blocks.
  package var largestDifference: Double { blocks.map(\.largestDifference).max() ?? 0 }

  /// Mean of |deploy − Float64 fuse| over blocks.
  package var meanDifference: Double {
    blocks.reduce(0) { $0 + $1.meanDifference } / Double(max(blocks.count, 1))
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
    var channels = 0
    for key in keys {
      let comparison = BlockComparison(
        key: key, training: training, deploy: deploy, inputChannels: channels)
      let (block, outputs) = try comparison.result()
      blocks.append(block)
      channels = outputs
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
