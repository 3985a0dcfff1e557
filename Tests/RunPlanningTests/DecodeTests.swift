import Foundation
import Testing

@testable import RunPlanning

struct DecodeTests {
  /// Every key with a value other than its default.
  private static let everyKey = """
    name: mine
    output: /somewhere/else
    model:
      architecture: RepVGG-B1g4
      classes: 100
      strides: [1, 1, 2, 2, 1]
      initialize_from: a.pth
    data:
      format: idx
      directory: "/data/x"
      train_images: a
      train_labels: b
      test_images: c
      test_labels: d
      resolution: 32
      channels: 1
      mean: [0.25]
      standard_deviation: [0.5]
      crop_padding: 4
      horizontal_flip: true
      prefetch: 3
      train_limit: 1000
      test_limit: 500
    training:
      global_batch: 64
      shards: 4
      epochs: 12
      max_steps: 99
      seed: 18446744073709551615
      batch_norm: local
      label_smoothing: 0.1
      shuffle: false
    optimizer: {momentum: 0.8, nesterov: true, weight_decay: 5e-4}
    schedule:
      kind: step
      learning_rate: 0.2
      final_learning_rate: 1e-3
      warmup_epochs: 1.5
      warmup_start: 0.1
      milestones: [4, 8.5]
      gamma: 0.2
      power: 2
    evaluation: {every_epochs: 0}
    checkpoint: {every_steps: 0, every_minutes: .5, keep: 9}
    communication: {bucket_bytes: 65536, reduction: library, strict_bits: true}
    fuse: {block_tolerance: 1e-5, logit_tolerance: 1e-2, minimum_agreement: 1}
    artifacts: {licence: "CC-BY-4.0: ask us"}
    """

