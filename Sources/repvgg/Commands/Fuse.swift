import Checkpoints
import Deployment
import Orchestration
import Reporting
import RunPlanning
import Tensors

/// `repvgg fuse MODEL --output FILE`: training weights to deploy weights, block by block certified.
enum FuseCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let source = try ModelPath.weights(invocation.positionals[0], note: Speaker.complain)
    let output = invocation.text("--output") ?? ""
    try check(output: output, certificate: invocation.text("--certificate"), source: source)
    let file = try ModelFile.read(path: source)
    let training = try file.require(.training, source: source)
    var deploy = try Fuse.deployTensors(from: training)
    var certificate = try FuseCertificate(
      model: source, training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    if certificate.holds {
      deploy.metadata = training.metadata.merging(["form": ModelForm.deploy.rawValue]) { $1 }
      let named = ConvertCommand.scheme(invocation).naming(deploy)
      let bytes = named.safetensorsBytes()
      try AtomicFile.write(path: output, bytes: bytes)
      certificate.deployFileSHA256 = SHA256Digest.hex(bytes)
    }
    certificate.trainingFileSHA256 = try SHA256Digest.hex(ofFile: source)
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
    Speaker.say(summary.text)
    return .done
  }

  /// Both files can be written, and replace neither the input nor each other.
  private static func check(output: String, certificate: String?, source: String) throws {
    try OutputFile.require(output, isNot: source, option: "--output")
    guard let certificate else { return }
    try OutputFile.require(certificate, isNot: source, option: "--certificate")
    if AtomicFile.isSame(output, certificate) {
      throw JobFailure(
        .usage,
        "\(certificate): is the --output too and would replace it; give another --certificate")
    }
  }
}
