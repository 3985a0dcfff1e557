import Checkpoints
import Collectives
import Failpoints
import ImageData
import Kernels
import Reporting
import RunPlanning
import Training

/// `repvgg train`, from the configuration to the artifacts, on every rank.
package struct TrainingJob {
  /// From which checkpoint a run goes on.
  package enum Resume: Sendable, Equatable {
    /// The newest good one of the run directory, if there is any.
    case automatic
    /// None: the run directory must hold no checkpoint.
    case never
    /// This one.
    case path(String)
  }

  package struct Options: Sendable {
    package var configuration: String
    package var overrides: [String]
    package var output: String?
    package var resume: Resume
    /// Resolved; `none` when quiet.
    package var progress: ProgressMode
    /// Columns of a live line.
    package var lineWidth: Int

    package init(
      configuration: String, overrides: [String] = [], output: String? = nil,
      resume: Resume = .automatic, progress: ProgressMode = .plain, lineWidth: Int = 80
    ) {
      self.configuration = configuration
      self.overrides = overrides
      self.output = output
      self.resume = resume
      self.progress = progress
      self.lineWidth = lineWidth
    }
  }

  private let options: Options
  private let bareCommunicator: any Communicator
  /// The same, seen by the watchdog.
  private let communicator: any Communicator
  private let placement: Placement
  private let mpiVersion: String
  private let watchdog: Watchdog
  private var heartbeat: Heartbeat { watchdog.heartbeat }

  /// - Parameters:
  ///   - placement: in force.
  ///   - watchdog: started; it goes on watching when the job has run.
  package init(
    _ options: Options, communicator: any Communicator, placement: Placement, mpiVersion: String,
    watchdog: Watchdog
  ) {
    self.options = options
    bareCommunicator = communicator
    self.communicator = WatchedCommunicator(
      communicator, watchdog.heartbeat, checksOrder: false)
    self.placement = placement
    self.mpiVersion = mpiVersion
    self.watchdog = watchdog
  }

  /// Runs the job; `.done`, or `.stopped` when a rank was asked to stop. Every failure is thrown as
  /// the same `JobFailure` on every rank, except what breaks the communication itself.
  package func run() throws -> ExitCode {
    defer { heartbeat.enter(.ending) }
    BLAS.useOneThread()
    try requireSameProgram()
    heartbeat.enter(.reading)
    var (file, plan, train, test) = try Agreement.all(communicator) { try makePlan() }
    Failpoint.pass(.dataScanned)
    heartbeat.enter(.starting)
    try requireSameJob(plan)
    watchdog.follow(plan.config.watchdog, log: plan.paths.log)
    let communicator = WatchedCommunicator(
      bareCommunicator, heartbeat, checksOrder: plan.config.communication.checkOrder)
    communicator.use(ReductionAlgorithm(plan.config.communication.reduction))
    if plan.config.communication.bucketBytes == 0 { plan = try measured(plan, communicator) }
    let coordinator = try Agreement.all(communicator) { try makeCoordinator(plan) }
    heartbeat.enter(.resuming)
    var snapshot = try Agreement.all(communicator) {
      try coordinator.map { try resumePoint(plan, train, $0) } ?? nil
    }
    var initial = try Agreement.all(communicator) {
      try coordinator == nil || snapshot != nil ? nil : InitialWeights(plan)
    }
    defer {
      heartbeat.enter(.saving)
      coordinator?.settleSaves()
    }
    // What is refused up to here leaves no trace.
    return try AttemptLog.attempt(coordinator?.directory.attempts) {
      let worker = try Agreement.all(communicator) {
        try Worker(
          plan: plan, train: train, test: test, communicator: communicator, heartbeat: heartbeat)
      }
      let bits = try proveBits(plan, over: communicator)
      try Agreement.all(communicator) { try worker.initialise(from: initial) }
      try worker.resume(snapshot)
      try Agreement.all(communicator) {
        try coordinator?.directory.record(configuration: file.bytes)
        try coordinator?.started(
          atStep: worker.stepsDone, backend: communicator.backend, placement: placement,
          bits: bits)
        if let initial { try coordinator?.initialised(from: initial) }
      }
      // Not held for as long as the run trains.
      (snapshot, initial) = (nil, nil)
      Failpoint.pass(.resumed)
      return try run(worker, coordinator)
    }
  }

  /// Rank 0's: whether the run is to be tried at all, and the checkpoint that it goes on from.
  private func resumePoint(
    _ plan: RunPlan, _ train: any Dataset, _ coordinator: Coordinator
  ) throws -> RunSnapshot? {
    let directory = coordinator.directory
    directory.notes.forEach(coordinator.note)
    try directory.attempts.requirePromise(StepSamples(plan: plan, dataset: train)) {
      directory.log($0)
    }
    return try ResumePoint(plan: plan, store: directory.store, note: coordinator.note)
      .snapshot(options.resume)
  }

  private func run(_ worker: Worker, _ coordinator: Coordinator?) throws -> ExitCode {
    switch try worker.train(coordinator) {
    case .stopped: return .stopped
    case .finished:
      coordinator?.directory.attempts.begin(step: worker.plan.totalSteps + 1)
      try Delivery(worker, coordinator).run()
      return .done
    }
  }
}

