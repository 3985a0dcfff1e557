import Checkpoints
import Collectives
import Deployment
import Failpoints
import ImageData
import RepVGGModel
import Reporting
import RunPlanning
import Tensors
import Training

/// The end of a job: fuse, prove that both forms are the same function, write the artifacts.
///
/// Every rank fuses, from the same weights to the same bits, and evaluates its part of the test set
/// in both forms; rank 0 judges and writes.
package struct Delivery {
  private let worker: Worker
  private let coordinator: Coordinator?

  package init(_ worker: Worker, _ coordinator: Coordinator?) {
    self.worker = worker
    self.coordinator = coordinator
  }

  /// Throws with code 76, on every rank, when the fuse misses its tolerance; deploy weights are not
  /// written then.
  package func run() throws {
    try Agreement.all(worker.communicator) { try worker.throwOwnFailure() }
    try worker.synchroniseRunningStatistics()
    try worker.requireSameState()
    try worker.whileEvaluating { try deliver() }
  }

  private func deliver() throws {
    Failpoint.pass(.fuse)
    let training = worker.network.tensors()
    let deploy = try Agreement.all(worker.communicator) {
      try Fuse.deployTensors(from: training)
    }
    let network = try Agreement.all(worker.communicator) {
      try DeployNetwork(
        shape: worker.network.shape, tensors: deploy, pool: worker.network.pool)
    }
    network.onBlock = { [heartbeat = worker.heartbeat] in heartbeat.mark() }
    let replaced = try worker.replacedOnAllRanks()
    Failpoint.pass(.evaluation)
    let results = try worker.evaluation.compare(
      worker.watched(Evaluation.Form(worker.network)),
      worker.watched(Evaluation.Form(network)))
    worker.heartbeat.enter(.delivering)
    try Agreement.settle(worker.communicator, worker.evaluation.failure, ofOneRank: true)
    worker.noteResult(results.first)
    // Once more: the evaluation may have taken minutes, and what follows is what is kept.
    try worker.requireSameState()
    worker.heartbeat.enter(.delivering)
    try Agreement.all(worker.communicator) {
      guard let coordinator else { return }
      try coordinator.evaluated(
        results.first, step: worker.stepsDone, split: "test", form: "training")
      try coordinator.evaluated(
        results.second, step: worker.stepsDone, split: "test", form: "deploy")
      try coordinator.saveAndWait(worker.copy)
      let certificate = try write(
        training, deploy, certify(training, deploy, results), results)
      try coordinator.finished(
        step: worker.stepsDone, weightsSHA256: certificate.trainingSHA256, replaced: replaced,
        rows: rows(certificate, results.first, results.second))
    }
  }

  private typealias Results = (
    first: Evaluation.Result, second: Evaluation.Result, comparison: Evaluation.Comparison
  )

  private func certify(
    _ training: NamedTensors, _ deploy: NamedTensors, _ results: Results
  ) throws -> FuseCertificate {
    try FuseCertificate(
      model: worker.plan.config.name, training: training, deploy: deploy,
      comparison: FuseCertificate.Comparison(results, split: "test"),
      tolerances: worker.plan.config.fuse)
  }

  /// The certificate is written in any case, and last, so that where one lies it speaks of what
  /// lies beside it; deploy weights in both formats and the card only when it holds, and older ones do not outlive
  /// one that does not. Returns the certificate with the hashes of the files.
  private func write(
    _ training: NamedTensors, _ deploy: NamedTensors, _ certificate: FuseCertificate,
    _ results: Results
  ) throws -> FuseCertificate {
    let paths = worker.plan.paths
    Failpoint.pass(.beforeExport)
    for path in [paths.certificate, paths.card] { try AtomicFile.remove(path: path) }
    var files: [FuseCertificate.File] = []
    func put(_ bytes: [UInt8], at path: String) throws {
      try AtomicFile.write(path: path, bytes: bytes)
      let name = path.split(separator: "/").last.map(String.init) ?? path
      files.append(FuseCertificate.File(name: name, sha256: SHA256Digest.hex(bytes)))
    }
    try put(Array(ClassNames.text(labels).utf8), at: paths.labels)
    try put(Array(worker.plan.config.yaml().utf8), at: paths.resolvedConfiguration)
    try put(described(training, .training).safetensorsBytes(), at: paths.trainingWeights)
    var certificate = certificate
    certificate.trainingFileSHA256 = files.last?.sha256
    Failpoint.pass(.midExport)
    if certificate.holds {
      try put(described(deploy, .deploy).safetensorsBytes(), at: paths.deployWeights)
      certificate.deployFileSHA256 = files.last?.sha256
      try put(
        ONNX.bytes(
          of: deploy, description: ModelDescription(worker.plan), input: .normalised,
          classNames: worker.plan.data.classNames.isEmpty ? [] : labels,
          producerVersion: worker.plan.machine.programVersion), at: paths.onnx)
      let card = ModelCard(
        plan: worker.plan, step: worker.stepsDone, training: results.first,
        deploy: results.second, best: worker.best, certificate: certificate, files: files)
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
    ClassNames.complete(worker.plan.data.classNames, count: worker.plan.classes)
  }

  /// What somebody who finds the file alone wants to know.
  private func described(_ tensors: NamedTensors, _ form: ModelForm) -> NamedTensors {
    var tensors = tensors
    tensors.metadata = ModelDescription(worker.plan).metadata
    tensors.metadata["format"] = "pt"
    tensors.metadata["form"] = form.rawValue
    tensors.metadata["made_by"] = "repvgg \(worker.plan.machine.programVersion)"
    return tensors
  }

  private func rows(
    _ certificate: FuseCertificate, _ training: Evaluation.Result, _ deploy: Evaluation.Result
  ) -> [(String, String)] {
    let paths = worker.plan.paths
    var rows = [
      ("top-1, training form", Quantity.percent(training.top1, decimals: 2)),
      ("top-1, deploy form", Quantity.percent(deploy.top1, decimals: 2)),
    ]
    if let comparison = certificate.comparison {
      rows.append(
        (
          "same class",
          "\(Quantity.count(comparison.agreement)) of \(Quantity.count(comparison.count)) images"
        ))
    }
    rows.append(("worst block error", "\(Float(certificate.worstBlockError)) (relative)"))
    if let best = worker.best {
      rows.append(("best", "\(Quantity.percent(best.top1, decimals: 2)) after step \(best.step)"))
    }
    rows += [
      ("training weights", paths.trainingWeights), ("deploy weights", paths.deployWeights),
      ("ONNX", paths.onnx),
      ("model card", paths.card), ("certificate", paths.certificate),
    ]
    return rows
  }
}
