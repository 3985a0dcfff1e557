import Deployment
import Orchestration
import Reporting
import Tensors

/// `repvgg inspect FILE`: what a safetensors or PyTorch file holds.
enum InspectCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let path = try ModelPath.weights(invocation.positionals[0], note: Speaker.complain)
    let tensors = try NamedTensors.read(path: path)
    let model = try? ModelFile(tensors, source: path)
    let kind =
      model.map { "RepVGG, \($0.form.rawValue) form, \($0.scheme.rawValue) names" }
      ?? (tensors.metadata["recipe"] != nil ? "golden state" : "tensors")
    let parameters = model.map { parameterCount($0.tensors) }
    if invocation.flag("--json") {
      Speaker.say(json(path, tensors, kind: kind, parameters: parameters).text())
    } else {
      Speaker.say(text(path, tensors, kind: kind, parameters: parameters))
    }
    return .done
  }

  /// Trainable values: running statistics and batch counts are not counted.
  private static func parameterCount(_ tensors: NamedTensors) -> Int {
    tensors.reduce(0) { sum, entry in
      let isState = ["running_mean", "running_var", "num_batches_tracked"].contains {
        entry.name.hasSuffix($0)
      }
      return sum + (isState ? 0 : entry.tensor.count)
    }
  }

  private static func json(
    _ path: String, _ tensors: NamedTensors, kind: String, parameters: Int?
  ) -> JSONValue {
    .object([
      ("file", .string(path)), ("kind", .string(kind)),
      ("parameters", parameters.map { .int($0) } ?? .null),
      ("weights_sha256", .string(tensors.weightsSHA256())),
      (
        "metadata",
        .object(
          tensors.metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
      ),
      (
        "tensors",
        .array(
          tensors.map { name, tensor in
            .object([
              ("name", .string(name)), ("type", .string(tensor.elementType)),
              ("shape", .array(tensor.shape.map { .int($0) })),
            ])
          })
      ),
    ])
  }

  private static func text(
    _ path: String, _ tensors: NamedTensors, kind: String, parameters: Int?
  ) -> String {
    var summary = Summary(title: path)
    summary.append("kind", kind)
    summary.append("tensors", "\(tensors.count)")
    if let parameters { summary.append("parameters", Quantity.count(parameters)) }
    for (key, value) in tensors.metadata.sorted(by: { $0.key < $1.key }) {
      summary.append(key, value)
    }
    summary.append("weights", "sha256 \(tensors.weightsSHA256())")
    var table = TextTable([.left("tensor"), .left("type"), .right("shape"), .right("values")])
    for (name, tensor) in tensors {
      table.append([
        name, tensor.elementType, tensor.shape.map(String.init).joined(separator: " x "),
        Quantity.count(tensor.count),
      ])
    }
    return summary.text + "\n" + table.text
  }
}
