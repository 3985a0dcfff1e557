import Deployment
import RunPlanning
import Tensors
import Testing

@Suite struct KeyNamesTests {
  @Test(arguments: [
    (
      "stage0.rbr_dense.conv.weight", "stem.conv_kxk.conv.weight",
      "backbone.stem.branch_3x3.conv.weight"
    ),
    (
      "stage1.0.rbr_dense.bn.running_var", "stages.0.0.conv_kxk.bn.running_var",
      "backbone.stage_1.0.branch_3x3.norm.running_var"
    ),
    (
      "stage3.13.rbr_1x1.conv.weight", "stages.2.13.conv_1x1.conv.weight",
      "backbone.stage_3.13.branch_1x1.conv.weight"
    ),
    (
      "stage2.1.rbr_identity.bias", "stages.1.1.identity.bias",
      "backbone.stage_2.1.branch_norm.bias"
    ),
    (
      "stage4.0.rbr_reparam.bias", "stages.3.0.reparam_conv.bias",
      "backbone.stage_4.0.branch_reparam.bias"
    ),
    (
      "stage1.0.se.down.weight", "stages.0.0.attn.fc1.weight",
      "backbone.stage_1.0.se_layer.conv1.conv.weight"
    ),
    ("stage0.se.up.bias", "stem.attn.fc2.bias", "backbone.stem.se_layer.conv2.conv.bias"),
    ("linear.weight", "head.fc.weight", "head.fc.weight"),
  ])
  func translations(published: String, timm: String, mmpretrain: String) {
    let names: [KeyScheme: String] = [
      .published: published, .timm: timm, .mmpretrain: mmpretrain,
    ]
    for (from, name) in names {
      for (to, expected) in names {
        #expect(from.translate(name, to: to) == expected)
        for wrapper in ["module.", "state_dict.", "model.module.", "_orig_mod."] {
          #expect(from.translate(wrapper + name, to: to) == expected)
        }
      }
    }
  }

  /// Every tensor of every network of the zoo, there and back, in both forms.
  @Test(arguments: Architecture.zoo) func zooRoundTrips(architecture: Architecture) throws {
    let blocks = architecture.blocks(inputChannels: 3, height: 64, width: 64)
    for table in [
      ParameterTable.training(blocks: blocks, classes: 10),
      ParameterTable.deploy(blocks: blocks, classes: 10),
    ] {
      for scheme in KeyScheme.allCases {
        let names = try table.entries.map {
          try #require(KeyScheme.published.translate($0.name, to: scheme))
        }
        #expect(Set(names).count == names.count)
        #expect(KeyScheme.recognise(names) == scheme)
        #expect(names.map { scheme.translate($0, to: .published) } == table.entries.map(\.name))
      }
    }
  }

  @Test func strangeNamesAreRefused() throws {
    for name in [
      "", "stage0", "stage0.", "stage0.foo", "stageX.0.rbr_identity.weight", "conv1.weight",
    ] {
      #expect(KeyScheme.published.translate(name, to: .timm) == nil, "\(name)")
    }
    var tensors = NamedTensors()
    tensors["layer1.weight"] = Tensor(shape: [1], [1])
    let unknown = #expect(throws: DeploymentError.self) { try ModelFile(tensors, source: "f") }
    #expect(unknown?.description.contains("no RepVGG weights") == true)
    tensors = NamedTensors()
    tensors["stage0.rbr_reparam.weight"] = Tensor(shape: [1], [1])
    let deploy = try ModelFile(tensors, source: "f")
    #expect(deploy.form == .deploy)
    let wrong = #expect(throws: DeploymentError.self) {
      try deploy.require(.training, source: "f")
    }
    #expect(
      wrong?.description == "f: these are deploy weights; this command needs training weights")
    tensors["stage0.rbr_dense.conv.weight"] = Tensor(shape: [1], [1])
    #expect(throws: DeploymentError.self) { try ModelFile(tensors, source: "f") }
  }

  @Test func aNetworkBehindTwoPrefixesIsRefused() throws {
    var tensors = NamedTensors()
    tensors["stage0.rbr_reparam.weight"] = Tensor(shape: [1], [1])
    tensors["module.stage0.rbr_reparam.weight"] = Tensor(shape: [1], [1])
    let error = #expect(throws: DeploymentError.self) { try ModelFile(tensors, source: "f") }
    #expect(error?.description.contains("f: holds stage0.rbr_reparam.weight twice") == true)
  }

  /// Members are told from each other by shapes alone, in either form.
  @Test func publishedNetworksAreRecognised() throws {
    for name in ["RepVGG-A0", "RepVGG-B1g4"] {
      let member = try #require(Architecture.zoo.first { $0.name == name })
      let blocks = member.blocks(inputChannels: 3, height: 64, width: 64)
      for table in [
        ParameterTable.training(blocks: blocks, classes: 7),
        ParameterTable.deploy(blocks: blocks, classes: 7),
      ] {
        var tensors = NamedTensors()
        for entry in table.entries {
          tensors[entry.name] =
            entry.kind == .batchCount
            ? Tensor(shape: [], integers: [1])
            : Tensor(shape: entry.shape, [Float](repeating: 0, count: entry.count))
        }
        let file = try ModelFile(tensors, source: "f")
        let found = try #require(file.publishedNetwork)
        #expect(found.architecture.name == name && found.classes == 7)
        #expect(
          Architecture.zoo.filter { file.holds($0, classes: 7) }.map(\.name) == [name])
        tensors["stage0.rbr_dense.bn.bias"] = nil
        tensors["stage0.rbr_reparam.bias"] = nil
        #expect(try ModelFile(tensors, source: "f").publishedNetwork == nil)
      }
    }
  }

  @Test func blocksComeInForwardOrder() {
    var tensors = NamedTensors()
    for key in ["stage3.10", "stage0", "stage3.9", "stage1.0"] {
      tensors["\(key).rbr_dense.conv.weight"] = Tensor(shape: [1], [1])
    }
    #expect(ModelFile.blockKeys(of: tensors) == ["stage0", "stage1.0", "stage3.9", "stage3.10"])
  }
}
