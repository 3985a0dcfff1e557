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

/// Named tensors known to be a RepVGG's, under published names.
package struct ModelFile: Sendable {
  package let outline: ModelOutline
  package let tensors: NamedTensors

  package var form: ModelForm { outline.form }
  /// The scheme of the file's names.
  package var scheme: KeyScheme { outline.scheme }

  /// Reads a safetensors or PyTorch file, recognises scheme and form, and translates the names.
  package static func read(path: String) throws -> ModelFile {
    try ModelFile(NamedTensors.read(path: path), source: path)
  }

  /// `source`: the file's name, for messages.
  package init(_ tensors: NamedTensors, source: String) throws(DeploymentError) {
    outline = try ModelOutline(tensors.outline, source: source)
    var published = NamedTensors()
    published.metadata = tensors.metadata
    for (translated, given) in zip(outline.tensors, tensors) {
      published[translated.name] = given.tensor
    }
    self.tensors = published
  }

  /// The member of the zoo whose tensors these are, and its classes; nil where they are another
  /// network's, or some are missing or surplus.
  package var publishedNetwork: (architecture: Architecture, classes: Int)? {
    guard let classes = tensors["linear.weight"]?.shape.first, classes > 0 else { return nil }
    return Architecture.zoo.first { holds($0, classes: classes) }.map { ($0, classes) }
  }

  /// Whether these are the tensors of `architecture`, by names and shapes, for images of as many
  /// channels as the file's stem takes.
  package func holds(_ architecture: Architecture, classes: Int) -> Bool {
    let kernel = form == .training ? "stage0.rbr_dense.conv.weight" : "stage0.rbr_reparam.weight"
    guard let shape = tensors[kernel]?.shape, shape.count == 4 else { return false }
    let blocks = architecture.blocks(inputChannels: shape[1], height: 32, width: 32)
    let table: ParameterTable =
      form == .training
      ? .training(blocks: blocks, classes: classes) : .deploy(blocks: blocks, classes: classes)
    let tensors = completedTensors
    return table.entries.count == tensors.count
      && table.entries.allSatisfy { tensors[$0.name]?.shape == $0.shape }
  }

  /// The same tensors, or an error that says which form they are, or what a network of that form has
  /// and the file has not.
  package func require(_ needed: ModelForm, source: String) throws(DeploymentError) -> NamedTensors
  {
    guard form == needed else {
      throw DeploymentError(
        .badModel,
        "\(source): these are \(form.rawValue) weights; this command needs \(needed.rawValue) "
          + "weights")
    }
    try outline.requireWhole(source: source)
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
