/// What a run of so many ranks is predicted to take: of each step, of an epoch and of all, what it holds
/// in memory, and what it costs. Of training steps alone: images are taken to be ready, and evaluation
/// and checkpoints are left out.
package struct RunPrediction: Sendable {
  /// Where the run would take place.
  package struct Cluster: Sendable {
    package var ranksPerHost: Int
    package var coresPerHost: Int
    /// Bytes of a host; 0: unknown.
    package var memoryOfHost: Int
    /// Needed with more than one host.
    package var network: NetworkSpeed?
    /// Of an hour of a core, in any currency.
    package var price: Double?

    /// `ranksPerHost` nil: as many as have their own cores.
    package init(
      curves: MachineCurves, threads: Int, ranksPerHost: Int? = nil, coresPerHost: Int? = nil,
      network: NetworkSpeed? = nil, price: Double? = nil
    ) {
      let cores = coresPerHost ?? curves.machine.cores
      self.coresPerHost = cores
      self.ranksPerHost = ranksPerHost ?? max(1, cores / threads)
      memoryOfHost = curves.machine.memoryBytes
      self.network = network
      self.price = price
    }

    package func hosts(ranks: Int) -> Int { (ranks + ranksPerHost - 1) / ranksPerHost }
  }

  /// What the curves do not hold.
  package enum Missing: Error, Sendable, Equatable, CustomStringConvertible {
    case steps
    case sums(ranks: Int)
    /// Hosts without a network between them.
    case network(ranks: Int, hosts: Int)

    package var description: String {
      switch self {
      case .steps: "holds no steps; add some by repvgg bench step --save"
      case .sums(let ranks):
        "holds no sums over ranks of one host, and \(ranks) are to share one; add some by mpirun -np "
          + "\(ranks) repvgg bench collectives --save"
      case .network(let ranks, let hosts):
        "\(ranks) ranks on \(hosts) hosts, and nothing is said of what joins them; add --network "
          + "\(NetworkSpeed.form), or --ranks-per-host \(ranks)"
      }
    }
  }

  package let ranks: Int
  package let threads: Int
  package let hosts: Int
  package let cluster: Cluster
  package let globalBatch: Int
  package let shards: Int
  package let steps: Int
  /// On images of the plan's own size.
  package let step: StepPrediction
  package let secondsPerEpoch: Double
  package let secondsTotal: Double
  package let memoryOfRank: Int
  /// Of the host of rank 0.
  package let memoryOfHost: Int
  /// Blocks that were taken for others, of how many; whether the threads were measured.
  package let estimatedBlocks: Int
  package let blocks: Int
  package let hasThreads: Bool

  /// - Parameter plan: for a machine whose memory is unknown, so that what does not fit is predicted too.
  package init(
    _ plan: RunPlan, curves: MachineCurves, cluster: Cluster
  ) throws(Missing) {
    ranks = plan.worldSize
    threads = plan.threads
    self.cluster = cluster
    hosts = cluster.hosts(ranks: plan.worldSize)
    globalBatch = plan.globalBatch
    shards = plan.shards
    steps = plan.totalSteps
    if hosts > 1, cluster.network == nil {
      throw .network(ranks: plan.worldSize, hosts: hosts)
    }
    let host = Host(plan, curves, cluster)
    let own = try host.step(blocks: plan.blocks, curves)
    (step, estimatedBlocks, hasThreads) = (own.prediction, own.estimated, own.hasThreads)
    blocks = plan.blocks.count
    secondsPerEpoch = own.prediction.seconds * Double(plan.stepsPerEpoch)
    var total = 0.0
    for phase in plan.phases {
      let seconds =
        phase.blocks == plan.blocks
        ? own.prediction.seconds : try host.step(blocks: phase.blocks, curves).prediction.seconds
      total += seconds * Double(plan.steps(of: phase).count)
    }
    secondsTotal = total
    memoryOfRank = plan.memory.total
    memoryOfHost = plan.memory.total(ranks: min(plan.worldSize, cluster.ranksPerHost))
  }

  package var imagesPerSecond: Double { Double(globalBatch) / step.seconds }
  package var exposedShare: Double { step.exposed / step.seconds }
  /// False where the host's memory is known and too small.
  package var fits: Bool { cluster.memoryOfHost == 0 || memoryOfHost <= cluster.memoryOfHost }
  /// Every core of every host is paid for.
  package var coreHours: Double {
    Double(hosts) * Double(cluster.coresPerHost) * secondsTotal / 3600
  }
  package var cost: Double? { cluster.price.map { $0 * coreHours } }
}

extension RunPrediction {
  /// The host that has most to do: the first, as the first ranks get the shards that remain.
  private struct Host {
    let plan: RunPlan
    let cluster: Cluster
    let ranks: Int
    /// Ranks for each core, times the cores of the machine that was measured.
    let load: Double
    /// Of the rank that is waited for; of all where they share cores, whose time is then divided.
    let shards: Double

    init(_ plan: RunPlan, _ curves: MachineCurves, _ cluster: Cluster) {
      self.plan = plan
      self.cluster = cluster
      ranks = min(plan.worldSize, cluster.ranksPerHost)
      load = Double(ranks) * Double(curves.machine.cores) / Double(cluster.coresPerHost)
      let counts = plan.ranksShards.prefix(ranks).map { Double($0.count) }
      let shareCores = ranks * plan.threads > cluster.coresPerHost
      shards =
        shareCores
        ? counts.reduce(0, +) / Double(max(1, counts.count)) : counts.max() ?? 1
    }

    /// Ranks of the run that have cores of their own; of ranks that share cores as many as there are cores.
    private var units: Int {
      cluster.hosts(ranks: plan.worldSize) * max(1, min(ranks, cluster.coresPerHost / plan.threads))
    }

    func step(
      blocks: [BlockShape], _ curves: MachineCurves
    ) throws(Missing) -> (prediction: StepPrediction, estimated: Int, hasThreads: Bool) {
      let question = CurveLookup.Question(
        blocks: blocks, classes: plan.classes, parameters: plan.layout.count, shards: shards,
        shardImages: Double(plan.globalBatch) / Double(plan.shards), threads: plan.threads,
        ranks: load)
      guard let lookup = CurveLookup(curves, question) else { throw .steps }
      guard let local = SumLookup(curves, ranks: ranks, threads: plan.threads, load: load) else {
        throw .sums(ranks: ranks)
      }
      let timeline = StepTimeline(
        plan: plan, work: lookup.work,
        cost: SumCost(
          local: local, hosts: cluster.hosts(ranks: plan.worldSize), ranksPerHost: ranks,
          network: cluster.network),
        waitingShare: lookup.waiting(units: units))
      return (timeline.run(), lookup.estimatedBlocks, lookup.hasThreads)
    }
  }
}
