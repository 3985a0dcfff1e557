import Tensors

/// The two forms of a RepVGG's weights, told apart by their keys.
package enum ModelForm: String, Sendable {
  case training, deploy
}

/// What is known of a RepVGG's weights before their values are read: names, translated to the published
/// ones, shapes and element types.
package struct ModelOutline: Sendable {
  package let form: ModelForm
  /// The scheme of the file's names.
  package let scheme: KeyScheme
  /// Under published names, in the file's order.
  package let tensors: [TensorOutline]

  /// Of the file at `path`: of safetensors nothing but the header is read, any other kind whole.
  ///
  /// - Throws: as `ModelFile.read`.
  package static func read(path: String) throws -> ModelOutline {
    let header: Safetensors.Header
    do {
      header = try Safetensors.header(path: path)
    } catch {
      guard error.kind == .damaged else { throw error }
      return try ModelFile.read(path: path).outline
    }
    return try ModelOutline(header.outline, source: path)
  }

  /// `source`: the file's name, for messages.
  package init(_ tensors: [TensorOutline], source: String) throws(DeploymentError) {
    guard let scheme = KeyScheme.recognise(tensors.map(\.name)) else {
      throw DeploymentError(
        .badModel,
        "\(source): no RepVGG weights: none of its \(tensors.count) tensors is named as the "
          + "published code, timm or mmpretrain name them")
    }
    var published: [TensorOutline] = []
    var names: Set<String> = []
    for tensor in tensors {
      guard let translated = scheme.translate(tensor.name, to: .published) else {
        throw DeploymentError(
          .badModel,
          "\(source): \(tensor.name) is no tensor of a RepVGG (\(scheme.rawValue) names)")
      }
      guard names.insert(translated).inserted else {
        throw DeploymentError(
          .badModel,
          "\(source): holds \(translated) twice, as \(tensor.name) and behind another prefix; keep "
            + "one network's tensors")
      }
      published.append(
        TensorOutline(name: translated, shape: tensor.shape, elementType: tensor.elementType))
    }
    let isDeploy = names.contains { $0.contains(".rbr_reparam.") }
    let isTraining = names.contains { $0.contains(".rbr_dense.") }
    guard isDeploy != isTraining else {
      throw DeploymentError(
        .badModel,
        "\(source): " + (isDeploy ? "has keys of both forms" : "has no convolution weights")
          + "; expected rbr_dense (training) or rbr_reparam (deploy) keys")
    }
    form = isDeploy ? .deploy : .training
    self.scheme = scheme
    self.tensors = published
  }

  /// For messages that name tensors: whose names these are, where the file has others.
  package var remarkOnNames: String {
    scheme == .published
      ? "" : " (names are the published ones, for the file's of \(scheme.rawValue))"
  }

  /// Published names of the counts of batches that a training form lacks beside its running means.
  package var missingBatchCounts: [String] {
    let names = Set(tensors.map(\.name))
    let mean = "running_mean"
    return tensors.map(\.name).filter { $0.hasSuffix("." + mean) }
      .map { String($0.dropLast(mean.count)) + "num_batches_tracked" }
      .filter { !names.contains($0) }
  }
}
