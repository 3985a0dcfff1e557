import Testing

@testable import RunPlanning

/// Configurations that are sound YAML and still wrong: line, key and mend must be in the message.
struct BadConfigurationTests {
  static let cases: [(text: String, fragments: [String])] = [
    (
      "name: x\ntraining:\n  global_bach: 3\n",
      [
        "config.yaml:3: training.global_bach: unknown key; did you mean training.global_batch?"
      ]
    ),
    ("trainig:\n  epochs: 3\n", ["config.yaml:1: trainig: unknown key; did you mean training?"]),
    ("global_batch: 3\n", ["config.yaml:1: global_batch: unknown key", "training.global_batch"]),
    ("training.epochs: 3\n", ["config.yaml:1: training.epochs:", "nested", "--set"]),
    ("\"a\\nb\": 1\n", ["config.yaml:1: a\\u{a}b: unknown key"]),
    ("training: 3\n", ["config.yaml:1: training:", "is a section"]),
    ("training: [1]\n", ["config.yaml:1: training:", "is a section"]),
    ("training: {epochs: many}\n", ["training.epochs: 'many' is not a whole number", "1 to"]),
    ("training: {epochs: 1.5}\n", ["'1.5' is not a whole number"]),
    ("training: {epochs: 1e3}\n", ["'1e3' is not a whole number"]),
    ("training: {epochs: 010}\n", ["'010' is not a whole number"]),
    ("training: {epochs: 0o17}\n", ["'0o17' is not a whole number"]),
    ("training: {epochs: 0x1F}\n", ["'0x1F' is not a whole number"]),
    ("training: {epochs: 1_000}\n", ["'1_000' is not a whole number"]),
    ("training: {epochs: \"5\"}\n", ["training.epochs: '5' is quoted", "leave the quotes out"]),
    ("training: {epochs: }\n", ["training.epochs: has no value"]),
    ("training: {epochs: null}\n", ["training.epochs: has no value"]),
    ("training: {epochs: [1]}\n", ["training.epochs: is a list"]),
    ("training: {epochs: {a: 1}}\n", ["training.epochs: is a mapping"]),
    ("training: {epochs: 0}\n", ["'0' is out of range", "1 to 100000"]),
    ("training: {max_steps: -0}\n", ["'-0' is not a whole number"]),
    ("training: {max_steps: -1}\n", ["'-1' is out of range"]),
    (
      "training: {epochs: 99999999999999999999999}\n",
      ["out of range"]
    ),
    ("training: {seed: -1}\n", ["training.seed: '-1' is out of range", "18446744073709551615"]),
    ("training: {seed: 18446744073709551616}\n", ["out of range"]),
    ("training: {shuffle: yes}\n", ["'yes' is neither true nor false"]),
    ("training: {shuffle: on}\n", ["'on' is neither true nor false"]),
    ("training: {shuffle: True}\n", ["'True' is neither true nor false"]),
    ("training: {shuffle: 1}\n", ["'1' is neither true nor false"]),
    ("training: {shuffle: 'true'}\n", ["is quoted"]),
    ("training: {batch_norm: synch}\n", ["did you mean sync", "sync | local"]),
    ("training: {batch_norm: no}\n", ["'no' is unknown", "sync | local"]),
    ("training: {label_smoothing: 1}\n", ["'1' is out of range", "from 0 to below 1"]),
    ("training: {label_smoothing: .nan}\n", ["'.nan' is not a number"]),
    ("training: {label_smoothing: -0.0}\n", ["'-0.0' is out of range"]),
    ("optimizer: {weight_decay: 1e400}\n", ["'1e400' is out of range"]),
    ("optimizer: {weight_decay: 1e-400}\n", ["'1e-400' is out of range"]),
    ("optimizer: {weight_decay: .inf}\n", ["'.inf' is not a number"]),
    ("optimizer: {weight_decay: 1,5}\n", ["config.yaml:1:"]),
    ("optimizer: {momentum: 1}\n", ["optimizer.momentum: '1' is out of range"]),
    ("optimizer: {momentum: 00.5}\n", ["'00.5' is not a number"]),
    ("optimizer:\n  momentum: 0\n  nesterov: true\n", ["config.yaml:3: optimizer.nesterov"]),
    ("schedule: {learning_rate: 0}\n", ["'0' is out of range", "above 0"]),
    ("schedule: {learning_rate: 0.1s}\n", ["'0.1s' is not a number"]),
    ("schedule: {kind: cosin}\n", ["did you mean cosine", "constant | cosine | step | poly"]),
    ("schedule: {kind: step}\n", ["schedule.milestones: is required"]),
    (
      "schedule:\n  kind: step\n  milestones: [30, 20]\n",
      ["config.yaml:3: schedule.milestones: expects ascending"]
    ),
    ("schedule: {milestones: 30}\n", ["schedule.milestones: is not a list"]),
    (
      "training: {epochs: 2}\nschedule:\n  warmup_epochs: 3\n",
      ["config.yaml:3: schedule.warmup_epochs", "at most training.epochs"]
    ),
    (
      "training:\n  global_batch: 8\n  shards: 16\n",
      ["config.yaml:3: training.shards: 16 shards of a global batch of 8"]
    ),
    (
      "training:\n  global_batch: 4\n",
      ["config.yaml:2: training.global_batch: 8 shards of a global batch of 4"]
    ),
    (
      "training:\n  global_batch: 15\n  cutmix_alpha: 1\n",
      ["config.yaml:3: training.cutmix_alpha: mixes images of one shard", "fewer training.shards"]
    ),
    ("model: {architecture: RepVGG-A9}\n", ["did you mean RepVGG-A0", "RepVGG-D2se"]),
    ("model: {architecture: resnet50}\n", ["unknown architecture 'resnet50'", "RepVGG-B3g4"]),
    ("model: {architecture: [1]}\n", ["neither a name nor a mapping"]),
    (
      "model:\n  architecture:\n    stem: 8\n    widths: [8]\n",
      ["config.yaml:3: model.architecture.depths: is required"]
    ),
    (
      "model:\n  architecture:\n    stem: 8\n    depths: [1, 1]\n    widths: [8]\n",
      ["config.yaml:5: model.architecture.widths: 1 widths for 2 stages"]
    ),
    (
      "model: {architecture: {stem: 8, depths: [1], widths: [8], groups: {9: 2}}}\n",
      ["'9' is no layer", "to 1"]
    ),
    (
      "model: {architecture: {stem: 8, depths: [3], widths: [9], groups: 2}}\n",
      ["model.architecture.groups: 2 groups on layer 2 (stage1.1) do not divide", "9 in and 9 out"]
    ),
    (
      "model: {architecture: {stem: 8, depths: [1], widths: [8], squeeze_excitation: true}}\n",
      ["model.architecture.squeeze_excitation: 8 channels cannot be squeezed"]
    ),
    (
      "model: {architecture: {stem: 8, depths: [1], widths: [99999]}}\n",
      ["model.architecture.widths: '99999' is out of range"]
    ),
    (
      "model:\n  architecture: {stem: 8, depths: [1], widths: [8],\n    strides: [1]}\n"
        + "  strides: [1, 2]\n",
      ["config.yaml:4: model.strides:", "model.architecture.strides is given too", "config.yaml:3"]
    ),
    (
      "model: {strides: [1, 1], architecture: {stem: 8, depths: [1], widths: [8], stem_stride: 1}}\n",
      ["model.strides: holds", "model.architecture.stem_stride is given too"]
    ),
    ("model: {strides: [1, 1]}\n", ["model.strides: has 2 items, RepVGG-A0 has 5 stages"]),
    ("model: {strides: [1, 1, 3, 1, 1]}\n", ["model.strides: '3' is out of range"]),
    ("model: {classes: 1}\n", ["model.classes: '1' is out of range", "2 to 1000000"]),
    ("data: {mean: [0.1, 0.2]}\n", ["data.mean: 2 numbers for 3 channels"]),
    ("data: {directory: /d, standard_deviation: [0]}\n", ["'0' is out of range", "above 0"]),
    ("data: {mean: [a]}\n", ["data.mean: 'a' is not a number"]),
    ("data:\n  directory: /d\n  channels: 3\n", ["config.yaml:3: data.channels: 3; IDX"]),
    ("data: {train_images: a}\n", ["data.train_labels: is required"]),
    ("data: {directory: ''}\n", ["data.directory: is empty"]),
    ("output: true\n", ["output: true is not text: put it in quotes"]),
    ("output: \"a\\0b\"\n", ["output:", "control characters"]),
    ("output: {a: b}\n", ["config.yaml:1: output: is a mapping; expects a path"]),
    ("name: a/b\n", ["name: 'a/b' does not do for file names"]),
    ("name: ..\n", ["name: '..' does not do for file names"]),
    ("name: -x\n", ["name: '-x' does not do"]),
  ]

