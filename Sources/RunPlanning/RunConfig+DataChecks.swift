// What the keys of `data` owe each other.

extension RunConfig.DataFormat {
  /// Whether images have three channels unless something else is said.
  var hasColour: Bool { self != .idx && self != .synthetic }
}

extension ConfigurationDecoding {
  func checkData(_ config: RunConfig) throws(ConfigurationError) {
    try checkSource(config.data)
    try checkPixels(config.data)
    try checkResolutions(config)
  }

  private func checkSource(_ data: RunConfig.Data) throws(ConfigurationError) {
    guard data.isNamed else { return }
    if data.format == .idx {
      guard data.channels == 1 else {
        throw refusal("data.channels", "\(data.channels); IDX images have 1 channel")
      }
      if data.directory.isEmpty, let file = data.files.first(where: \.path.isEmpty) {
        throw refusal(file.key, "is required where data.directory is not given")
      }
    } else {
      for key in ["data.train_labels", "data.test_labels"] where given[key] != nil {
        throw refusal(key, "belongs to data.format idx; leave it out")
      }
    }
    if data.format.isEncoded, data.directory.isEmpty,
      let file = data.files.first(where: { $0.path.isEmpty && $0.key.hasSuffix("images") })
    {
      throw refusal(file.key, "is required where data.directory is not given")
    }
    if data.format == .cifar10 || data.format == .cifar100, data.channels != 3 {
      throw refusal("data.channels", "\(data.channels); CIFAR images have 3 channels")
    }
    if data.format.isEncoded, data.channels != 1, data.channels != 3 {
      throw refusal("data.channels", "\(data.channels); images are decoded to 1 or 3 channels")
    }
    if !data.exclude.isEmpty, !data.format.isEncoded {
      throw refusal("data.exclude", "names files; it belongs to data.format folder or tar")
    }
  }

  private func checkPixels(_ data: RunConfig.Data) throws(ConfigurationError) {
    if data.format.isEncoded {
      guard data.resolution > 0 else {
        throw refusal("data.resolution", "0; images differ in size, so it must be given")
      }
      guard data.crop == .randomResized else {
        throw refusal("data.crop", "padded; images differ in size, so they must be random_resized")
      }
    }
    if data.crop == .randomResized {
      guard data.cropPadding == 0 else {
        throw refusal(
          "data.crop_padding", "has no meaning for data.crop random_resized; leave it out")
      }
      guard data.channels == 1 || data.channels == 3 else {
        throw refusal("data.crop", "random_resized takes images of 1 or 3 channels")
      }
    } else if data.evaluationResize != 0 {
      throw refusal("data.evaluation_resize", "belongs to data.crop random_resized; leave it out")
    }
    if data.augmentation != .none, data.channels != 1, data.channels != 3 {
      throw refusal("data.augmentation", "takes images of 1 or 3 channels")
    }
    for (key, range) in [("data.crop_scale", data.cropScale), ("data.crop_ratio", data.cropRatio)]
    where range[0] > range[1] {
      throw refusal(key, "the first number is above the second; expects smallest, largest")
    }
    let side = data.evaluationResize
    if side != 0, side < data.resolution {
      throw refusal(
        "data.evaluation_resize",
        "\(side) is below data.resolution \(data.resolution), which is cut out of it")
    }
  }

  private func checkResolutions(_ config: RunConfig) throws(ConfigurationError) {
    let (data, resolutions) = (config.data, config.data.resolutions)
    guard let last = resolutions.max(by: { $0.key < $1.key }) else { return }
    guard data.crop == .randomResized else {
      throw refusal("data.resolutions", "needs images that are resized: data.crop random_resized")
    }
    guard resolutions[0] != nil else {
      throw refusal("data.resolutions", "does not say with which resolution epoch 0 begins")
    }
    guard last.value == data.resolution else {
      throw refusal(
        "data.resolutions",
        "ends with \(last.value), but data.resolution is \(data.resolution); expects the same")
    }
    if let larger = resolutions.first(where: { $0.value > data.resolution }) {
      throw refusal(
        "data.resolutions",
        "\(larger.value) is above data.resolution \(data.resolution); expects at most that")
    }
    guard last.key < config.training.epochs else {
      throw refusal(
        "data.resolutions",
        "epoch \(last.key) is behind the last one, \(config.training.epochs - 1)")
    }
  }
}
