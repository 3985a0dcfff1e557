import Reporting
import RunPlanning

/// Refuses what this machine cannot hold before any of it is allocated: without a plan, nothing else
/// has looked at the sizes.
enum MemoryLimit {
  /// What of a training network is needed.
  enum Use {
    /// All but the optimizer's and the loader's part.
    case evaluationOfTrainingForm
    case evaluationOfDeployForm
    /// Steps on images that lie in memory already; the optimizer, but no evaluation beside it.
    case steps
  }

  /// Throws `.configuration` where the ranks of this machine, each with `load`, need more memory than
  /// it has, or sizes are beyond all counting. `subject`: what is at fault, and its sizes.
  static func require(
    _ use: Use, of cost: CostModel, load: CostModel.Load, subject: String
  ) throws {
    let (images, overflow) = load.shards.multipliedReportingOverflow(by: load.shardSize)
    guard !overflow, cost.isCountable(images: images) else {
      throw refusal(subject, "is beyond all bounds")
    }
    let layout = ArenaLayout(.training(blocks: cost.blocks, classes: cost.classes))
    var memory = cost.memory(layout: layout, load: load)
    let bytes: Int
    switch use {
    case .steps:
      memory.evaluation = 0
      bytes = memory.total
    case .evaluationOfTrainingForm:
      (memory.momentum, memory.loader) = (0, 0)
      bytes = memory.total
    case .evaluationOfDeployForm: bytes = memory.evaluation
    }
    let machine = Machine.summary(mpiVersion: "")
    let (needed, isTooMuch) = bytes.multipliedReportingOverflow(by: machine.localRanks)
    guard isTooMuch || needed > machine.physicalMemoryBytes else { return }
    throw refusal(
      subject,
      "needs \(Quantity.bytes(bytes)) of memory"
        + (machine.localRanks > 1 ? " on each of \(machine.localRanks) ranks" : "")
        + " and the machine has \(Quantity.bytes(machine.physicalMemoryBytes))")
  }

  private static func refusal(_ subject: String, _ problem: String) -> JobFailure {
    JobFailure(
      .configuration, "\(subject) \(problem); choose a smaller batch, resolution or network")
  }
}