  @Test(arguments: cases.indices) func refused(_ index: Int) throws {
    let (text, fragments) = Self.cases[index]
    let error = try #require(throws: ConfigurationError.self, "accepted: \(text)") {
      _ = try Sample.config(text)
    }
    #expect(error.kind == .configuration)
    for fragment in fragments {
      #expect(error.description.contains(fragment), "\(error) lacks \(fragment)")
    }
    #expect(error.description.hasPrefix("config.yaml"))
    #expect(!error.description.contains("\n"))
  }

  static let overrides: [(argument: String, fragments: [String])] = [
    ("training.epochs", ["--set training.epochs: expects KEY=VALUE"]),
    ("=3", ["expects KEY=VALUE"]),
    ("training.epoch=3", ["--set training.epoch=3: training.epoch: unknown key; did you mean"]),
    ("training={epochs: 3}", ["is a section; set its keys one by one"]),
    ("training.epochs=", ["training.epochs: has no value"]),
    ("training.epochs=x", ["--set training.epochs=x: training.epochs: 'x' is not a whole"]),
    ("training.epochs=[1", ["--set training.epochs=[1: not valid YAML"]),
    ("name=*a", ["aliases"]),
    ("model.architecture.stem=8", ["model.architecture is not a mapping at config.yaml:2"]),
    ("data..mean=[1]", ["unknown key"]),
    ("training.shards=512", ["--set training.shards=512: training.shards: 512 shards"]),
  ]

  @Test(arguments: overrides.indices) func refusedOverride(_ index: Int) throws {
    let (argument, fragments) = Self.overrides[index]
    let text = "model:\n  architecture: RepVGG-A0\n"
    let error = try #require(throws: ConfigurationError.self, "accepted: \(argument)") {
      _ = try Sample.config(text, set: [argument])
    }
    for fragment in fragments {
      #expect(error.description.contains(fragment), "\(error) lacks \(fragment)")
    }
  }
}
