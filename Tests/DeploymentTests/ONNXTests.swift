import Deployment
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

@Suite struct ONNXTests {
  /// Strides 1 and 2 where a stage begins, groups, squeeze-and-excitation; images that are not square.
  static let networks: [Architecture] = [
    Architecture(stemWidth: 4, stemStride: 1, depths: [2, 1], widths: [6, 8], strides: [1, 2]),
    Architecture(stemWidth: 4, depths: [2, 2], widths: [8, 8], groups: [2: 2, 4: 4]),
    Architecture(stemWidth: 16, depths: [1, 1], widths: [16, 32], squeezeExcitation: true),
  ]

  static func description(_ network: Architecture) -> ModelDescription {
    ModelDescription(
      architecture: network, classes: 5, channels: 3, height: 11, width: 14,
      mean: [0.5, 0.25, 0.125], standardDeviation: [0.5, 0.25, 1], name: "tiny")
  }

  static func deployWeights(_ description: ModelDescription) -> NamedTensors {
    var tensors = NamedTensors()
    let table = ParameterTable.deploy(blocks: description.blocks, classes: description.classes)
    for (index, entry) in table.entries.enumerated() {
      tensors[entry.name] = Tensor(
        shape: entry.shape, testValues(entry.count, seed: UInt64(index + 1)))
    }
    return tensors
  }

  private static func bytes(
    _ description: ModelDescription, _ input: ONNX.Input = .normalised, classNames: [String] = []
  ) throws -> [UInt8] {
    try ONNX.bytes(
      of: deployWeights(description), description: description, input: input,
      classNames: classNames, producerVersion: "1.2")
  }

