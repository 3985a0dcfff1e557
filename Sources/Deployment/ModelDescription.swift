import RepVGGModel
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
  /// Shorter side to which a picture is resized before its centre of `height` x `width` is cut out.
  package var evaluationSide: Int
  /// Of the run that made it.
  package var name: String?

  /// `mean` and `standardDeviation`: one for each channel; by default ImageNet's. `evaluationSide`: by
  /// default the middle 224 of 256 pixels are seen, as in the published evaluation.
  package init(
    architecture: Architecture, classes: Int, channels: Int, height: Int, width: Int,
    mean: [Double]? = nil, standardDeviation: [Double]? = nil, evaluationSide: Int? = nil,
    name: String? = nil
  ) {
    let mean = mean ?? Self.publishedMean(channels: channels)
    let standardDeviation = standardDeviation ?? Self.publishedDeviation(channels: channels)
    precondition(
      mean.count == channels && standardDeviation.count == channels, "a value for each channel")
    self.architecture = architecture
    self.classes = classes
    self.channels = channels
    self.height = height
    self.width = width
    self.mean = mean
    self.standardDeviation = standardDeviation
    self.evaluationSide = evaluationSide ?? (min(height, width) * 256 + 112) / 224
    self.name = name
  }

  /// ImageNet's, as the published code has them; other channels are taken as fractions.
  private static func publishedMean(channels: Int) -> [Double] {
    channels == 3 ? [0.485, 0.456, 0.406] : [Double](repeating: 0, count: channels)
  }

  private static func publishedDeviation(channels: Int) -> [Double] {
    channels == 3 ? [0.229, 0.224, 0.225] : [Double](repeating: 1, count: channels)
  }

  /// The same network on square images of another size, of which it sees as large a part.
  package mutating func resize(to side: Int) {
    evaluationSide = min(1 << 16, max(side, (evaluationSide * side + height / 2) / height))
    (height, width) = (side, side)
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
    self.init(
      architecture: architecture, classes: classes, channels: channels,
      height: input?.height ?? 224, width: input?.width ?? 224,
      mean: try text.numbers("mean", count: channels),
      standardDeviation: try text.numbers("standard_deviation", count: channels, above: 0),
      evaluationSide: try text.side(), name: text.values["name"])
    try file.outline.requireWhole(source: source)
    try requireFit(file.completedTensors, form: file.form, source: source)
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
    do throws(ModelTensorsError) {
      try TensorCheck.check(tensors.outline, against: table, mend: "check the file")
    } catch {
      throw DeploymentError(.badModel, "\(source): \(architecture.name): \(error.description)")
    }
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
