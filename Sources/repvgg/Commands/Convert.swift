import Checkpoints
import Deployment
import Orchestration
import Reporting
import Tensors

/// `repvgg convert IN OUT --keys SCHEME`: the same tensors under other names.
enum ConvertCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let input = try ModelPath.weights(invocation.positionals[0], note: Speaker.complain)
    let output = invocation.positionals[1]
    guard ![".pth", ".pt", ".onnx"].contains(where: output.hasSuffix) else {
      throw JobFailure(
        .usage, "\(output): what is written is a safetensors file; give OUT such a name")
    }
    try OutputFile.require(output, isNot: input, option: "OUT")
    let scheme = scheme(invocation)
    let file = try ModelFile.read(path: input)
    // Only safetensors say it before they are read.
    let widened = (try? Safetensors.header(path: input))?.widened ?? [:]
    let named = file.tensors(named: scheme)
    try AtomicFile.write(path: output, bytes: named.safetensorsBytes())
    let conversion = Conversion(
      input: input, output: output, scheme: scheme, file: file,
      widened: widened.sorted { $0.key < $1.key }.map { (type: $0.key, count: $0.value) },
      weightsSHA256: named.weightsSHA256())
    Speaker.say(invocation.flag("--json") ? conversion.json.text() : conversion.text)
    return .done
  }

  /// What `--keys` asks for.
  static func scheme(_ invocation: Invocation) -> KeyScheme {
    invocation.text("--keys").flatMap(KeyScheme.init(rawValue:)) ?? .published
  }
}

/// What was done, for the report.
private struct Conversion {
  let input: String
  let output: String
  let scheme: KeyScheme
  let file: ModelFile
  /// Element types of the input that are Float32 in the output, with the number of tensors.
  let widened: [(type: String, count: Int)]
  let weightsSHA256: String

  var text: String {
    var summary = Summary(title: "\(output): \(file.form.rawValue) form, \(scheme.rawValue) names")
    summary.append("from", "\(input), \(file.scheme.rawValue) names")
    summary.append("tensors", "\(file.tensors.count)")
    for (type, count) in widened { summary.append("widened to F32", "\(count) of \(type)") }
    summary.append("weights", "sha256 \(weightsSHA256)")
    return summary.text
  }

  var json: JSONValue {
    .object([
      ("input", .string(input)), ("output", .string(output)),
      ("form", .string(file.form.rawValue)), ("input_keys", .string(file.scheme.rawValue)),
      ("keys", .string(scheme.rawValue)), ("tensors", .int(file.tensors.count)),
      ("widened", .object(widened.map { ($0.type, .int($0.count)) })),
      ("weights_sha256", .string(weightsSHA256)),
    ])
  }
}
