import Checkpoints
import Deployment
import Orchestration
import Reporting
import RunPlanning

/// `repvgg fuse MODEL --output FILE`: training weights to deploy weights, block by block certified.
enum FuseCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let source = invocation.positionals[0]
    let file = try ModelFile.read(path: source)
    let training = try file.require(.training, source: source)
    var deploy = try Fuse.deployTensors(from: training)
    let certificate = try FuseCertificate(
      model: source, training: training, deploy: deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    if let path = invocation.text("--certificate") {
      try AtomicFile.write(path: path, bytes: try certificate.json())
    }
    guard certificate.holds else {
      throw JobFailure(
        .numerics, "\(source): \(certificate.failures[0]); deploy weights are not written")
    }
    let output = invocation.text("--output") ?? ""
    deploy.metadata = training.metadata.merging(["form": ModelForm.deploy.rawValue]) { $1 }
    try AtomicFile.write(path: output, bytes: deploy.safetensorsBytes())
    var summary = Summary(title: "\(output): deploy weights")
    summary.append("blocks", "\(certificate.blocks.count)")
    summary.append("worst block error", "\(Float(certificate.worstBlockError)) (relative)")
    summary.append("weights", "sha256 \(certificate.deploySHA256)")
    Speaker.say(summary.text)
    return .done
  }
}
