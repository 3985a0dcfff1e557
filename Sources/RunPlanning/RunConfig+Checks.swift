// What the keys of a configuration owe each other.

extension RunConfig.Data {
  /// Whether the configuration says where images come from. Without, only a plan can be made.
  package var isNamed: Bool {
    format == .synthetic || !directory.isEmpty || !files.allSatisfy(\.path.isEmpty)
  }

  /// The four files of IDX data by key.
  var files: [(key: String, path: String)] {
    [
      ("data.train_images", trainImages), ("data.train_labels", trainLabels),
      ("data.test_images", testImages), ("data.test_labels", testLabels),
    ]
  }
}

extension ConfigurationDecoding {
  /// Fills in what follows from other keys.
  func complete(_ config: inout RunConfig) throws(ConfigurationError) {
    // A plan without data is a plan for the published networks' data: colour images.
    let format = config.data.format
    if given["data.channels"] == nil, !config.data.isNamed || format.hasColour {
      config.data.channels = 3
    }
    if format.isEncoded {
      if given["data.resolution"] == nil { config.data.resolution = 224 }
      if given["data.crop"] == nil { config.data.crop = .randomResized }
      if config.data.channels == 3 {
        // Of ImageNet, as the published networks take them.
        if given["data.mean"] == nil { config.data.mean = [0.485, 0.456, 0.406] }
        if given["data.standard_deviation"] == nil {
          config.data.standardDeviation = [0.229, 0.224, 0.225]
        }
      }
    }
    let channels = config.data.channels
    func spread(_ values: [Double], _ key: String) throws(ConfigurationError) -> [Double] {
      if values.count == channels { return values }
      guard values.count == 1 else {
        throw refusal(
          key, "\(values.count) numbers for \(channels) channels; expects one, or one each")
      }
      return [Double](repeating: values[0], count: channels)
    }
    config.data.mean = try spread(config.data.mean, "data.mean")
    config.data.standardDeviation = try spread(
      config.data.standardDeviation, "data.standard_deviation")
  }

  func check(_ config: RunConfig) throws(ConfigurationError) {
    try checkArchitecture(config)
    try checkData(config)
    try checkTraining(config)
  }

  func refusal(_ key: String, _ problem: String) -> ConfigurationError {
    ConfigurationError(place: place(of: key), key: key, problem)
  }

  private func checkArchitecture(_ config: RunConfig) throws(ConfigurationError) {
    let network = config.model.architecture
    if let flaw = network.flaw(inputChannels: config.data.channels) {
      throw refusal("model.architecture.\(flaw.part)", flaw.problem)
    }
    // One would override the other without a word.
    for part in ["model.architecture.strides", "model.architecture.stem_stride"]
    where given["model.strides"] != nil && given[part] != nil {
      throw refusal(
        "model.strides",
        "holds the stem's stride and those of the stages, and \(part) is given too, at "
          + "\(place(of: part)); leave one of them out")
    }
  }

  private func checkTraining(_ config: RunConfig) throws(ConfigurationError) {
    let training = config.training
    guard training.shards <= training.globalBatch else {
      throw refusal(
        given["training.shards"] == nil ? "training.global_batch" : "training.shards",
        "\(training.shards) shards of a global batch of \(training.globalBatch); expects at most "
          + "one shard per image, training.shards <= training.global_batch")
    }
    let mixing = [
      ("training.mixup_alpha", training.mixupAlpha),
      ("training.cutmix_alpha", training.cutmixAlpha),
    ]
    if training.globalBatch < 2 * training.shards,
      let key = mixing.first(where: { $0.1 > 0 })?.0
    {
      throw refusal(
        key,
        "mixes images of one shard, but some of \(training.shards) shards of a global batch of "
          + "\(training.globalBatch) have a single image; expects fewer training.shards")
    }
    if config.optimizer.nesterov, config.optimizer.momentum == 0 {
      throw refusal("optimizer.nesterov", "needs optimizer.momentum above 0")
    }
    let schedule = config.schedule
    guard schedule.warmupEpochs <= Double(training.epochs) else {
      throw refusal(
        "schedule.warmup_epochs",
        "\(JSONText.number(schedule.warmupEpochs).plain) epochs of warm-up in a run of "
          + "\(training.epochs); expects at most training.epochs")
    }
    guard zip(schedule.milestones, schedule.milestones.dropFirst()).allSatisfy(<) else {
      throw refusal("schedule.milestones", "expects ascending epochs, each once")
    }
    if schedule.kind == .step, schedule.milestones.isEmpty {
      throw refusal("schedule.milestones", "is required for schedule.kind step")
    }
  }
}
