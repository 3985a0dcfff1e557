// The keys of the run itself and of `model`.

extension ConfigurationKey {
  static let run: [ConfigurationKey] = [
    ConfigurationKey(
      "name", .name, default: "the configuration file's name without extension",
      atResume: .free("names files only"), "Names the artifacts of the run.",
      decode: { (config, value) throws(ConfigurationError) in config.name = try value.name() },
      encode: { .string($0.name) }),
    .path(
      "output", \.output, default: "runs/NAME", otherNames: ["output_dir", "outdir", "save_dir"],
      atResume: .free("says where the run lies"),
      "Directory of the run: checkpoints, metrics, artifacts."),
  ]

  static let model: [ConfigurationKey] =
    [
      ConfigurationKey(
        "model.architecture", .architecture, otherNames: ["arch", "network", "backbone"],
        atResume: .fixed,
        "A published network by name, or one spelled out by the keys below it.",
        decode: { (config, value) throws(ConfigurationError) in
          config.model.architecture = try Architecture.named(value)
        },
        encode: { $0.model.architecture.spelling })
    ] + spelledArchitecture + [
      .integer(
        "model.classes", \.model.classes, 2...1_000_000, unit: "classes",
        otherNames: ["num_classes", "nclasses"], atResume: .fixed,
        "Outputs of the classifier; every label must be below it."),
      ConfigurationKey(
        "model.strides", .integers(each: 1...2, count: 1...9),
        default: "of the architecture (2 for the stem and for every stage)", atResume: .fixed,
        "Strides of stage 0 and of the first block of each further stage: small images want fewer "
          + "2s.",
        decode: { (config, value) throws(ConfigurationError) in
          let strides = try value.integers(1...2, 1...9)
          let stages = 1 + config.model.architecture.depths.count
          guard strides.count == stages else {
            throw value.refusal(
              "has \(strides.count) items, \(config.model.architecture.name) has \(stages) stages")
          }
          config.model.architecture.stemStride = strides[0]
          config.model.architecture.strides = Array(strides.dropFirst())
        },
        encode: {
          .array(
            ([$0.model.architecture.stemStride] + $0.model.architecture.strides)
              .map { .integer($0) })
        }),
      ConfigurationKey(
        "model.initialize_from", .path,
        otherNames: ["pretrained", "initial_checkpoint", "finetune", "init_from", "load_from"],
        atResume: .free("is read where a run begins, and not when it goes on"),
        "File of training weights with which a run begins, under the published names, timm's or "
          + "mmpretrain's. Without one, and for the classifier where the file has another number of "
          + "classes, initial values come from the seed.",
        decode: { (config, value) throws(ConfigurationError) in
          config.model.initializeFrom = try value.text()
        },
        encode: { .string($0.model.initializeFrom ?? "") }),
    ]

  /// The parts of a network that is spelled out. They encode as parts of `model.architecture`.
  private static let spelledArchitecture: [ConfigurationKey] = [
    part(
      "stem", .integer(1...Architecture.largestWidth), default: "required", unit: "channels",
      "Output channels of stage 0."
    ) { (network, value) throws(ConfigurationError) in
      network.stemWidth = try value.integer(1...Architecture.largestWidth)
    },
    part(
      "depths", .integers(each: 1...Architecture.largestDepth, count: Architecture.stageCounts),
      default: "required", unit: "blocks", "Blocks of each stage after the stem."
    ) { (network, value) throws(ConfigurationError) in
      network.depths = try value.integers(
        1...Architecture.largestDepth, Architecture.stageCounts)
    },
    part(
      "widths", .integers(each: 1...Architecture.largestWidth, count: Architecture.stageCounts),
      default: "required", unit: "channels", "Output channels of each stage after the stem."
    ) { (network, value) throws(ConfigurationError) in
      network.widths = try value.integers(
        1...Architecture.largestWidth, Architecture.stageCounts)
    },
    part(
      "stem_stride", .integer(1...2), default: "2", "Stride of stage 0."
    ) { (network, value) throws(ConfigurationError) in
      network.stemStride = try value.integer(1...2)
    },
    part(
      "strides", .integers(each: 1...2, count: Architecture.stageCounts), default: "all 2",
      "Stride of the first block of each stage after the stem."
    ) { (network, value) throws(ConfigurationError) in
      network.strides = try value.integers(1...2, Architecture.stageCounts)
    },
    part(
      "groups", .groups, default: "1",
      "Groups of both convolutions. A number n means n groups on the layers 2, 4, 6, … up to 26 as "
        + "in the paper (the stem is layer 0); a mapping names layers. Groups divide both channel "
        + "counts of their block."
    ) { (network, value) throws(ConfigurationError) in
      network.groups = try Architecture.groups(value, layers: network.layerCount)
    },
    part(
      "squeeze_excitation", .boolean, default: "false",
      "Squeeze-and-excitation (reduction 16) on every block's branch sum; needs 16 channels or more."
    ) { (network, value) throws(ConfigurationError) in
      network.squeezeExcitation = try value.boolean()
    },
  ]

  private static func part(
    _ word: String, _ form: ConfigurationForm, default: String, unit: String = "",
    _ meaning: String,
    decode:
      @escaping @Sendable (inout Architecture, ConfigurationValue) throws(ConfigurationError)
      -> Void
  ) -> ConfigurationKey {
    ConfigurationKey(
      "model.architecture.\(word)", form, unit: unit, default: `default`, atResume: .fixed, meaning,
      decode: { (config, value) throws(ConfigurationError) in
        try decode(&config.model.architecture, value)
      },
      encode: { _ in .null })
  }
}
