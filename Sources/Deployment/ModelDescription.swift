import RunPlanning
import Tensors

/// What a file of weights tells of its network: enough to build it and to feed it images.
///
/// Metadata come first, as our artifacts carry them. Where they are silent, the network is the member of
/// the zoo that has these tensors, or else what their shapes imply; and images are those of the
/// published evaluation: 224 x 224 pixels, three channels normalised with ImageNet's means and standard
/// deviations.
package struct ModelDescription: Sendable, Equatable {
  package var architecture: Architecture
  package var classes: Int
  package var channels: Int
  /// Pixels of the images that it was trained for.
  package var height: Int
  package var width: Int
  /// Of each channel: the network sees (x / 255 - mean) / standard deviation.
  package var mean: [Double]
  package var standardDeviation: [Double]
  /// Of the run that made it.
  package var name: String?

  /// `mean` and `standardDeviation`: one for each channel.
  package init(
    architecture: Architecture, classes: Int, channels: Int, height: Int, width: Int,
    mean: [Double], standardDeviation: [Double], name: String? = nil
  ) {
    precondition(
      mean.count == channels && standardDeviation.count == channels, "a value for each channel")
    self.architecture = architecture
    self.classes = classes
    self.channels = channels
    self.height = height
    self.width = width
    self.mean = mean
    self.standardDeviation = standardDeviation
    self.name = name
  }

  /// The network's blocks for images of its size.
  package var blocks: [BlockShape] {
    architecture.blocks(inputChannels: channels, height: height, width: width)
  }

  /// Reads a file's metadata and shapes, and holds all its tensors against what they say.
  ///
  /// - Parameter source: the file's name, for messages.
  /// - Throws: `.badModel` where metadata cannot be read, or where tensors are missing, surplus, or of
  ///   another shape or type than the network's.
  package init(of file: ModelFile, source: String) throws(DeploymentError) {
    let text = FileMetadata(file.tensors.metadata, source: source)
    guard let classes = file.tensors["linear.weight"]?.shape.first, classes > 0 else {
      throw DeploymentError(.badModel, "\(source): linear.weight is missing or has no classes")
    }
    let input = try text.input()
    let stem = try file.kernelShape(of: "stage0", source: source)
    let channels = input?.channels ?? stem[1]
    let architecture =
      if let spelled = try text.architecture(channels: channels) {
        spelled
      } else if let published = file.publishedNetwork {
        published.architecture
      } else {
        try file.impliedArchitecture(channels: channels, source: source)
      }
    // ImageNet's, as the published code has them; other channels are taken as fractions.
    let published = channels == 3
    self.init(
      architecture: architecture, classes: classes, channels: channels,
      height: input?.height ?? 224, width: input?.width ?? 224,
      mean: try text.numbers("mean", count: channels)
        ?? (published
          ? [0.485, 0.456, 0.406] : [Double](repeating: 0, count: channels)),
      standardDeviation: try text.numbers("standard_deviation", count: channels, above: 0)
        ?? (published
          ? [0.229, 0.224, 0.225] : [Double](repeating: 1, count: channels)),
      name: text.values["name"])
    try requireFit(file.tensors, form: file.form, source: source)
  }
}

extension ModelDescription {
  /// Throws `.badModel` unless `tensors`, under published names, are all that this network has in
  /// `form`, each in its shape and type, and nothing else.
  package func requireFit(
    _ tensors: NamedTensors, form: ModelForm, source: String
  ) throws(DeploymentError) {
    let table: ParameterTable =
      form == .training
      ? .training(blocks: blocks, classes: classes) : .deploy(blocks: blocks, classes: classes)
    let expected = Set(table.entries.map(\.name))
    let missing = table.entries.map(\.name).filter { tensors[$0] == nil }
    let surplus = tensors.names.filter { !expected.contains($0) }
    guard missing.isEmpty && surplus.isEmpty else {
      throw DeploymentError(
        .badModel,
        "\(source): not the \(form.rawValue) weights of \(architecture.name)"
          + Self.list("missing", missing) + Self.list("surplus", surplus)
          + " (published names); check the file")
    }
    for entry in table.entries {
      guard let tensor = tensors[entry.name] else { continue }
      guard tensor.shape == entry.shape else {
        throw DeploymentError(
          .badModel,
          "\(source): \(entry.name) has shape \(tensor.shape), \(architecture.name) for \(classes) "
            + "classes needs \(entry.shape); check the file")
      }
      let isRightType = entry.kind == .batchCount ? tensor.integers != nil : tensor.floats != nil
      guard isRightType else {
        throw DeploymentError(
          .badModel,
          "\(source): \(entry.name) has element type \(tensor.elementType), expected "
            + (entry.kind == .batchCount ? "I64" : "F32") + "; convert it")
      }
    }
  }

