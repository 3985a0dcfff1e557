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
      let certificate = try Artifacts(
        plan: worker.plan, step: worker.stepsDone, best: worker.best, training: training,
        deploy: deploy, results: results,
        certificate: certify(training, deploy, results)
      ).write(to: worker.plan.paths)
      try coordinator.finished(
        step: worker.stepsDone, weightsSHA256: certificate.trainingSHA256, replaced: replaced,
        rows: rows(certificate, results.first, results.second))
    }
  }

  private func certify(
    _ training: NamedTensors, _ deploy: NamedTensors, _ results: Artifacts.Results
  ) throws -> FuseCertificate {
    try FuseCertificate(
      model: worker.plan.config.name, training: training, deploy: deploy,
      comparison: FuseCertificate.Comparison(results, split: "test"),
      tolerances: worker.plan.config.fuse)
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
