import Deployment
import Foundation
import RunPlanning
import Tensors
import Testing

/// What a certificate says of each block.
@Suite struct CertificateTests {
  private func certificate(
    _ training: NamedTensors, _ deploy: NamedTensors
  ) throws -> FuseCertificate {
    try FuseCertificate(
      model: "m", training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
  }

  /// Of the fuse itself, on networks with groups 1, 2 and 4 and with squeeze-and-excitation.
  @Test(arguments: 0..<3) func honestErrorsAreThoseOfRounding(index: Int) throws {
    let (training, _) = FuseTests.states(index)
    let certificate = try certificate(training, Fuse.deployTensors(from: training))
    #expect(certificate.holds && certificate.format == 2)
    for block in certificate.blocks {
      #expect(block.meanDifference > 0 && block.meanDifference <= block.largestDifference)
      // Half a unit in the last place of the largest value.
      #expect(block.largestRelativeDifference <= 6e-8, "\(block)")
      #expect(block.excitationIsSame == (index == 2 ? true : nil))
    }
    #expect(certificate.meanDifference <= certificate.largestDifference)
  }

  /// One bit of one weight is found, named, and measured as what it is.
  @Test(arguments: 0..<3) func aFlippedBitIsFound(index: Int) throws {
    let (training, _) = FuseTests.states(index)
    let fused = try Fuse.deployTensors(from: training)
    let keys = ModelFile.blockKeys(of: training)
    for key in keys {
      var deploy = fused
      let name = "\(key).rbr_reparam.weight"
      let tensor = try #require(fused[name])
      var values = try #require(tensor.floats)
      let place = try #require(values.indices.max { abs(values[$0]) < abs(values[$1]) })
      let old = values[place]
      values[place] = Float(bitPattern: old.bitPattern ^ (1 << 15))
      deploy[name] = Tensor(shape: tensor.shape, values)
      let certificate = try certificate(training, deploy)
      #expect(certificate.failures.count == 1)
      #expect(certificate.failures.first?.hasPrefix("\(key): ") == true)
      let worst = try #require(
        certificate.blocks.max { $0.largestDifference < $1.largestDifference })
      #expect(worst.key == key)
      let change = Double(abs(values[place] - old))
      #expect(abs(worst.largestDifference - change) < 1e-3 * change)
      #expect(worst.largestRelativeDifference > 1e-6)
      #expect(worst.meanDifference < worst.largestDifference)
    }
  }

  /// A deploy kernel whose groups were mixed up computes another function, though each value is
  /// there: the check by outputs sees it on its own, with an identity branch and without.
  @Test func exchangedGroupsAreFound() throws {
    let (training, _) = FuseTests.states(1)
    let fused = try Fuse.deployTensors(from: training)
    for key in ["stage1.0", "stage1.1", "stage2.0"] {
      var deploy = fused
      let name = "\(key).rbr_reparam.weight"
      let tensor = try #require(fused[name])
      let values = try #require(tensor.floats)
      let half = values.count / 2
      deploy[name] = Tensor(shape: tensor.shape, Array(values[half...] + values[..<half]))
      let block = try #require(try certificate(training, deploy).blocks.first { $0.key == key })
      #expect(block.outputError > 1e-3 && block.weightError > 1e-3)
    }
  }

  /// What is not a number is worse than anything.
  @Test func aNaNIsTheLargestDifference() throws {
    let (training, _) = FuseTests.states(0)
    var deploy = try Fuse.deployTensors(from: training)
    let bias = try #require(deploy["stage0.rbr_reparam.bias"])
    deploy["stage0.rbr_reparam.bias"] = Tensor(
      shape: bias.shape, [.nan] + [Float](repeating: 0, count: bias.count - 1))
    let certificate = try certificate(training, deploy)
    #expect(!certificate.holds)
    #expect(certificate.blocks[0].largestDifference.isNaN)
    #expect(String(decoding: try certificate.json(), as: UTF8.self).contains("\"nan\""))
  }

  /// A fuse in Float32, as other libraries do it, is honest enough.
  @Test(arguments: 0..<3) func aFuseInSinglePrecisionHolds(index: Int) throws {
    let (training, _) = FuseTests.states(index)
    var deploy = try Fuse.deployTensors(from: training)
    for key in ModelFile.blockKeys(of: training) {
      let (weight, bias) = try singlePrecisionFuse(of: key, training)
      deploy["\(key).rbr_reparam.weight"] = weight
      deploy["\(key).rbr_reparam.bias"] = bias
    }
    let certificate = try certificate(training, deploy)
    #expect(certificate.holds, "\(certificate.failures)")
  }

  private func singlePrecisionFuse(
    of key: String, _ tensors: NamedTensors
  ) throws -> (weight: Tensor, bias: Tensor) {
    func floats(_ name: String) throws -> [Float] {
      try #require(tensors["\(key).\(name)"]?.floats)
    }
    let shape = try #require(tensors["\(key).rbr_dense.conv.weight"]?.shape)
    let (outputs, inputs) = (shape[0], shape[1])
    var kernel = [Float](repeating: 0, count: outputs * inputs * 9)
    var bias = [Float](repeating: 0, count: outputs)
    func add(_ norm: String, _ weights: (Int, Int, Int) -> Float) throws {
      let (scale, shift) = (try floats("\(norm).weight"), try floats("\(norm).bias"))
      let (mean, variance) = (
        try floats("\(norm).running_mean"), try floats("\(norm).running_var")
      )
      for output in 0..<outputs {
        let factor = scale[output] / (variance[output] + 1e-5).squareRoot()
        bias[output] += shift[output] - mean[output] * factor
        for input in 0..<inputs {
          for tap in 0..<9 {
            kernel[(output * inputs + input) * 9 + tap] += weights(output, input, tap) * factor
          }
        }
      }
    }
    let dense = try floats("rbr_dense.conv.weight")
    let pointwise = try floats("rbr_1x1.conv.weight")
    try add("rbr_dense.bn") { dense[($0 * inputs + $1) * 9 + $2] }
    try add("rbr_1x1.bn") { $2 == 4 ? pointwise[$0 * inputs + $1] : 0 }
    if tensors["\(key).rbr_identity.weight"] != nil {
      try add("rbr_identity") { $2 == 4 && $1 == $0 % inputs ? 1 : 0 }
    }
    return (Tensor(shape: shape, kernel), Tensor(shape: [outputs], bias))
  }
}
