extension RunPlan {
  /// Answers every question of a run of `worldSize` ranks with `threads` threads each.
  ///
  /// Throws kind `.configuration` with the setting that mends it: more ranks than shards, groups
  /// that do not divide, labels beyond the classes, BatchNorm over a single value, too little
  /// memory.
  ///
  /// - Parameter bucketBytes: measured, for a configuration that asks for it.
  package static func resolve(
    config: RunConfig, worldSize: Int, threads: Int, data: DataSummary, machine: MachineSummary,
    bucketBytes: Int = RunConfig.Communication.usualBucketBytes
  ) throws(ConfigurationError) -> RunPlan {
    let (height, width) =
      config.data.resolution == 0
      ? (data.height, data.width) : (config.data.resolution, config.data.resolution)
    try checkWorld(config, worldSize: worldSize, threads: threads)
    try checkData(config, data, height: height, width: width)

    let architecture = config.model.architecture
    if let flaw = architecture.flaw(inputChannels: data.channels) {
      throw ConfigurationError(key: "model.architecture.\(flaw.part)", flaw.problem)
    }
    let blocks = architecture.blocks(
      inputChannels: data.channels, height: height, width: width)
    let cost = CostModel(blocks: blocks, classes: config.model.classes)
    let training = config.training
    guard cost.isCountable(images: training.globalBatch) else {
      throw ConfigurationError(
        key: "model.architecture",
        "the network on \(training.globalBatch) images of \(height) x \(width) is beyond all bounds; "
          + "choose smaller widths, resolution or global batch")
    }
    try checkStatistics(config, trainCount: data.trainCount, blocks: blocks)
    let phases = phases(config, inputChannels: data.channels, blocks: blocks)
    try checkPhases(phases, config, trainCount: data.trainCount)

    let trainingTable = ParameterTable.training(blocks: blocks, classes: config.model.classes)
    let layout = ArenaLayout(trainingTable)
    let configured = config.communication.bucketBytes
    let buckets = layout.buckets(bytes: configured == 0 ? bucketBytes : configured)
    try checkBuckets(buckets)
    let ranksShards = EvenCut(training.shards, into: worldSize).ranges
    let shardSize = (training.globalBatch + training.shards - 1) / training.shards
    var load = CostModel.Load(
      shards: ranksShards[0].count, shardSize: shardSize, threads: threads,
      prefetch: config.data.prefetch, datasetBytes: data.residentBytes,
      panelWidth: machine.panelWidth)
    load.loaderBytes =
      LoaderMemory(
        data: data, threads: config.data.threads, height: height, width: width,
        channels: data.channels, turns: config.data.exifOrientation
      ).total
    load.keepsAverage = training.averageDecay > 0
    let memory = cost.memory(
      layout: layout, load: load, otherSizes: phases.dropLast().map(\.blocks))
    try checkMemory(memory, config: config, worldSize: worldSize, machine: machine)

    let stepsPerEpoch = (data.trainCount + training.globalBatch - 1) / training.globalBatch
    let scheduleSteps = training.epochs * stepsPerEpoch
    return RunPlan(
      config: config, data: data, machine: machine, worldSize: worldSize, threads: threads,
      blocks: blocks, trainingTable: trainingTable,
      deployTable: .deploy(blocks: blocks, classes: config.model.classes), layout: layout,
      classes: config.model.classes, inputChannels: data.channels, height: height, width: width,
      phases: phases, globalBatch: training.globalBatch, shards: training.shards,
      ranksShards: ranksShards,
      maximumShardSize: shardSize, stepsPerEpoch: stepsPerEpoch, scheduleSteps: scheduleSteps,
      totalSteps: training.maxSteps == 0 ? scheduleSteps : min(scheduleSteps, training.maxSteps),
      bitInvariance: .of(ranks: worldSize, shards: training.shards), buckets: buckets,
      messages: messages(
        worldSize: worldSize,
        blocks: blocks, buckets: buckets, layout: layout, batchNorm: training.batchNorm),
      macsTraining: cost.trainingMACs, macsDeploy: cost.deployMACs,
      winogradMultiplications: cost.winogradMultiplications, memory: memory,
      paths: Paths(runDirectory: config.output, name: config.name),
      notes: notes(config: config, data: data, machine: machine))
  }

  private static func messages(
    worldSize: Int, blocks: [BlockShape], buckets: [Range<Int>], layout: ArenaLayout,
    batchNorm: RunConfig.BatchNormMode
  ) -> [Message] {
    var messages: [Message] = []
    if batchNorm == .sync {
      // Sums and sums of squares of every branch, and the count.
      messages += blocks.map {
        Message(
          purpose: .forwardStatistics, subject: $0.key,
          count: 2 * $0.branchCount * $0.outputChannels + 1, elementType: .float64,
          isBlocking: true)
      }
      // The sum of g, which the branches share, and that of g·ẑ for each branch.
      messages += blocks.reversed().map {
        Message(
          purpose: .backwardStatistics, subject: $0.key,
          count: (1 + $0.branchCount) * $0.outputChannels, elementType: .float64,
          isBlocking: true)
      }
    }
    // Local statistics leave the gradients of scales and shifts to be reduced like any other.
    let reduced =
      buckets + (batchNorm == .local ? [layout.weightCount..<layout.count] : [])
    messages += reduced.enumerated().map { index, bucket in
      Message(
        purpose: .gradients, subject: String(index), count: bucket.count, elementType: .float32,
        isBlocking: false)
    }
    messages.append(
      Message(
        purpose: .stepSummary, subject: "", count: summaryCount + worldSize,
        elementType: .float64, isBlocking: true))
    return messages
  }
}
