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
  /// what threads reserve. Measured: a job runs with 0.65 GB where OpenBLAS has one thread, 0.75 with
  /// two.
  private static let addressSpaceBeside = 768 << 20

  /// Throws `.configuration` where this process may not have the address space that the plan takes.
  /// OpenBLAS, given none, asks again without end.
  static func requireAddressSpace(_ plan: RunPlan, rank: Int) throws {
    let planned = plan.memory.total - (rank == 0 ? 0 : plan.memory.saving)
    try requireAddressSpace(
      planned + addressSpaceBeside, for: "a rank",
      mend: "raise the limit, or take more ranks or a smaller batch")
  }

  /// Throws `.configuration` where not even the libraries fit, before MPI is started: with too little, a
  /// rank may end or hang in MPI, and the others would wait for it.
  static func requireAddressSpaceForMPI() throws {
    let rank = Machine.environment("OMPI_COMM_WORLD_RANK") ?? "0"
    try requireAddressSpace(
      addressSpaceBeside, place: "rank \(rank) on \(Machine.hostName): ", for: "MPI alone",
      mend: "raise the limit")
  }

  private static func requireAddressSpace(
    _ bytes: Int, place: String = "", for user: String, mend: String
  ) throws {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
      let allowed = Int(exactly: limit.rlim_cur), allowed < bytes
    else { return }
    throw JobFailure(
      .configuration,
      "\(place)the address space is limited to \(Quantity.bytes(allowed)) (ulimit -v), and "
        + "\(user) needs about \(Quantity.bytes(bytes)); \(mend)")
  }

  private static func refusal(_ subject: String, _ problem: String) -> JobFailure {
    JobFailure(
      .configuration, "\(subject) \(problem); choose a smaller batch, resolution or network")
  }
}
