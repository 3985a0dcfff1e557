import Checkpoints
import Deployment
import Orchestration
import Reporting
import Tensors

/// `repvgg convert IN OUT --keys SCHEME`: the same tensors under other names; or as ONNX.
enum ConvertCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let input = try ModelPath.weights(invocation.positionals[0], note: Speaker.complain)
    let output = invocation.positionals[1]
    guard ![".pth", ".pt"].contains(where: output.hasSuffix) else {
      throw JobFailure(
        .usage, "\(output): what is written is a safetensors or ONNX file; give OUT such a name")
    }
    let isONNX = output.hasSuffix(".onnx")
    for option in isONNX ? ["--keys"] : ["--pixels", "--resolution"]
    where invocation.isGiven(option) {
      throw JobFailure(
        .usage,
        "\(output): \(option) has no effect on \(isONNX ? "an ONNX" : "a safetensors") file; leave it "
          + "out, or give OUT another ending")
    }
    try OutputFile.require(output, isNot: input, option: "OUT")
    let file = try ModelFile.read(path: input)
    // Only safetensors say it before they are read.
    let widened = (try? Safetensors.header(path: input))?.widened ?? [:]
    let scheme = scheme(invocation)
    let named = file.tensors(named: scheme)
    try AtomicFile.write(
      path: output,
      bytes: isONNX ? onnx(file, input, invocation) : named.safetensorsBytes())
    let conversion = Conversion(
      input: input, output: output, scheme: scheme, isONNX: isONNX, file: file,
      widened: widened.sorted { $0.key < $1.key }.map { (type: $0.key, count: $0.value) },
      weightsSHA256: named.weightsSHA256())
    Speaker.say(invocation.flag("--json") ? conversion.json.text() : conversion.text)
    return .done
  }

  private static func onnx(
    _ file: ModelFile, _ input: String, _ invocation: Invocation
  ) throws -> [UInt8] {
    guard file.form == .deploy else {
      throw JobFailure(
        .badData,
        "\(input): these are training weights; an ONNX file is of the fused network: repvgg fuse "
          + "\(invocation.positionals[0]) --output FILE --onnx \(invocation.positionals[1])")
    }
    let deploy = try file.require(.deploy, source: input)
    let description = try ModelDescription(of: file, source: input)
    return try ONNXExport(
      path: invocation.positionals[1], input: onnxInput(invocation),
      resolution: invocation.integer("--resolution")
    ).bytes(
      of: deploy, description: description,
      classNames: LabelFile.names(beside: input, classes: description.classes))
  }

  /// Which values `--pixels` asks an ONNX file to take.
  static func onnxInput(_ invocation: Invocation) -> ONNX.Input {
    invocation.flag("--pixels") ? .pixels : .normalised
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
  let isONNX: Bool
  let file: ModelFile
  /// Element types of the input that are Float32 in the output, with the number of tensors.
  let widened: [(type: String, count: Int)]
  let weightsSHA256: String

  var text: String {
    let kind = isONNX ? "ONNX" : "\(scheme.rawValue) names"
    var summary = Summary(title: "\(output): \(file.form.rawValue) form, \(kind)")
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
      ("keys", isONNX ? .null : .string(scheme.rawValue)), ("tensors", .int(file.tensors.count)),
      ("widened", .object(widened.map { ($0.type, .int($0.count)) })),
      ("weights_sha256", .string(weightsSHA256)),
    ])
  }
}
