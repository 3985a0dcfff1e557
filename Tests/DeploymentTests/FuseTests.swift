import Deployment
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

@Suite struct FuseTests {
  /// Networks with groups 1, 2 and 4, with and without identity, and statistics away from 0 and 1.
  static let histories: [ReferenceHistory] = [
    ReferenceHistory(
      architecture: Architecture(stemWidth: 4, depths: [2], widths: [6]), size: 9, batch: 3),
    ReferenceHistory(
      architecture: Architecture(
        stemWidth: 4, depths: [2, 2], widths: [8, 8], groups: [1: 2, 2: 2, 3: 4, 4: 4]), size: 17,
      batch: 4),
    ReferenceHistory(
      architecture: Architecture(
        stemWidth: 16, depths: [2], widths: [16], groups: [2: 2], squeezeExcitation: true),
      size: 9, batch: 3),
  ]

  private static let goldens = histories.map { $0.tensors() }

  static func states(_ index: Int) -> (training: NamedTensors, deploy: NamedTensors) {
    let golden = goldens[index]
    func group(_ prefix: String) -> NamedTensors {
      var tensors = NamedTensors()
      for (name, tensor) in golden where name.hasPrefix(prefix) {
        tensors[String(name.dropFirst(prefix.count))] = tensor
      }
      return tensors
    }
    return (group("final."), group("deploy."))
  }

  /// The oracle fuses by response: it knows nothing of equations 2–4.
  @Test(arguments: 0..<3) func fuseIsTheResponseOfTheBranches(index: Int) throws {
    let (training, expected) = Self.states(index)
    let deploy = try Fuse.deployTensors(from: training)
    #expect(Set(deploy.names) == Set(expected.names))
    for (name, tensor) in expected {
      let actual = try #require(deploy[name]?.floats).map(Double.init)
      let truth = try #require(tensor.floats).map(Double.init)
      #expect(relativeError(actual, truth) < 1e-6, "\(name)")
    }
  }

  @Test(arguments: 0..<3) func certificateHoldsForTheFuse(index: Int) throws {
    let (training, _) = Self.states(index)
    let deploy = try Fuse.deployTensors(from: training)
    let certificate = try FuseCertificate(
      model: "m", training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    #expect(certificate.holds, "\(certificate.failures)")
    #expect(certificate.worstBlockError < 2e-7)
    #expect(certificate.blocks.map(\.key).first == "stage0")
  }

  /// One wrong value anywhere makes the certificate fail and names the block.
  @Test(arguments: [
    "stage0.rbr_reparam.bias", "stage1.1.rbr_reparam.weight", "linear.weight",
    "stage0.se.down.weight", "stage1.1.se.up.bias",
  ])
  func certificateFindsAWrongValue(name: String) throws {
    let (training, _) = Self.states(2)
    var deploy = try Fuse.deployTensors(from: training)
    let tensor = try #require(deploy[name])
    var values = try #require(tensor.floats)
    values[values.count / 2] += 0.001
    deploy[name] = Tensor(shape: tensor.shape, values)
    let certificate = try FuseCertificate(
      model: "m", training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    #expect(!certificate.holds)
    let place = name.replacing(".rbr_reparam.bias", with: "")
      .replacing(".rbr_reparam.weight", with: "")
    #expect(certificate.failures.count == 1 && certificate.failures[0].contains(place))
  }

  @Test func certificateJudgesLogits() throws {
    let (training, _) = Self.states(0)
    let deploy = try Fuse.deployTensors(from: training)
    func failures(agreement: Int, difference: Double) throws -> [String] {
      try FuseCertificate(
        model: "m", training: training, deploy: deploy,
        comparison: FuseCertificate.Comparison(
          split: "test", count: 1000, agreement: agreement, largestDifference: difference,
          largestLogit: 10, trainingTop1: 0.9, deployTop1: 0.9), tolerances: RunConfig.Fuse()
      ).failures
    }
    #expect(try failures(agreement: 1000, difference: 1e-5).isEmpty)
    #expect(try failures(agreement: 998, difference: 1e-5).count == 1)
    #expect(try failures(agreement: 1000, difference: 0.1).count == 1)
    #expect(try failures(agreement: 1000, difference: .infinity).count == 1)
    #expect(try failures(agreement: 1000, difference: .nan).count == 1)
  }

  /// Squeeze-and-excitation is taken over bit for bit, and whole; where one form has none, both forms
  /// are not the same network.
  @Test func excitationIsTakenOverWhole() throws {
    let (training, _) = Self.states(2)
    var deploy = try Fuse.deployTensors(from: training)
    let names = training.names.filter { $0.contains(".se.") }
    #expect(names.count == 12)
    for name in names { #expect(deploy[name] == training[name]) }

    deploy["stage1.0.se.up.weight"] = nil
    let certificate = try FuseCertificate(
      model: "m", training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    #expect(certificate.failures == ["stage1.0.se.up.weight differs"])

    func refusal(_ change: (inout NamedTensors) -> Void) throws -> String {
      var tensors = training
      change(&tensors)
      let error = try #require(throws: DeploymentError.self) {
        try Fuse.deployTensors(from: tensors)
      }
      return error.description
    }
    for name in ["stage0.se.down.bias", "stage1.1.se.up.weight"] {
      #expect(try refusal { $0[name] = nil }.contains("\(name) is missing"))
    }
    #expect(
      try refusal { $0["stage0.se.up.bias"] = Tensor(shape: [3], [1, 2, 3]) }
        .contains("stage0.se.up.bias has shape [3], expected [16]"))
  }

  /// Both forms of a network with squeeze-and-excitation, whole, on the same images.
  @Test func deployLogitsAreTheTrainingLogits() throws {
    let history = Self.histories[2]
    let blocks = history.architecture.blocks(
      inputChannels: 3, height: history.size, width: history.size)
    let (images, classes) = (5, history.classes)
    let pool = WorkerPool(threads: 2)
    let training = TrainingNetwork(
      shape: NetworkShape(blocks: blocks, classes: classes, shards: 1, shardCapacity: images),
      pool: pool)
    try training.load(Self.states(2).training)
    let deploy = try training.fused()
    let pixels = nhwc(
      testTensor(images: images, channels: 3, height: history.size, width: history.size, seed: 7))
    let (left, right) = pixels.withUnsafeBufferPointer { pixels -> ([Double], [Double]) in
      guard let base = pixels.baseAddress else { return ([], [1]) }
      let batch = [ShardImages(pixels: base, count: images)]
      training.evaluate(batch)
      deploy.evaluate(batch)
      func values(_ logits: UnsafePointer<Float>) -> [Double] {
        (0..<images * classes).map { Double(logits[$0]) }
      }
      return (values(training.logits(shard: 0)), values(deploy.logits(shard: 0)))
    }
    #expect(relativeError(right, left) < 1e-6)
    #expect(left != right)
  }

  @Test func missingTensorsAreNamed() throws {
    let (training, _) = Self.states(0)
    for name in ["stage1.0.rbr_1x1.conv.weight", "stage0.rbr_dense.bn.running_var", "linear.bias"] {
      var tensors = training
      tensors[name] = nil
      let error = #expect(throws: DeploymentError.self) { try Fuse.deployTensors(from: tensors) }
      #expect(error?.description.contains(name) == true)
    }
  }
}
