import RepVGGModel
import RunPlanning
import Tensors

/// Re-parameterisation: three branches with BatchNorm become one 3x3 convolution with bias
/// (RepVGG, section 3.3, equations 2–4; derivation in docs/numerics.md).
package enum Fuse {
  /// BatchNorm's ε of the published code.
  package static let epsilon = 1e-5

  /// A fused block in Float64: kernel [cout][cin / groups][3][3] and bias [cout].
  package struct Block: Sendable {
    package var kernel: [Double]
    package var bias: [Double]
    package var shape: [Int]
  }

  /// Deploy weights under published names, rounded once from Float64.
  ///
  /// `training`: training-form tensors under published names. Squeeze-and-excitation and the
  /// classifier are taken over as they are.
  package static func deployTensors(
    from training: NamedTensors, epsilon: Double = epsilon
  ) throws(DeploymentError) -> NamedTensors {
    var deploy = NamedTensors()
    for key in ModelFile.blockKeys(of: training) {
      let block = try fusedBlock(key, of: training, epsilon: epsilon)
      deploy["\(key).rbr_reparam.weight"] = Tensor(shape: block.shape, block.kernel.map(Float.init))
      deploy["\(key).rbr_reparam.bias"] = Tensor(
        shape: [block.bias.count], block.bias.map(Float.init))
      try copyExcitation(of: key, from: training, channels: block.bias.count, into: &deploy)
    }
    for name in ["linear.weight", "linear.bias"] {
      guard let tensor = training[name] else { throw missing(name) }
      deploy[name] = tensor
    }
    return deploy
  }

  /// Takes over a block's squeeze-and-excitation, all of it or none.
  private static func copyExcitation(
    of key: String, from training: NamedTensors, channels: Int, into deploy: inout NamedTensors
  ) throws(DeploymentError) {
    let names = ["down.weight", "down.bias", "up.weight", "up.bias"].map { "\(key).se.\($0)" }
    guard names.contains(where: { training[$0] != nil }) else { return }
    let squeezed = try values(names[1], of: training, rank: 1).values.count
    let shapes = [[squeezed, channels, 1, 1], [squeezed], [channels, squeezed, 1, 1], [channels]]
    for (name, expected) in zip(names, shapes) {
      let (shape, _) = try values(name, of: training, rank: expected.count)
      guard shape == expected else {
        throw DeploymentError(
          .badModel, "\(name) has shape \(shape), expected \(expected); check the file")
      }
      deploy[name] = training[name]
    }
  }

  /// K = Σ K_b·t_b with the 1x1 kernel in the middle and the identity as K[i, i mod (C/g), 1, 1] = 1;
  /// b = Σ (β_b − μ_b·t_b); t_b = γ_b / √(v_b + ε).
  package static func fusedBlock(
    _ key: String, of training: NamedTensors, epsilon: Double = epsilon
  ) throws(DeploymentError) -> Block {
    let (shape, dense) = try values("\(key).rbr_dense.conv.weight", of: training, rank: 4)
    let (pointwiseShape, pointwise) = try values(
      "\(key).rbr_1x1.conv.weight", of: training, rank: 4)
    let (outputs, inputs) = (shape[0], shape[1])
    let hasIdentity = training["\(key).rbr_identity.weight"] != nil
    guard outputs > 0, inputs > 0, !hasIdentity || outputs % inputs == 0 else {
      throw DeploymentError(
        .badModel, "\(key): a kernel of shape \(shape) belongs to no block; check the file")
    }
    guard shape[2...] == [3, 3], pointwiseShape == [outputs, inputs, 1, 1] else {
      throw DeploymentError(
        .badModel,
        "\(key): kernels of shapes \(shape) and \(pointwiseShape); expected [cout, cin/g, 3, 3] "
          + "and [cout, cin/g, 1, 1]")
    }
    var block = Block(
      kernel: [Double](repeating: 0, count: dense.count),
      bias: [Double](repeating: 0, count: outputs), shape: shape)
    let denseNorm = try Norm(
      "\(key).rbr_dense.bn", of: training, channels: outputs, epsilon: epsilon)
    let pointwiseNorm = try Norm(
      "\(key).rbr_1x1.bn", of: training, channels: outputs, epsilon: epsilon)
    for output in 0..<outputs {
      for place in 0..<inputs * 9 {
        block.kernel[output * inputs * 9 + place] =
          Double(dense[output * inputs * 9 + place]) * denseNorm.factors[output]
      }
      for input in 0..<inputs {
        block.kernel[(output * inputs + input) * 9 + 4] +=
          Double(pointwise[output * inputs + input]) * pointwiseNorm.factors[output]
      }
      block.bias[output] = denseNorm.biases[output] + pointwiseNorm.biases[output]
    }
    if hasIdentity {
      let norm = try Norm("\(key).rbr_identity", of: training, channels: outputs, epsilon: epsilon)
      for output in 0..<outputs {
        block.kernel[(output * inputs + output % inputs) * 9 + 4] += norm.factors[output]
        block.bias[output] += norm.biases[output]
      }
    }
    return block
  }

  /// One BatchNorm in evaluation: z·factor + bias.
  struct Norm {
    var factors: [Double] = []
    var biases: [Double] = []

    init(
      _ prefix: String, of tensors: NamedTensors, channels: Int, epsilon: Double = Fuse.epsilon
    ) throws(DeploymentError) {
      func vector(_ member: String) throws(DeploymentError) -> [Float] {
        let (shape, values) = try Fuse.values("\(prefix).\(member)", of: tensors, rank: 1)
        guard shape == [channels] else {
          throw DeploymentError(
            .badModel, "\(prefix).\(member) has shape \(shape), expected [\(channels)]")
        }
        return values
      }
      let (scale, shift) = (try vector("weight"), try vector("bias"))
      let (mean, variance) = (try vector("running_mean"), try vector("running_var"))
      for channel in 0..<channels {
        let factor = Double(scale[channel]) / (Double(variance[channel]) + epsilon).squareRoot()
        factors.append(factor)
        biases.append(Double(shift[channel]) - Double(mean[channel]) * factor)
      }
    }
  }

  static func values(
    _ name: String, of tensors: NamedTensors, rank: Int
  ) throws(DeploymentError) -> (shape: [Int], values: [Float]) {
    guard let tensor = tensors[name] else { throw missing(name) }
    guard let values = tensor.floats, tensor.shape.count == rank else {
      throw DeploymentError(
        .badModel,
        "\(name) is \(tensor.elementType) of shape \(tensor.shape), expected F32 with \(rank) "
          + "dimensions")
    }
    return (tensor.shape, values)
  }

  private static func missing(_ name: String) -> DeploymentError {
    DeploymentError(.badModel, "\(name) is missing; training-form weights have it")
  }
}

extension TrainingNetwork {
  /// The same function as a `DeployNetwork`, for batches of the same size.
  package func fused() throws -> DeployNetwork {
    try DeployNetwork(shape: shape, tensors: Fuse.deployTensors(from: tensors()), pool: pool)
  }
}