// MARK: - Before the first step

extension TrainingJob {
  private typealias Planned = (
    file: ConfigurationFile, plan: RunPlan, train: any Dataset, test: any Dataset
  )

  private func makePlan() throws -> Planned {
    let file = try ConfigurationFile(reading: options.configuration)
    var config = try RunConfig.load(file, overrides: options.overrides)
    // As it stands: the command line is no YAML.
    if let output = options.output { config.output = output }
    watchdog.follow(config.watchdog)
    let (train, test) = try Datasets.open(config: config)
    let plan = try RunPlan.resolve(
      config: config, worldSize: communicator.size, threads: placement.threads,
      data: DataSummary(train: train, test: test, config: config),
      machine: Machine.summary(mpiVersion: mpiVersion))
    try plan.requireTrainable()
    try MemoryLimit.requireAddressSpace(plan, rank: communicator.rank)
    return (file, plan, train, test)
  }

  /// The plan with buckets of a size that suits these hosts.
  private func measured(_ plan: RunPlan, _ communicator: any Communicator) throws -> RunPlan {
    let bytes = try BucketChoice.measure(
      over: communicator, gradientBytes: plan.layout.count * MemoryLayout<Float>.stride)
    return try Agreement.all(communicator) {
      try RunPlan.resolve(
        config: plan.config, worldSize: plan.worldSize, threads: plan.threads, data: plan.data,
        machine: plan.machine, bucketBytes: bytes)
    }
  }

  /// Before anything else: another program might go about it in another order.
  private func requireSameProgram() throws {
    var facts = RankFacts()
    facts.add("the program", "version \(Machine.programVersion), contents \(Machine.programHash)")
    facts.add("MPI", mpiVersion)
    try facts.requireSame(over: communicator)
  }

  /// What each rank has read and found for itself.
  private func requireSameJob(_ plan: RunPlan) throws {
    var facts = RankFacts()
    for (key, value) in plan.config.keyValues { facts.add("the configuration's \(key)", value) }
    facts.add("the data", plan.data.fingerprint)
    // One fact however many there are: ranks must come with as many.
    facts.add("the classes", plan.data.classNames.joined(separator: ", "))
    facts.add("the OpenBLAS kernel", plan.machine.blasKernel)
    facts.add("the CPU's features", Machine.kernelFeatures)
    facts.add(
      "the kernels", plan.kernels.parts.map { "\($0.name) \($0.value)" }.joined(separator: ", "))
    try facts.requireSame(over: communicator)
  }

  /// Rank 0's run directory and reports; nil on the other ranks.
  private func makeCoordinator(_ plan: RunPlan) throws -> Coordinator? {
    guard communicator.rank == 0 else { return nil }
    return try Coordinator(
      directory: RunDirectory(plan), progress: options.progress, lineWidth: options.lineWidth)
  }

  /// Sends every kind of message of a step once, with values whose sum depends on the order, and
  /// compares with the tree. In strict mode a run whose bits are not proved ends here.
  private func proveBits(_ plan: RunPlan, over communicator: any Communicator) throws -> String {
    if case .no(let reason) = plan.bitInvariance {
      return try unproved(plan, "not expected (\(reason))")
    }
    var probes: [BitInvariance.Probe] = []
    for message in plan.messages {
      let kind: BitInvariance.Probe.Kind =
        message.elementType == .float64
        ? .blockingDouble : message.isBlocking ? .blockingFloat : .startedFloat
      let probe = BitInvariance.Probe(kind: kind, count: message.count)
      if !probes.contains(probe) { probes.append(probe) }
    }
    let isProved = try BitInvariance.prove(probes, over: communicator, seed: plan.seed)
    return isProved ? "proved" : try unproved(plan, "not proved")
  }

  private func unproved(_ plan: RunPlan, _ finding: String) throws -> String {
    guard plan.config.communication.strictBits else { return finding }
    throw JobFailure(
      .numerics,
      "bit invariance over ranks: \(finding), and communication.strict_bits asks for it; use 1, 2, 4 "
        + "or 8 ranks and shards, default MPI algorithms, or set communication.strict_bits to false"
    )
  }
}

extension ReductionAlgorithm {
  package init(_ reduction: RunConfig.Reduction) {
    self =
      switch reduction {
      case .halving: .halving
      case .library: .library
      }
  }
}

extension DataSummary {
  /// What opened datasets say of themselves.
  package init(train: any Dataset, test: any Dataset, config: RunConfig) {
    let (height, width, channels) =
      switch train.form {
      case .pixels(let height, let width, let channels): (height, width, channels)
      case .encoded: (config.data.resolution, config.data.resolution, config.data.channels)
      }
    self.init(
      trainCount: train.count, testCount: test.count, classes: max(train.classes, test.classes),
      channels: channels, height: height, width: width,
      fingerprint: "\(train.fingerprint); \(test.fingerprint)", classNames: train.classNames,
      residentBytes: train.residentBytes + test.residentBytes, notes: train.notes + test.notes)
    let sizes = [train.largestSample, test.largestSample]
    largestBytes = sizes.map(\.bytes).max() ?? 0
    largestPixels = sizes.map(\.pixels).max() ?? 0
    isEncoded = train.form == .encoded
  }
}