  @Test func everyKeyIsDecoded() throws {
    let config = try Sample.config(Self.everyKey)
    var expected = RunConfig()
    expected.name = "mine"
    expected.output = "/somewhere/else"
    expected.model.architecture = try #require(
      Architecture.zoo.first { $0.name == "RepVGG-B1g4" })
    expected.model.architecture.stemStride = 1
    expected.model.architecture.strides = [1, 2, 2, 1]
    expected.model.classes = 100
    expected.model.initializeFrom = "a.pth"
    expected.data.directory = "/data/x"
    (expected.data.trainImages, expected.data.trainLabels) = ("a", "b")
    (expected.data.testImages, expected.data.testLabels) = ("c", "d")
    expected.data.resolution = 32
    (expected.data.mean, expected.data.standardDeviation) = ([0.25], [0.5])
    expected.data.cropPadding = 4
    expected.data.horizontalFlip = true
    expected.data.prefetch = 3
    (expected.data.trainLimit, expected.data.testLimit) = (1000, 500)
    expected.training.globalBatch = 64
    expected.training.shards = 4
    (expected.training.epochs, expected.training.maxSteps) = (12, 99)
    expected.training.seed = .max
    expected.training.batchNorm = .local
    expected.training.labelSmoothing = 0.1
    expected.training.shuffle = false
    expected.optimizer.momentum = 0.8
    expected.optimizer.nesterov = true
    expected.optimizer.weightDecay = 5e-4
    expected.schedule.kind = .step
    expected.schedule.learningRate = 0.2
    expected.schedule.finalLearningRate = 1e-3
    (expected.schedule.warmupEpochs, expected.schedule.warmupStart) = (1.5, 0.1)
    (expected.schedule.milestones, expected.schedule.gamma) = ([4, 8.5], 0.2)
    expected.schedule.power = 2
    expected.evaluation.everyEpochs = 0
    (expected.checkpoint.everySteps, expected.checkpoint.everyMinutes) = (0, 0.5)
    expected.checkpoint.keep = 9
    expected.communication.bucketBytes = 65536
    expected.communication.reduction = .library
    expected.communication.strictBits = true
    (expected.fuse.blockTolerance, expected.fuse.logitTolerance) = (1e-5, 1e-2)
    expected.fuse.minimumAgreement = 1
    expected.artifacts.licence = "CC-BY-4.0: ask us"
    #expect(config == expected)
  }

  @Test func encodedImages() throws {
    let config = try Sample.config(
      """
      data:
        format: tar
        directory: /data
        exclude: bad.txt
        resolution: 160
        resolutions: {0: 96, 3: 160}
        decode: fast
        exif_orientation: true
        damaged: replace
        evaluation_resize: 200
        crop_scale: [0.2, 0.9]
        crop_ratio: [0.5, 2]
        augmentation: randaugment
        randaugment_operations: 3
        randaugment_magnitude: 12
        random_erasing: 0.25
        threads: 2
      training: {epochs: 4, mixup_alpha: 0.2, cutmix_alpha: 1, average_decay: 0.999}
      """)
    var data = RunConfig.Data()
    (data.format, data.directory, data.exclude) = (.tar, "/data", "bad.txt")
    (data.resolution, data.resolutions) = (160, [0: 96, 3: 160])
    (data.decode, data.exifOrientation, data.damaged) = (.fast, true, .replace)
    (data.crop, data.evaluationResize) = (.randomResized, 200)
    (data.cropScale, data.cropRatio) = ([0.2, 0.9], [0.5, 2])
    (data.augmentation, data.randAugmentOperations) = (.randAugment, 3)
    (data.randAugmentMagnitude, data.randomErasing, data.threads) = (12, 0.25, 2)
    // What follows from the format.
    data.channels = 3
    data.mean = [0.485, 0.456, 0.406]
    data.standardDeviation = [0.229, 0.224, 0.225]
    #expect(config.data == data)
    #expect((config.training.mixupAlpha, config.training.cutmixAlpha) == (0.2, 1))
    #expect(config.training.averageDecay == 0.999)
    #expect(try Sample.config("data: {format: folder}").data.resolution == 224)
    #expect(RunConfig.Data().standardEvaluationSide == 0)
    #expect(try Sample.config("data: {format: folder}").data.standardEvaluationSide == 256)
  }

  @Test(arguments: [
    ("format: folder, directory: d, crop: padded", "data.crop"),
    ("format: folder, directory: d, resolution: 0", "data.resolution"),
    ("format: folder, directory: d, evaluation_resize: 200", "data.evaluation_resize"),
    ("format: folder, directory: d, crop_padding: 4", "data.crop_padding"),
    ("format: folder, directory: d, crop_scale: [0.9, 0.1]", "data.crop_scale"),
    ("format: folder, directory: d, channels: 2", "data.channels"),
    ("format: folder, train_images: d", "data.test_images"),
    ("format: tar, directory: d, train_labels: x", "data.train_labels"),
    ("format: tar, directory: d, resolutions: {1: 224}", "data.resolutions"),
    ("format: tar, directory: d, resolutions: {0: 128}", "data.resolutions"),
    ("format: tar, directory: d, resolutions: {0: 256, 1: 224}", "data.resolutions"),
    ("format: tar, directory: d, resolutions: {x: 224}", "data.resolutions"),
    ("format: cifar10, directory: d, channels: 1", "data.channels"),
    ("format: cifar10, directory: d, exclude: x", "data.exclude"),
    ("format: cifar10, directory: d, evaluation_resize: 40", "data.evaluation_resize"),
    ("directory: d, resolutions: {0: 28}", "data.resolutions"),
  ])
  func keysThatContradict(data: String, key: String) throws {
    let error = try #require(throws: ConfigurationError.self) {
      try Sample.config("data: {\(data)}\ntraining: {epochs: 4}")
    }
    #expect(error.key == key, "\(error)")
  }

  @Test func spelledOutNetwork() throws {
    let config = try Sample.config(
      """
      model:
        architecture:
          stem: 48
          depths: [2, 4]
          widths: [48, 96]
          stem_stride: 1
          groups: {2: 2, 4: 4, 5: 1}
          squeeze_excitation: true
      """)
    #expect(
      config.model.architecture
        == Architecture(
          stemWidth: 48, stemStride: 1, depths: [2, 4], widths: [48, 96], groups: [2: 2, 4: 4],
          squeezeExcitation: true))
  }

  @Test func numbersOfChannelsSpread() throws {
    let config = try Sample.config(
      "data: {format: synthetic, channels: 3, mean: [0.1], standard_deviation: [0.1, 0.2, 0.3]}")
    #expect(config.data.mean == [0.1, 0.1, 0.1])
    #expect(config.data.standardDeviation == [0.1, 0.2, 0.3])
    #expect(try Sample.config("model: {classes: 10}").data.channels == 3)
    #expect(try Sample.config("data: {directory: /d}").data.channels == 1)
  }

  @Test func sectionsMayBeEmpty() throws {
    #expect(try Sample.config("training:\n  # epochs: 3\nname: x\n").training.epochs == 1)
  }

  @Test func overridesReplaceAndTheLastWins() throws {
    let config = try Sample.config(
      Sample.small,
      set: [
        "training.epochs=3", "training.epochs=4", "model.strides=[1, 1, 1]",
        "model.architecture.widths=[8, 32]", "optimizer.momentum=0.5", "name=other",
        "data.mean=[0.25]",
      ])
    #expect(config.training.epochs == 4)
    #expect(config.model.architecture.strides == [1, 1])
    #expect(config.model.architecture.widths == [8, 32])
    #expect(config.optimizer.momentum == 0.5)
    #expect(config.output == "runs/other")
    #expect(config.data.mean == [0.25])
    let whole = try Sample.config(
      "model: {architecture: A0}",
      set: ["model.architecture={stem: 8, depths: [1], widths: [8]}"])
    #expect(whole.model.architecture.depths == [1])
  }

  /// Suggestions for keys that other trainers call differently or that are misspelt.
  @Test(arguments: [
    ("training.global_bach", "training.global_batch"), ("lr", "schedule.learning_rate"),
    ("training.batch_size", "training.global_batch"),
    ("training.weight_decay", "optimizer.weight_decay"), ("trainig", "training"),
    ("model.arch", "model.architecture"), ("data.train-images", "data.train_images"),
    ("model.pretrained", "model.initialize_from"),
    ("checkpoint.evry_steps", "checkpoint.every_steps"),
  ])
  func suggestions(_ path: String, _ near: String) {
    #expect(ConfigurationKey.nearest(to: path) == near)
  }

  @Test func noSuggestionWhereNothingIsNear() throws {
    let error = try #require(throws: ConfigurationError.self) {
      _ = try Sample.config("optimizer: {zzzzzzzz: 1}")
    }
    #expect(error.description.contains("known here: momentum, nesterov, weight_decay"))
  }

  /// The state of a run carries its configuration as JSON.
  @Test func survivesCoding() throws {
    let config = try Sample.config(
      Sample.small, set: ["training.seed=18446744073709551615", "optimizer.weight_decay=1e-5"])
    let coded = try JSONEncoder().encode(config)
    #expect(try JSONDecoder().decode(RunConfig.self, from: coded) == config)
  }

  @Test func differencesAtResume() throws {
    let old = try Sample.config(Sample.small)
    let free = try Sample.config(
      Sample.small,
      set: [
        "training.epochs=9", "training.max_steps=5", "checkpoint.keep=1", "name=x",
        "evaluation.every_epochs=2", "data.directory=/elsewhere", "data.prefetch=1",
        "model.initialize_from=w.safetensors",
      ])
    #expect(free.differencesRefusedAtResume(from: old).isEmpty)
    let fixed = try Sample.config(
      Sample.small,
      set: [
        "training.seed=2", "schedule.learning_rate=0.2", "model.strides=[1, 1, 2]",
        "model.architecture.widths=[8, 24]", "training.batch_norm=local",
      ])
    #expect(
      fixed.differencesRefusedAtResume(from: old) == [
        ConfigurationDifference(
          key: "model.architecture",
          old: "{stem: 8, depths: [2, 2], widths: [8, 16], groups: {2: 2}}",
          new: "{stem: 8, depths: [2, 2], widths: [8, 24], groups: {2: 2}}"),
        ConfigurationDifference(key: "model.strides", old: "[1, 2, 2]", new: "[1, 1, 2]"),
        ConfigurationDifference(key: "training.seed", old: "1", new: "2"),
        ConfigurationDifference(key: "training.batch_norm", old: "sync", new: "local"),
        ConfigurationDifference(key: "schedule.learning_rate", old: "0.1", new: "0.2"),
      ])
  }
}
