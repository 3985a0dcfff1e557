import Checkpoints
import Deployment
import Failpoints
import ImageData
import RunPlanning
import Tensors
import Training

/// What a run or one of its checkpoints leaves behind: both forms of the network, the ONNX file, the
/// names of the classes, the configuration, the model card, and the certificate that speaks of them.
package struct Artifacts {
  package typealias Results = (
    first: Evaluation.Result, second: Evaluation.Result, comparison: Evaluation.Comparison
  )

  private let plan: RunPlan
  private let step: Int
  private let best: RunState.Best?
  private let training: NamedTensors
  private let deploy: NamedTensors
  private let results: Results
  private let certificate: FuseCertificate
  private let scheme: KeyScheme
  private let onnxInput: ONNX.Input

  /// - Parameters:
  ///   - step: after which the weights are the run's.
  ///   - best: of the run's evaluations so far.
  ///   - training: under published names, as `deploy`, which was fused from it.
  ///   - results: of both forms on the test images, the training form first.
  ///   - scheme: the names that the tensors get in the safetensors files.
  ///   - onnxInput: which values the ONNX file takes.
  package init(
    plan: RunPlan, step: Int, best: RunState.Best?, training: NamedTensors, deploy: NamedTensors,
    results: Results, certificate: FuseCertificate, scheme: KeyScheme = .published,
    onnxInput: ONNX.Input = .normalised
  ) {
    self.plan = plan
    self.step = step
    self.best = best
    self.training = training
    self.deploy = deploy
    self.results = results
    self.certificate = certificate
    self.scheme = scheme
    self.onnxInput = onnxInput
  }

  /// Writes them into the directory of `paths.artifacts`, which is there. The certificate is written
  /// in any case, and last, so that where one lies it speaks of what lies beside it; deploy weights in
  /// both formats and the card only when it holds, and older ones do not outlive one that does not.
  ///
  /// Returns the certificate with the hashes of the files.
  ///
  /// - Throws: `.numerics` where the certificate does not hold, and what writing throws.
  package func write(to paths: RunPlan.Paths) throws -> FuseCertificate {
    Failpoint.pass(.beforeExport)
    for path in [paths.certificate, paths.card] { try AtomicFile.remove(path: path) }
    var files: [FuseCertificate.File] = []
    func put(_ bytes: [UInt8], at path: String) throws {
      try AtomicFile.write(path: path, bytes: bytes)
      let name = path.split(separator: "/").last.map(String.init) ?? path
      files.append(FuseCertificate.File(name: name, sha256: SHA256Digest.hex(bytes)))
    }
    // Also marks the directory, should this be cut short.
    try put(Array(plan.config.yaml().utf8), at: paths.resolvedConfiguration)
    try put(Array(ClassNames.text(labels).utf8), at: paths.labels)
    try put(weights(training, .training), at: paths.trainingWeights)
    var certificate = certificate
    certificate.trainingFileSHA256 = files.last?.sha256
    Failpoint.pass(.midExport)
    if certificate.holds {
      try put(weights(deploy, .deploy), at: paths.deployWeights)
      certificate.deployFileSHA256 = files.last?.sha256
      try put(onnx(), at: paths.onnx)
      let card = ModelCard(
        plan: plan, step: step, training: results.first, deploy: results.second, best: best,
        certificate: certificate, files: files, scheme: scheme)
      try put(Array(card.text.utf8), at: paths.card)
    } else {
      for path in [paths.deployWeights, paths.onnx] { try AtomicFile.remove(path: path) }
    }
    certificate.files = files
    try AtomicFile.write(path: paths.certificate, bytes: try certificate.json())
    Failpoint.pass(.exported)
    guard certificate.holds else {
      throw JobFailure(
        .numerics,
        "the deploy network is not the trained one: \(certificate.failures[0]); deploy weights are "
          + "not written; see \(paths.certificate)")
    }
    return certificate
  }

  /// A name of each class by its label.
  private var labels: [String] {
    ClassNames.complete(plan.data.classNames, count: plan.classes)
  }

  private func onnx() throws -> [UInt8] {
    try ONNX.bytes(
      of: deploy, description: ModelDescription(plan), input: onnxInput,
      classNames: plan.data.classNames.isEmpty ? [] : labels,
      producerVersion: plan.machine.programVersion)
  }

  /// A safetensors file that also says what somebody who finds it alone wants to know.
  private func weights(_ tensors: NamedTensors, _ form: ModelForm) -> [UInt8] {
    var tensors = tensors
    tensors.metadata = ModelDescription(plan).metadata
    tensors.metadata["format"] = "pt"
    tensors.metadata["form"] = form.rawValue
    tensors.metadata["made_by"] = "repvgg \(plan.machine.programVersion)"
    return scheme.naming(tensors).safetensorsBytes()
  }
}
