import RunPlanning
import Tensors

/// A model file that cannot be used as asked.
package struct DeploymentError: Error, Sendable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// The tensors are not those of a RepVGG, or not of the form that was needed.
    case badModel
    /// Both forms do not compute the same function within the tolerance.
    case notEquivalent
  }

  package let kind: Kind
  package let description: String

  package init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}

/// The two forms of a RepVGG's weights, told apart by their keys.
package enum ModelForm: String, Sendable {
  case training, deploy
}

/// Named tensors known to be a RepVGG's, under published names.
package struct ModelFile: Sendable {
  package let form: ModelForm
  /// The scheme of the file's names.
  package let scheme: KeyScheme
  package let tensors: NamedTensors

  /// Reads `path`, recognises scheme and form, and translates the names.
  package static func read(path: String) throws -> ModelFile {
    try ModelFile(NamedTensors.readSafetensors(path: path), source: path)
  }

  /// `source`: the file's name, for messages.
  package init(_ tensors: NamedTensors, source: String) throws(DeploymentError) {
    guard let scheme = KeyScheme.recognise(tensors.names) else {
      throw DeploymentError(
        .badModel,
        "\(source): no RepVGG weights: none of its \(tensors.count) tensors is named as the "
          + "published code, timm or mmpretrain name them")
    }
    var published = NamedTensors()
    published.metadata = tensors.metadata
    for (name, tensor) in tensors {
      guard let translated = scheme.translate(name, to: .published) else {
        throw DeploymentError(
          .badModel, "\(source): \(name) is no tensor of a RepVGG (\(scheme.rawValue) names)")
      }
      published[translated] = tensor
    }
    let isDeploy = published.names.contains { $0.contains(".rbr_reparam.") }
    let isTraining = published.names.contains { $0.contains(".rbr_dense.") }
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

  /// The same tensors, or an error that says which form they are.
  package func require(_ needed: ModelForm, source: String) throws(DeploymentError) -> NamedTensors {
    guard form == needed else {
      throw DeploymentError(
        .badModel,
        "\(source): these are \(form.rawValue) weights; this command needs \(needed.rawValue) "
          + "weights")
    }
    return tensors
  }

  /// Prefixes of the blocks in forward order: `stage0`, `stage1.0`, ….
  package static func blockKeys(of tensors: NamedTensors) -> [String] {
    let suffixes = [".rbr_dense.conv.weight", ".rbr_reparam.weight"]
    let keys = tensors.names.compactMap { name in
      suffixes.first { name.hasSuffix($0) }.map { String(name.dropLast($0.count)) }
    }
    func order(_ key: String) -> [Int] {
      key.dropFirst("stage".count).split(separator: ".").map { Int($0) ?? 0 }
    }
    return keys.sorted { order($0).lexicographicallyPrecedes(order($1)) }
  }
}
