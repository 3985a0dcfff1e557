import Glibc
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
    memory.saving = 0
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

  /// Bytes of address space that a process takes beside what is planned: libraries, MPI's buffers,
  /// what threads reserve. Measured: 0.7 GB where there is no limit, 0.5 GB where it is short.
  private static let addressSpaceBeside = 512 << 20

  /// Throws `.configuration` where this process may not have the address space that the plan takes.
  /// OpenBLAS, given none, asks again without end.
  static func requireAddressSpace(_ plan: RunPlan, rank: Int) throws {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
      let allowed = Int(exactly: limit.rlim_cur)
    else { return }
    let planned = plan.memory.total - (rank == 0 ? 0 : plan.memory.saving)
    let needed = planned + addressSpaceBeside
    guard allowed < needed else { return }
    throw JobFailure(
      .configuration,
      "the address space is limited to \(Quantity.bytes(allowed)) (ulimit -v), and a rank needs about "
        + "\(Quantity.bytes(needed)); raise the limit, or take more ranks or a smaller batch")
  }

  private static func refusal(_ subject: String, _ problem: String) -> JobFailure {
    JobFailure(
      .configuration, "\(subject) \(problem); choose a smaller batch, resolution or network")
  }
}