  /// `; missing: stage1.0 (rbr_reparam.weight, rbr_reparam.bias), linear (bias)`: by block, so that what
  /// belongs together is read together.
  private static func list(_ title: String, _ names: [String]) -> String {
    guard !names.isEmpty else { return "" }
    var blocks: [(key: String, members: [String])] = []
    for name in names {
      let parts = name.split(separator: ".")
      let isStage = name.hasPrefix("stage") && !name.hasPrefix("stage0.")
      let key = parts.prefix(isStage ? 2 : 1).joined(separator: ".")
      let member = parts.dropFirst(isStage ? 2 : 1).joined(separator: ".")
      if blocks.last?.key == key {
        blocks[blocks.count - 1].members.append(member)
      } else {
        blocks.append((key, [member]))
      }
    }
    let shown = blocks.prefix(3).map { block in
      let more = block.members.count > 4 ? " and \(block.members.count - 4) more" : ""
      return "\(block.key) (\(block.members.prefix(4).joined(separator: ", "))\(more))"
    }
    let more = blocks.count > 3 ? " and \(blocks.count - 3) more blocks" : ""
    return "; \(title): \(shown.joined(separator: ", "))\(more)"
  }
}

extension ModelFile {
  /// Shape [cout, cin / groups, 3, 3] of a block's 3x3 kernel, all sizes above 0.
  fileprivate func kernelShape(of key: String, source: String) throws(DeploymentError) -> [Int] {
    let name = "\(key).\(form == .training ? "rbr_dense.conv" : "rbr_reparam").weight"
    guard let shape = tensors[name]?.shape else {
      throw DeploymentError(.badModel, "\(source): \(name) is missing; check the file")
    }
    guard shape.count == 4, shape.allSatisfy({ $0 > 0 }) else {
      throw DeploymentError(
        .badModel,
        "\(source): \(name) has shape \(shape), expected [cout, cin / groups, 3, 3]; check the file"
      )
    }
    return shape
  }

  /// The network that these names and shapes imply. Strides leave no trace in them but where a training
  /// block has an identity branch, and so stride 1; elsewhere a stage begins with stride 2, as all
  /// published networks' do.
  fileprivate func impliedArchitecture(
    channels: Int, source: String
  ) throws(DeploymentError) -> Architecture {
    func firstStride(_ key: String) -> Int {
      tensors["\(key).rbr_identity.weight"] == nil ? 2 : 1
    }
    var network = Architecture(
      stemWidth: 0, stemStride: firstStride("stage0"), depths: [], widths: [],
      squeezeExcitation: tensors.names.contains { $0.contains(".se.") })
    var (inputs, stage) = (channels, Substring("stage0"))
    for (layer, key) in ModelFile.blockKeys(of: tensors).enumerated() {
      let shape = try kernelShape(of: key, source: source)
      guard inputs % shape[1] == 0 else {
        throw DeploymentError(
          .badModel,
          "\(source): \(key) has a kernel of shape \(shape) for \(inputs) input channels; check "
            + "the file")
      }
      if inputs != shape[1] { network.groups[layer] = inputs / shape[1] }
      let ownStage = key.prefix { $0 != "." }
      if layer == 0 {
        network.stemWidth = shape[0]
      } else if ownStage == stage, !network.depths.isEmpty {
        network.depths[network.depths.count - 1] += 1
      } else {
        network.depths.append(1)
        network.widths.append(shape[0])
        network.strides.append(firstStride(key))
      }
      (inputs, stage) = (shape[0], ownStage)
    }
    if let flaw = network.flaw(ofFileWith: channels) {
      throw DeploymentError(.badModel, "\(source): its tensors imply no RepVGG: \(flaw)")
    }
    return network
  }
}
