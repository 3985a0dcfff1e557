import RunPlanning
import Tensors

/// The deploy network as an ONNX model: one input `images`, [batch, channels, height, width] Float32, and
/// one output `logits`, [batch, classes] Float32.
///
/// The batch is free. Height and width are fixed, though the network would take others: its accuracy was
/// measured at one size, runtimes plan their memory and kernels for it, and they refuse images that
/// somebody forgot to resize. Another size is another file.
package enum ONNX {
  /// What the model takes for images.
  package enum Input: String, Sendable, CaseIterable {
    /// (x / 255 - mean) / standard deviation of each channel.
    case normalised
    /// The values 0…255 of the channels (three are red, green and blue) as Float32; the normalisation
    /// is part of the model.
    case pixels
  }

  package static let operatorSet = 17
  package static let inputName = "images"
  package static let outputName = "logits"
  /// A protocol-buffers message ends here.
  private static let largestFile = Int(Int32.max)

  /// The file's bytes, the same for the same arguments.
  ///
  /// - Parameters:
  ///   - deploy: deploy weights under published names, which the model's tensors carry too.
  ///   - description: the network that they belong to, and the size of its images.
  ///   - classNames: by label; none where they are not known.
  /// - Throws: `.badModel` where the weights are not the network's, the names are not as many as the
  ///   classes, or the model is too large for the format.
  package static func bytes(
    of deploy: NamedTensors, description: ModelDescription, input: Input,
    classNames: [String] = [], producerVersion: String
  ) throws(DeploymentError) -> [UInt8] {
    try description.requireFit(deploy, form: .deploy, source: "deploy weights")
    guard classNames.isEmpty || classNames.count == description.classes else {
      throw DeploymentError(
        .badModel,
        "\(classNames.count) names of classes for a network of \(description.classes) classes; "
          + "give one each, or none")
    }
    let graph = Graph(deploy, description: description, input: input)
    let metadata = metadata(deploy, description, input, classNames)
    let model = ONNXMessage.model(
      graph: graph.message(), operatorSet: operatorSet, producer: "repvgg",
      producerVersion: producerVersion, metadata: metadata)
    guard model.byteCount <= largestFile else {
      throw DeploymentError(
        .badModel,
        "the model takes \(model.byteCount) bytes, and an ONNX file holds at most \(largestFile); "
          + "use the safetensors file")
    }
    return model.bytes()
  }

  /// What somebody who finds the file alone wants to know, by the byte order of the keys.
  private static func metadata(
    _ deploy: NamedTensors, _ description: ModelDescription, _ input: Input, _ classNames: [String]
  ) -> [(key: String, value: String)] {
    var metadata = description.metadata
    metadata["input_values"] = input.rawValue
    metadata["weights_sha256"] = deploy.weightsSHA256()
    if !classNames.isEmpty { metadata["class_names"] = classNames.joined(separator: "\n") }
    return metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      .map { (key: $0.key, value: $0.value) }
  }
}

/// The nodes in the order in which they are computed. Every node's output carries the node's name.
private struct Graph {
  private let description: ModelDescription
  private let input: ONNX.Input
  private var nodes: [ProtobufMessage] = []
  private var initializers: [ProtobufMessage] = []

  init(_ deploy: NamedTensors, description: ModelDescription, input: ONNX.Input) {
    self.description = description
    self.input = input
    let blocks = description.blocks
    var current = ONNX.inputName
    if input == .pixels { current = normalise(current) }
    for block in blocks { current = append(block, to: current) }
    current = append("GlobalAveragePool", "pool", [current])
    current = append("Flatten", "features", [current], [ONNXMessage.attribute("axis", 1)])
    _ = append(
      "Gemm", ONNX.outputName, [current, "linear.weight", "linear.bias"],
      [ONNXMessage.attribute("transB", 1)])
    for entry in ParameterTable.deploy(blocks: blocks, classes: description.classes).entries {
      guard let tensor = deploy[entry.name] else { continue }
      initializers.append(ONNXMessage.tensor(entry.name, tensor))
    }
  }

  func message() -> ProtobufMessage {
    let channels =
      description.channels == 3 ? "red, green, blue" : "\(description.channels) channels"
    let values =
      input == .pixels
      ? "values 0...255"
      : "(x / 255 - mean) / standard_deviation of each channel, see the metadata"
    return ONNXMessage.graph(
      name: description.name ?? description.architecture.name, nodes: nodes,
      initializers: initializers,
      input: ONNXMessage.value(
        ONNX.inputName, shape: [description.channels, description.height, description.width],
        note: "\(channels); \(values)"),
      output: ONNXMessage.value(
        ONNX.outputName, shape: [description.classes], note: "before the softmax"))
  }

  private mutating func append(
    _ type: String, _ name: String, _ inputs: [String], _ attributes: [ProtobufMessage] = []
  ) -> String {
    nodes.append(ONNXMessage.node(type, name: name, inputs: inputs, attributes: attributes))
    return name
  }

  /// (x - 255 mean) / (255 standard deviation), in front of the first convolution.
  ///
  /// Not folded into its weights, which would be right inside an image and wrong at its border: the
  /// convolution pads with zeros of normalised values, that is with the mean colour, while folded
  /// weights would find zeros of pixels there, which are black.
  private mutating func normalise(_ images: String) -> String {
    func constant(_ name: String, _ values: [Double]) -> ProtobufMessage {
      let scaled = values.map { Float(255 * $0) }
      return ONNXMessage.tensor(name, Tensor(shape: [1, scaled.count, 1, 1], scaled))
    }
    initializers.append(constant("input.mean", description.mean))
    initializers.append(constant("input.standard_deviation", description.standardDeviation))
    let centred = append("Sub", "input.centred", [images, "input.mean"])
    return append("Div", "input.normalised", [centred, "input.standard_deviation"])
  }

  /// Convolution, squeeze-and-excitation where the block has it, ReLU.
  private mutating func append(_ block: BlockShape, to input: String) -> String {
    var output = convolution(
      "\(block.key).rbr_reparam", of: input, kernel: 3, stride: block.stride, groups: block.groups)
    if block.squeezeChannels > 0 {
      let name = "\(block.key).se"
      var factors = append("GlobalAveragePool", "\(name).pool", [output])
      factors = convolution("\(name).down", of: factors, kernel: 1)
      factors = append("Relu", "\(name).relu", [factors])
      factors = convolution("\(name).up", of: factors, kernel: 1)
      factors = append("Sigmoid", "\(name).sigmoid", [factors])
      output = append("Mul", "\(name).scaled", [output, factors])
    }
    return append("Relu", "\(block.key).relu", [output])
  }

  private mutating func convolution(
    _ name: String, of input: String, kernel: Int, stride: Int = 1, groups: Int = 1
  ) -> String {
    append(
      "Conv", name, [input, "\(name).weight", "\(name).bias"],
      [
        ONNXMessage.attribute("dilations", [1, 1]), ONNXMessage.attribute("group", groups),
        ONNXMessage.attribute("kernel_shape", [kernel, kernel]),
        ONNXMessage.attribute("pads", [Int](repeating: kernel / 2, count: 4)),
        ONNXMessage.attribute("strides", [stride, stride]),
      ])
  }
}
