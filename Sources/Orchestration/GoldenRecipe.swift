import Foundation
import RunPlanning
import Tensors

/// A golden state that cannot be replayed.
package struct GoldenError: Error, Sendable, CustomStringConvertible {
  package let description: String
}

/// A golden state: a small network's training history, computed in Float64, as a safetensors file
/// whose metadata say how it was trained (docs/numerics.md, section "Golden states").
package struct GoldenState: Sendable {
  /// `__metadata__.recipe`.
  package struct Recipe: Sendable, Decodable {
    package var depths: [Int]
    package var widths: [Int]
    package var stem: Int
    /// Layer index → groups; stage 0 is layer 0.
    package var groups: [String: Int]
    /// Whether every block has squeeze-and-excitation; not, where the recipe does not say.
    package var squeeze_excitation: Bool?
    package var batch: Int
    package var size: Int
    package var steps: Int
    package var lr: Double
    package var momentum: Double
    package var weight_decay: Double
    package var nesterov: Bool
    package var label_smoothing: Double
    package var bn_eps: Double
    package var bn_momentum: Double
    package var classes: Int
  }

  package let path: String
  package let recipe: Recipe
  package let tensors: NamedTensors
  package let blocks: [BlockShape]

  /// Reads and checks a golden state; the tensors that a replay needs are all there afterwards.
  package static func read(path: String) throws -> GoldenState {
    let tensors = try NamedTensors.readSafetensors(path: path)
    guard let text = tensors.metadata["recipe"] else {
      throw GoldenError(
        description: "\(path): no golden state: its metadata have no recipe")
    }
    let recipe: Recipe
    do {
      recipe = try JSONDecoder().decode(Recipe.self, from: Data(text.utf8))
    } catch {
      throw GoldenError(
        description: "\(path): recipe: \(Self.describe(error)); see docs/numerics.md for its fields"
      )
    }
    return try GoldenState(path: path, recipe: recipe, tensors: tensors)
  }

  private init(path: String, recipe: Recipe, tensors: NamedTensors) throws {
    self.path = path
    self.recipe = recipe
    self.tensors = tensors
    func refuse(_ problem: String) -> GoldenError {
      GoldenError(description: "\(path): \(problem)")
    }
    let counts = [recipe.stem, recipe.batch, recipe.size, recipe.steps, recipe.classes]
    let limit = 1 << 16
    guard (counts + recipe.depths + recipe.widths).allSatisfy({ (1...limit).contains($0) }),
      recipe.depths.count == recipe.widths.count, recipe.depths.reduce(0, +) <= 1000
    else { throw refuse("recipe: sizes must be 1…\(limit), one width for each depth") }
    var groups: [Int: Int] = [:]
    for (layer, count) in recipe.groups {
      guard let index = Int(layer), count > 0 else {
        throw refuse("recipe: groups \(layer): \(count) is no layer with its groups")
      }
      groups[index] = count
    }
    let squeezes = recipe.squeeze_excitation ?? false
    guard !squeezes || (recipe.widths + [recipe.stem]).allSatisfy({ $0 >= 16 }) else {
      throw refuse("recipe: squeeze_excitation needs 16 channels or more")
    }
    guard let input = tensors["step0.input"], input.shape.count == 4, input.shape[1] > 0 else {
      throw refuse("step0.input [N, C, S, S] is missing")
    }
    let architecture = Architecture(
      stemWidth: recipe.stem, depths: recipe.depths, widths: recipe.widths, groups: groups,
      squeezeExcitation: squeezes)
    blocks = architecture.blocks(
      inputChannels: input.shape[1], height: recipe.size, width: recipe.size)
    for block in blocks
    where block.inputChannels % block.groups != 0 || block.outputChannels % block.groups != 0 {
      throw refuse("recipe: \(block.groups) groups do not divide the channels of \(block.key)")
    }
    let image = [input.shape[1], recipe.size, recipe.size]
    for step in 0..<recipe.steps {
      try require("step\(step).input", [recipe.batch] + image)
      try require("step\(step).logits", [recipe.batch, recipe.classes])
      try requireLabels(step)
    }
    try require("losses", [recipe.steps])
    let evaluated = tensors["eval.logits"]?.shape.first ?? 0
    try require("eval.input", [evaluated] + image)
    try require("eval.logits", [evaluated, recipe.classes])
    try requireNetworks()
  }

  /// The states and the gradient are those of the recipe's network, whole and with nothing beside.
  private func requireNetworks() throws {
    let training = ParameterTable.training(blocks: blocks, classes: recipe.classes)
    let trainable = ParameterTable(entries: training.entries.filter(\.kind.isTrainable))
    let deploy = ParameterTable.deploy(blocks: blocks, classes: recipe.classes)
    for (prefix, table) in [
      ("init", training), ("final", training), ("grad", trainable), ("deploy", deploy),
    ] {
      var known: Set<String> = []
      for entry in table.entries {
        let name = "\(prefix).\(entry.name)"
        known.insert(name)
        try require(name, entry.shape, isCount: entry.kind == .batchCount)
      }
      if let stray = tensors.names.first(where: {
        $0.hasPrefix(prefix + ".") && !known.contains($0)
      }) {
        throw GoldenError(
          description: "\(path): \(stray): the network of the recipe has no such tensor")
      }
    }
  }

  /// The Float32 values of a tensor that was checked when the file was read.
  package func floats(_ name: String) -> [Float] { tensors[name]?.floats ?? [] }

  package func labels(step: Int) -> [Int32] {
    (tensors["step\(step).labels"]?.integers ?? []).map { Int32(truncatingIfNeeded: $0) }
  }

  /// The tensors below `prefix.`, without it.
  package func group(_ prefix: String) -> NamedTensors {
    var group = NamedTensors()
    for (name, tensor) in tensors where name.hasPrefix(prefix + ".") {
      group[String(name.dropFirst(prefix.count + 1))] = tensor
    }
    return group
  }

  private func require(_ name: String, _ shape: [Int], isCount: Bool = false) throws {
    let type = isCount ? "I64" : "F32"
    guard let tensor = tensors[name], tensor.shape == shape, tensor.elementType == type else {
      let found = tensors[name].map { "\($0.elementType) \($0.shape)" } ?? "nothing"
      throw GoldenError(
        description: "\(path): \(name): found \(found), expected \(type) \(shape)")
    }
  }

  private func requireLabels(_ step: Int) throws {
    let labels = tensors["step\(step).labels"]?.integers ?? []
    let classes = Int64(recipe.classes)
    guard labels.count == recipe.batch, labels.allSatisfy({ (0..<classes).contains($0) }) else {
      throw GoldenError(
        description:
          "\(path): step\(step).labels: expected \(recipe.batch) classes below \(classes)")
    }
  }

  private static func describe(_ error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, _): "\(key.stringValue) is missing"
    case DecodingError.typeMismatch(let type, let context):
      "\(context.codingPath.map(\.stringValue).joined(separator: ".")) is no \(type)"
    default: "it is no JSON object of the expected form"
    }
  }
}
