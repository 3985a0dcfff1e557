import Checkpoints
import Deployment
import Orchestration
import Reporting
import RunPlanning
import Tensors

/// `repvgg fuse MODEL --output FILE`: training weights to deploy weights, block by block certified; and
/// the same as ONNX. With `--artifacts DIR` all that a job delivers.
enum FuseCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    if let directory = invocation.text("--artifacts") {
      return try deliver(to: directory, invocation)
    }
    let source = try ModelPath.weights(invocation.positionals[0], note: Speaker.complain)
    let output = invocation.text("--output") ?? ""
    let export = invocation.text("--onnx").map {
      ONNXExport(
        path: $0, input: ConvertCommand.onnxInput(invocation),
        resolution: invocation.integer("--resolution"))
    }
    try check(
      [
        ("--output", output), ("--onnx", export?.path),
        ("--certificate", invocation.text("--certificate")),
      ], source: source)
    let file = try ModelFile.read(path: source)
    let training = try file.require(.training, source: source)
    let deploy = try Fuse.deployTensors(from: training)
    var certificate = try FuseCertificate(
      model: source, training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    certificate.trainingFileSHA256 = try SHA256Digest.hex(ofFile: source)
    if certificate.holds {
      certificate.deployFileSHA256 = try write(
        deploy, of: file, named: ConvertCommand.scheme(invocation), source: source, to: output,
        export)
    }
    // Last: where one lies, it speaks of weights that lie there too.
    if let path = invocation.text("--certificate") {
      try AtomicFile.write(path: path, bytes: try certificate.json())
    }
    guard certificate.holds else {
      throw JobFailure(
        .numerics,
        "\(source): \(certificate.failures[0]); deploy weights are not written, \(output) is as it "
          + "was")
    }
    var summary = Summary(title: "\(output): deploy weights")
    summary.append("blocks", "\(certificate.blocks.count)")
    summary.append("worst block error", "\(Float(certificate.worstBlockError)) (relative)")
    summary.append("weights", "sha256 \(certificate.deploySHA256)")
    if let export { summary.append("ONNX", "\(export.path), \(export.input.rawValue) images") }
    Speaker.say(summary.text)
    return .done
  }

  private static func deliver(
    to directory: String, _ invocation: Invocation
  ) throws -> ExitCode {
    let model = invocation.positionals[0]
    let outcome = try CheckpointDelivery(
      model: model, directory: directory, overrides: invocation.texts("--set"),
      scheme: ConvertCommand.scheme(invocation),
      onnxInput: ConvertCommand.onnxInput(invocation),
      threads: invocation.integer("--threads") ?? 1
    ).run(note: Speaker.complain)
    let (certificate, paths) = (outcome.certificate, outcome.paths)
    var summary = Summary(
      title: "\(directory): artifacts of \(model), after step \(Quantity.count(outcome.step))")
    if let comparison = certificate.comparison {
      summary.append("top-1, training form", Quantity.percent(comparison.trainingTop1, decimals: 2))
      summary.append("top-1, deploy form", Quantity.percent(comparison.deployTop1, decimals: 2))
      summary.append(
        "same class",
        "\(Quantity.count(comparison.agreement)) of \(Quantity.count(comparison.count)) images")
    }
    summary.append("worst block error", "\(Float(certificate.worstBlockError)) (relative)")
    summary.append("deploy weights", paths.deployWeights)
    summary.append("ONNX", paths.onnx)
    summary.append("model card", paths.card)
    summary.append("certificate", paths.certificate)
    Speaker.say(summary.text)
    return .done
  }

  /// Both files, or none where the network cannot be told or exported. Returns the digest of the first.
  private static func write(
    _ deploy: NamedTensors, of file: ModelFile, named scheme: KeyScheme, source: String,
    to output: String, _ export: ONNXExport?
  ) throws -> String {
    let description = try ModelDescription(of: file, source: source)
    var described = deploy
    described.metadata = file.tensors.metadata.merging(description.metadata) { $1 }
    described.metadata["form"] = ModelForm.deploy.rawValue
    let model = try export.map { export in
      try export.bytes(
        of: deploy, description: description,
        classNames: LabelFile.names(beside: source, classes: description.classes))
    }
    let bytes = scheme.naming(described).safetensorsBytes()
    try AtomicFile.write(path: output, bytes: bytes)
    if let export, let model { try AtomicFile.write(path: export.path, bytes: model) }
    return SHA256Digest.hex(bytes)
  }

  /// All files can be written, and replace neither the input nor each other.
  private static func check(_ outputs: [(option: String, path: String?)], source: String) throws {
    var earlier: [(option: String, path: String)] = []
    for (option, path) in outputs {
      guard let path else { continue }
      try OutputFile.require(path, isNot: source, option: option)
      if let other = earlier.first(where: { AtomicFile.isSame($0.path, path) }) {
        throw JobFailure(
          .usage,
          "\(path): is the \(other.option) too and would replace it; give another \(option)")
      }
      earlier.append((option, path))
    }
  }
}