  @Test func theFileSaysWhatItIs() throws {
    let description = Self.description(Self.networks[0])
    let names = ["a", "b", "ć", "d e", "f"]
    let model = try ONNXModel(Self.bytes(description, classNames: names))
    #expect(model.fields.numbers(1) == [8])
    #expect(model.fields.texts(2) == ["repvgg"] && model.fields.texts(3) == ["1.2"])
    let operators = try model.fields.messages(8)
    #expect(operators.count == 1)
    #expect(operators[0].texts(1) == [""] && operators[0].numbers(2) == [17])
    #expect(
      model.inputs == [
        ONNXModel.Value(name: "images", elementType: 1, shape: ["batch", "3", "11", "14"])
      ])
    #expect(
      model.outputs == [ONNXModel.Value(name: "logits", elementType: 1, shape: ["batch", "5"])])
    var expected = description.metadata
    expected["input_values"] = "normalised"
    expected["weights_sha256"] = Self.deployWeights(description).weightsSHA256()
    expected["class_names"] = "a\nb\nć\nd e\nf"
    #expect(model.metadata == expected)
    #expect(model.metadata["name"] == "tiny")
  }

  @Test(arguments: networks) func everyBlockIsThere(network: Architecture) throws {
    let description = Self.description(network)
    let model = try ONNXModel(Self.bytes(description))
    let block =
      network.squeezeExcitation
      ? ["Conv", "GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Mul", "Relu"]
      : ["Conv", "Relu"]
    let blocks = description.blocks
    var types: [String] = []
    for _ in blocks { types += block }
    types += ["GlobalAveragePool", "Flatten", "Gemm"]
    #expect(model.nodes.map(\.type) == types)
    for shape in blocks {
      let convolution = try #require(model.node("\(shape.key).rbr_reparam"))
      #expect(
        convolution.attributes == [
          "dilations": [1, 1], "group": [shape.groups], "kernel_shape": [3, 3],
          "pads": [1, 1, 1, 1], "strides": [shape.stride, shape.stride],
        ])
      #expect(
        convolution.inputs.dropFirst() == [
          "\(shape.key).rbr_reparam.weight", "\(shape.key).rbr_reparam.bias",
        ])
    }
    #expect(model.node("features")?.attributes == ["axis": [1]])
    #expect(model.node("logits")?.attributes == ["transB": [1]])
    #expect(model.node("logits")?.outputs == ["logits"])
  }

  /// Names, shapes and bits.
  @Test(arguments: networks) func weightsAreTheSameBits(network: Architecture) throws {
    let description = Self.description(network)
    let (model, weights) = (
      try ONNXModel(Self.bytes(description)), Self.deployWeights(description)
    )
    #expect(Set(model.initializers.keys) == Set(weights.names))
    for (name, tensor) in weights {
      let initializer = try #require(model.initializers[name])
      #expect(initializer.shape == tensor.shape, "\(name)")
      #expect(tensor.withBytes { Array($0) } == initializer.bytes, "\(name)")
    }
  }

  @Test func theSameModelIsTheSameBytes() throws {
    let description = Self.description(Self.networks[1])
    let weights = Self.deployWeights(description)
    var reversed = NamedTensors()
    for name in weights.names.reversed() { reversed[name] = weights[name] }
    let first = try Self.bytes(description)
    #expect(try Self.bytes(description) == first)
    #expect(
      try ONNX.bytes(
        of: reversed, description: description, input: .normalised, producerVersion: "1.2") == first
    )
    #expect(try Self.bytes(description, .pixels) != first)
  }

  /// The graph, computed by the operators' definitions, gives the logits of the deploy network.
  @Test(arguments: networks) func theGraphComputesTheNetwork(network: Architecture) throws {
    let description = Self.description(network)
    let model = try ONNXModel(Self.bytes(description))
    let images = testTensor(
      images: 3, channels: 3, height: description.height, width: description.width)
    let graph = try model.run(images).values
    #expect(graph.count == 3 * description.classes)
    let (shape, pool) = (
      NetworkShape(
        blocks: description.blocks, classes: description.classes, shards: 1, shardCapacity: 3),
      WorkerPool(threads: 1)
    )
    let deploy = try DeployNetwork(
      shape: shape, tensors: Self.deployWeights(description), pool: pool)
    let logits = nhwc(images).withUnsafeBufferPointer { pixels -> [Double] in
      guard let base = pixels.baseAddress else { return [] }
      deploy.evaluate([ShardImages(pixels: base, count: 3)])
      return (0..<graph.count).map { Double(deploy.logits(shard: 0)[$0]) }
    }
    #expect(relativeError(logits, graph) < 1e-5)
  }

  /// Pixels into the one file are what their normalised values are into the other, border included.
  @Test func pixelsAreNormalisedInTheModel() throws {
    let description = Self.description(Self.networks[1])
    var pixels = testTensor(
      images: 2, channels: 3, height: description.height, width: description.width)
    pixels.values = pixels.values.map { ((($0 + 1) / 2) * 255).rounded() }
    var normalised = pixels
    for channel in 0..<3 {
      pixels.forEachPosition(ofChannel: channel) { place in
        normalised.values[place] =
          (pixels.values[place] / 255 - description.mean[channel])
          / description.standardDeviation[channel]
      }
    }
    let model = try ONNXModel(Self.bytes(description, .pixels))
    #expect(model.nodes.prefix(2).map(\.type) == ["Sub", "Div"])
    #expect(model.nodes[0].inputs == ["images", "input.mean"])
    #expect(model.initializers["input.mean"]?.shape == [1, 3, 1, 1])
    #expect(model.initializers["input.mean"]?.values == [127.5, 63.75, 31.875])
    #expect(model.initializers["input.standard_deviation"]?.values == [127.5, 63.75, 255])
    #expect(model.metadata["input_values"] == "pixels")
    let expected = try ONNXModel(Self.bytes(description)).run(normalised).values
    #expect(relativeError(try model.run(pixels).values, expected) < 1e-12)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let description = Self.description(Self.networks[0])
    var other = description
    other.classes = 6
    let weights = Self.deployWeights(description)
    let shapes = try #require(throws: DeploymentError.self) {
      try ONNX.bytes(of: weights, description: other, input: .normalised, producerVersion: "1")
    }
    #expect(shapes.description.contains("[5, 8]") && shapes.description.contains("[6, 8]"))
    let names = try #require(throws: DeploymentError.self) {
      try Self.bytes(description, classNames: ["a"])
    }
    #expect(names.description.contains("1 names of classes for a network of 5"))
  }
}
