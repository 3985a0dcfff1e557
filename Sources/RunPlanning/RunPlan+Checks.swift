// What can only be refused when world size, data and machine are known.

extension RunPlan {
  static func checkWorld(
    _ config: RunConfig, worldSize: Int, threads: Int
  ) throws(ConfigurationError) {
    let training = config.training
    guard (1...1024).contains(threads) else {
      throw ConfigurationError(key: "--threads", "\(threads) threads a rank; expects 1 to 1024")
    }
    guard worldSize >= 1 else {
      throw ConfigurationError(key: "--ranks", "\(worldSize) ranks; expects at least 1")
    }
    // A configuration made in code has not been through the decoder.
    guard training.globalBatch >= 1, (1...training.globalBatch).contains(training.shards) else {
      throw ConfigurationError(
        key: "training.shards",
        "\(training.shards) shards of a global batch of \(training.globalBatch); expects at least "
          + "1 and at most one shard per image")
    }
    guard worldSize > training.shards else { return }
    guard worldSize <= min(training.globalBatch, 4096) else {
      throw ConfigurationError(
        key: "training.shards",
        "\(worldSize) ranks for a global batch of \(training.globalBatch); start at most "
          + "\(min(training.globalBatch, 4096)) ranks"
          + (worldSize <= 4096
            ? ", or add --set training.global_batch=\(worldSize) --set training.shards=\(worldSize)"
            : ""))
    }
    var shards = 1
    while shards < worldSize { shards *= 2 }
    if shards > training.globalBatch { shards = worldSize }
    throw ConfigurationError(
      key: "training.shards",
      "\(worldSize) ranks but only \(training.shards) shards, and a rank computes whole shards; "
        + "start at most \(training.shards) ranks or add --set training.shards=\(shards)")
  }

  static func checkData(
    _ config: RunConfig, _ data: DataSummary, height: Int, width: Int
  ) throws(ConfigurationError) {
    guard data.trainCount >= 1, data.testCount >= 0, data.channels >= 1, height >= 1, width >= 1
    else {
      throw ConfigurationError(
        key: "data",
        "\(data.trainCount) training images of \(height) x \(width) x \(data.channels): nothing to "
          + "train on")
    }
    guard data.classes <= config.model.classes else {
      throw ConfigurationError(
        key: "model.classes",
        "\(config.model.classes), but the data's labels go up to \(data.classes - 1); add --set "
          + "model.classes=\(data.classes)")
    }
    guard config.data.mean.count == data.channels,
      config.data.standardDeviation.count == data.channels
    else {
      throw ConfigurationError(
        key: "data.mean",
        "\(config.data.mean.count) means and \(config.data.standardDeviation.count) deviations for "
          + "images of \(data.channels) channels; expects one for each, and data.channels: "
          + "\(data.channels)")
    }
  }

  /// BatchNorm over one value has no variance: refuses batches that would come to that.
  static func checkStatistics(
    _ config: RunConfig, trainCount: Int, blocks: [BlockShape]
  ) throws(ConfigurationError) {
    let pixels = blocks.map(\.outputPixels).min() ?? 1
    guard pixels == 1 else { return }
    let training = config.training
    /// Whether a batch of so many images normalises a channel over one value.
    func isSingle(batch: Int) -> Bool {
      switch training.batchNorm {
      case .sync: batch == 1
      case .local: batch / training.shards == 1 || batch < training.shards
      }
    }
    let last = trainCount % training.globalBatch
    let first = min(training.globalBatch, trainCount)
    let scope = training.batchNorm == .sync ? "batch" : "shard"
    if isSingle(batch: first) {
      throw ConfigurationError(
        key: training.batchNorm == .sync ? "training.global_batch" : "training.shards",
        "BatchNorm has one value per channel: 1 image a \(scope) and 1 pixel in the last stage; "
          + "use a larger \(scope), or strides that leave more pixels (model.strides)")
    }
    if last != 0, last != first, isSingle(batch: last) {
      let minimum = training.batchNorm == .sync ? 2 : 2 * training.shards
      let mend = (minimum..<max(minimum, training.globalBatch)).reversed().first {
        trainCount % $0 == 0 || !isSingle(batch: trainCount % $0)
      }
      throw ConfigurationError(
        key: "training.global_batch",
        "the last batch of an epoch has \(last) of \(trainCount) images: BatchNorm would have one "
          + "value per channel; add --set "
          + (mend.map { "training.global_batch=\($0)" }
            ?? "data.train_limit=\(trainCount - last)"))
    }
  }

  /// MPI counts elements in 32 bits.
  static func checkBuckets(_ buckets: [Range<Int>]) throws(ConfigurationError) {
    if let bucket = buckets.first(where: { $0.count > Int(Int32.max) }) {
      throw ConfigurationError(
        key: "model.architecture",
        "a gradient message of \(bucket.count) values is beyond what MPI sends; choose smaller "
          + "widths")
    }
  }

  static func checkMemory(
    _ memory: MemoryEstimate, config: RunConfig, worldSize: Int, machine: MachineSummary
  ) throws(ConfigurationError) {
    let ranks = max(1, min(machine.localRanks, worldSize))
    let needed = memory.total(ranks: ranks)
    guard machine.physicalMemoryBytes > 0, needed > machine.physicalMemoryBytes else { return }
    throw ConfigurationError(
      key: "training.global_batch",
      (ranks > 1 ? "\(ranks) ranks need " : "a rank needs ") + Quantity.bytes(needed)
        + " of memory and the machine has \(Quantity.bytes(machine.physicalMemoryBytes)); use "
        + "more machines (up to \(config.training.shards) ranks), or a smaller global batch or "
        + "resolution")
  }

  /// What is worth a person's attention although nothing is refused.
  static func notes(
    config: RunConfig, data: DataSummary, machine: MachineSummary
  ) -> [String] {
    var notes: [String] = []
    if data.isAssumed {
      notes.append(
        "The data was not opened: \(Quantity.grouped(data.trainCount)) training and "
          + "\(Quantity.grouped(data.testCount)) test images of \(data.height) x \(data.width) x "
          + "\(data.channels) are assumed.")
    }
    notes += data.notes
    for (name, value) in machine.blasEnvironment.sorted(by: { $0.key < $1.key })
    // None is faster: OpenBLAS has to be told of CPUs that are newer than itself.
    where name != "OPENBLAS_CORETYPE" || value != "SkylakeX" {
      notes.append(
        "\(name)=\(value) in the environment overrides OpenBLAS's own choice (now "
          + "\(machine.blasKernel)) and may cost half its speed; unset it.")
    }
    let (schedule, defaults) = (config.schedule, RunConfig.Schedule())
    let kind = schedule.kind.rawValue
    func ignored(_ key: String) { notes.append("schedule.\(key) has no effect on \(kind).") }
    if schedule.kind != .step {
      if !schedule.milestones.isEmpty { ignored("milestones") }
      if schedule.gamma != defaults.gamma { ignored("gamma") }
    }
    if schedule.kind != .poly, schedule.power != defaults.power { ignored("power") }
    if schedule.kind == .constant || schedule.kind == .step, schedule.finalLearningRate != 0 {
      ignored("final_learning_rate")
    }
    return notes
  }
}
