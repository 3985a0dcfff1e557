import Deployment
import RunPlanning
import Tensors
import Testing
import _TestSupport

@Suite struct ModelDescriptionTests {
  private static func file(
    _ network: Architecture, channels: Int = 3, form: ModelForm = .deploy,
    metadata: [String: String] = [:], change: (inout NamedTensors) -> Void = { _ in }
  ) throws -> ModelFile {
    let blocks = network.blocks(inputChannels: channels, height: 32, width: 32)
    let table: ParameterTable =
      form == .deploy
      ? .deploy(blocks: blocks, classes: 5) : .training(blocks: blocks, classes: 5)
    var tensors = NamedTensors()
    tensors.metadata = metadata
    for entry in table.entries {
      tensors[entry.name] =
        entry.kind == .batchCount
        ? Tensor(shape: [], integers: [1])
        : Tensor(shape: entry.shape, [Float](repeating: 0, count: entry.count))
    }
    change(&tensors)
    return try ModelFile(tensors, source: "f")
  }

  private static func refusal(_ file: ModelFile) throws -> String {
    let error = try #require(throws: DeploymentError.self) {
      try ModelDescription(of: file, source: "f")
    }
    return error.description
  }

  /// Everything that a file of ours says, strides and all, comes back.
  @Test(arguments: [ModelForm.training, .deploy])
  func metadataAreReadBack(form: ModelForm) throws {
    let network = Architecture(
      stemWidth: 16, stemStride: 1, depths: [2, 1], widths: [16, 32], strides: [1, 2],
      groups: [2: 2, 3: 16], squeezeExcitation: true)
    let written = ModelDescription(
      architecture: network, classes: 5, channels: 2, height: 28, width: 31, mean: [0.1, 1e-3],
      standardDeviation: [0.3, 2], name: "quoted \"name\"")
    #expect(
      written.metadata["network"]
        == #"{"depths":[2,1],"groups":{"2":2,"3":16},"squeeze_excitation":true,"stem":16,"#
        + #""stem_stride":1,"strides":[1,2],"widths":[16,32]}"#)
    let file = try Self.file(network, channels: 2, form: form, metadata: written.metadata)
    #expect(try ModelDescription(of: file, source: "f") == written)
  }

  @Test func strangersOfTheZooAreRecognised() throws {
    for name in ["RepVGG-A0", "RepVGG-B1g4"] {
      let member = try #require(Architecture.zoo.first { $0.name == name })
      let found = try ModelDescription(of: Self.file(member), source: "f")
      #expect(found.architecture == member)
      #expect(found.classes == 5 && found.channels == 3)
      #expect(found.height == 224 && found.width == 224 && found.name == nil)
      #expect(found.mean == [0.485, 0.456, 0.406])
      #expect(found.standardDeviation == [0.229, 0.224, 0.225])
    }
  }

  /// Other networks by their shapes; stride 1 is seen where there is an identity branch.
  @Test func strangersAreReadFromTheirShapes() throws {
    let network = Architecture(
      stemWidth: 16, depths: [2, 3], widths: [16, 32], strides: [1, 2], groups: [2: 4, 4: 2],
      squeezeExcitation: true)
    let training = try ModelDescription(of: Self.file(network, form: .training), source: "f")
    #expect(training.architecture == network)
    var published = network
    published.strides = [2, 2]
    let deploy = try ModelDescription(of: Self.file(network, channels: 1), source: "f")
    #expect(deploy.architecture == published)
    #expect(deploy.channels == 1 && deploy.mean == [0] && deploy.standardDeviation == [1])
  }

  @Test func whatDoesNotFitIsNamedByBlock() throws {
    let network = Architecture(stemWidth: 8, depths: [2], widths: [8])
    let missing = try Self.refusal(
      Self.file(network) { $0["stage1.1.rbr_reparam.bias"] = nil })
    #expect(missing.contains("stage1.1.rbr_reparam.bias"), "\(missing)")
    let surplus = try Self.refusal(
      Self.file(network) {
        $0["stage1.0.rbr_identity.weight"] = Tensor(shape: [1], [1])
      })
    #expect(surplus.contains("stage1.0.rbr_identity.weight not expected"), "\(surplus)")
    let shape = try Self.refusal(
      Self.file(network) { $0["stage1.0.rbr_reparam.bias"] = Tensor(shape: [2], [1, 2]) })
    #expect(shape.contains("stage1.0.rbr_reparam.bias has shape [2]"), "\(shape)")
    #expect(shape.contains("needs [8]"), "\(shape)")
    let type = try Self.refusal(
      Self.file(network) { $0["linear.bias"] = Tensor(shape: [5], integers: [1, 2, 3, 4, 5]) })
    #expect(type.contains("linear.bias has element type I64, expected F32"), "\(type)")
    let chain = try Self.refusal(
      Self.file(network) {
        $0["stage1.1.rbr_reparam.weight"] = Tensor(
          shape: [8, 3, 3, 3], [Float](repeating: 0, count: 216))
      })
    #expect(chain.contains("stage1.1 has a kernel of shape [8, 3, 3, 3] for 8"), "\(chain)")
    #expect(try Self.refusal(Self.file(network) { $0["linear.weight"] = nil }).contains("linear"))
  }

  /// Text of a stranger's sizes nothing and traps nowhere.
  @Test(arguments: badMetadata) func badMetadataAreRefused(key: String, text: String) throws {
    let network = Architecture(stemWidth: 8, depths: [2], widths: [8])
    let refusal = try Self.refusal(Self.file(network, metadata: [key: text]))
    #expect(refusal.hasPrefix("f: "))
    #expect(!refusal.contains("\n"))
  }

  private static let badMetadata: [(String, String)] = [
    ("input", "3x0x224"), ("input", "3x224"), ("input", "3x224x99999999999999999999"),
    ("input", "999999999x224x224"), ("mean", "[0.5]"), ("mean", "0.5"), ("mean", "[1, 2, 1e999]"),
    ("standard_deviation", "[1, 1, 0]"), ("network", "{}"), ("network", "\u{0}\n"),
    ("network", network(depths: "[]", widths: "[]")), ("network", network(depths: "[999999999]")),
    ("network", network(depths: "[-1]")), ("network", network(widths: "[0]")),
    ("network", network(widths: "[8,8]")), ("network", network(stride: "3")),
    ("network", network(groups: "{\"1\":0}")), ("network", network(groups: "{\"1\":3}")),
    ("network", network(groups: "{\"-1\":2}")), ("network", network(groups: "{\"x\":2}")),
    ("network", network(depths: "[3]")),
  ]

  private static func network(
    depths: String = "[2]", widths: String = "[8]", stride: String = "2", groups: String = "{}"
  ) -> String {
    "{\"depths\":\(depths),\"groups\":\(groups),\"squeeze_excitation\":false,\"stem\":8,"
      + "\"stem_stride\":\(stride),\"strides\":[2],\"widths\":\(widths)}"
  }

  @Test func theMetadataOfTheTestAreGoodWhereNothingIsChanged() throws {
    let network = Architecture(stemWidth: 8, depths: [2], widths: [8])
    let file = try Self.file(network, metadata: ["network": Self.network()])
    #expect(try ModelDescription(of: file, source: "f").architecture == network)
  }
}
