// The keys of `data`: where images are, and what becomes of them.

extension ConfigurationKey {
  static let data = source + pixels + augmentation + loading

  private static let source: [ConfigurationKey] = [
    .choice(
      "data.format", \.data.format, atResume: .fixed,
      "`idx`: the files of MNIST and Fashion-MNIST, plain or gzipped; `cifar10`, `cifar100`: their "
        + "binary versions; `folder`: JPEG and PNG files in a directory for each class; `tar`: archives "
        + "of `key.jpg` and `key.cls`, as WebDataset writes them; `synthetic`: made up, to measure and "
        + "to try."),
    .path(
      "data.directory", \.data.directory, otherNames: ["root", "data_dir", "dataset"],
      atResume: .free("the data's fingerprint decides, not its place"),
      "Where the data lie under their standard names: `train-images-idx3-ubyte`, …, with or without "
        + "`.gz`; `data_batch_1.bin`, … or `train.bin`; the directories `train` and `val` (or `test`) "
        + "with a directory for each class, or with archives."),
    file(
      "data.train_images", \.data.trainImages,
      "Training images: a file (idx), or the directory instead of `train` (folder, tar)."),
    file("data.train_labels", \.data.trainLabels, "Training labels (idx)."),
    file(
      "data.test_images", \.data.testImages,
      "Test images: a file (idx), or the directory instead of `val` (folder, tar)."),
    file("data.test_labels", \.data.testLabels, "Test labels (idx)."),
    .path(
      "data.exclude", \.data.exclude, atResume: .free("the data's fingerprint decides"),
      "File with names of images to leave out (folder, tar), one a line: whole, below the split's "
        + "directory, or below the one above it, as `repvgg data verify --list` writes them."),
  ]

  private static let pixels: [ConfigurationKey] = [
    ConfigurationKey(
      "data.resolution", .integer(0...4096), unit: "pixels",
      default: "224 for folder and tar, else 0",
      otherNames: ["image_size", "img_size", "input_size"], atResume: .fixed,
      "Side of the square that the network sees; 0: the data's own size. Without named data a plan "
        + "takes 224, or 32 for CIFAR.",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.resolution = try value.integer(0...4096)
      },
      encode: { .integer($0.data.resolution) }),
    ConfigurationKey(
      "data.resolutions", .resolutions, unit: "pixels", default: "empty", atResume: .fixed,
      "Smaller images first (Tan and Le, ICML 2021): the resolution from an epoch on, counted from 0, "
        + "such as {0: 128, 40: 160, 80: 224}. The last one must be `data.resolution`, with which is "
        + "evaluated.",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.resolutions = try value.resolutions()
      },
      encode: { config in
        config.data.resolutions.isEmpty
          ? .null
          : .object(
            config.data.resolutions.sorted { $0.key < $1.key }.map {
              (String($0.key), .integer($0.value))
            })
      }),
    ConfigurationKey(
      "data.channels", .integer(1...1024), unit: "channels",
      default: "1 for idx and synthetic, else 3; 3 where no data is named",
      atResume: .fixed,
      "Channels of an image: 1 for IDX images, 3 for CIFAR, 1 or 3 for encoded ones.",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.channels = try value.integer(1...1024)
      },
      encode: { .integer($0.data.channels) }),
    ConfigurationKey(
      "data.mean", .numbers(each: .from(-1000, through: 1000), count: 1...1024),
      default: "[0.5]; [0.485, 0.456, 0.406] for folder and tar", atResume: .fixed,
      "Mean of each channel, of pixels scaled to 0…1; one number holds for all channels.",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.mean = try value.numbers(.from(-1000, through: 1000), 1...1024)
      },
      encode: { .array($0.data.mean.map { .number($0) }) }),
    ConfigurationKey(
      "data.standard_deviation", .numbers(each: .above(0, through: 1000), count: 1...1024),
      default: "[0.5]; [0.229, 0.224, 0.225] for folder and tar", atResume: .fixed,
      "Standard deviation of each channel, likewise.",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.standardDeviation = try value.numbers(.above(0, through: 1000), 1...1024)
      },
      encode: { .array($0.data.standardDeviation.map { .number($0) }) }),
    .choice(
      "data.decode", \.data.decode, atResume: .fixed,
      "`exact`: the pixels that torchvision gives with Pillow; `fast`: training images of JPEG "
        + "files are decoded with a coarser transform and coarser colours, and large ones reduced on the "
        + "way, which changes pixels a little; evaluation stays exact."),
    .boolean(
      "data.exif_orientation", \.data.exifOrientation, atResume: .fixed,
      "Turn images as their EXIF data says; torchvision does not."),
    .choice(
      "data.damaged", \.data.damaged, atResume: .fixed,
      "A training image that cannot be decoded: `fail` ends the run and names it, `replace` takes the "
        + "next good one of its shard in its place and says so. In evaluation it ends the run."),
    .integer(
      "data.evaluation_resize", \.data.evaluationResize, 0...8192, unit: "pixels", atResume: .fixed,
      "Shorter side to which test images are resized before the centre is cut out, where images are "
        + "resized; 0: 256 for a resolution of 224, and in proportion."),
  ]

  private static let augmentation: [ConfigurationKey] = [
    ConfigurationKey(
      "data.crop", .choice(RunConfig.Crop.allCases.map(\.rawValue)),
      default: "random_resized for folder and tar, else padded", atResume: .fixed,
      "How a training image is brought to the resolution: `padded` with zeros and cut out, "
        + "`random_resized`: a random part, resized (Szegedy et al., CVPR 2015).",
      decode: { (config, value) throws(ConfigurationError) in
        config.data.crop = try value.choice(RunConfig.Crop.self)
      },
      encode: { .string($0.data.crop.rawValue) }),
    .integer(
      "data.crop_padding", \.data.cropPadding, 0...256, unit: "pixels", atResume: .fixed,
      "Zero padding around a training image from which a random crop of its size is taken (Lee et al., "
        + "AISTATS 2015); 0: off."
    ),
    .numbers(
      "data.crop_scale", \.data.cropScale, each: .above(0, through: 1), count: 2...2,
      atResume: .fixed,
      "`random_resized`: smallest and largest share of the image's area."),
    .numbers(
      "data.crop_ratio", \.data.cropRatio, each: .above(0, through: 100), count: 2...2,
      atResume: .fixed, "`random_resized`: smallest and largest width over height."),
    .boolean(
      "data.horizontal_flip", \.data.horizontalFlip, atResume: .fixed,
      "Mirror training images with probability one half (Krizhevsky et al., NIPS 2012)."),
    .choice(
      "data.augmentation", \.data.augmentation, atResume: .fixed,
      "Random operations on training images, as torchvision has them: AutoAugment (Cubuk et al., CVPR "
        + "2019) with the policies found for ImageNet or CIFAR-10, RandAugment (Cubuk et al., NeurIPS "
        + "2020), TrivialAugment (Müller and Hutter, ICCV 2021)."),
    .integer(
      "data.randaugment_operations", \.data.randAugmentOperations, 1...16, unit: "operations",
      atResume: .fixed, "`randaugment`: operations on each image."),
    .integer(
      "data.randaugment_magnitude", \.data.randAugmentMagnitude, 0...30, atResume: .fixed,
      "`randaugment`: magnitude of the operations, of 31 steps."),
    .number(
      "data.random_erasing", \.data.randomErasing, .from(0, through: 1), atResume: .fixed,
      "Probability with which a random rectangle of a training image is set to the mean (Zhong et al., "
        + "AAAI 2020)."),
  ]

  private static let loading: [ConfigurationKey] = [
    .integer(
      "data.prefetch", \.data.prefetch, 1...64, unit: "batches", otherNames: ["prefetch_factor"],
      atResume: .free("changes time and memory only"),
      "Batches that the loader keeps ready ahead of the step."),
    .integer(
      "data.threads", \.data.threads, 1...256, unit: "threads",
      otherNames: ["workers", "num_workers"], atResume: .free("changes time and memory only"),
      "Threads of a rank that read and decode ahead of the step."),
    .integer(
      "data.train_limit", \.data.trainLimit, 0...1_000_000_000, unit: "images", atResume: .fixed,
      "Use the first n training images only; 0: all. Size of synthetic training data."),
    .integer(
      "data.test_limit", \.data.testLimit, 0...1_000_000_000, unit: "images", atResume: .fixed,
      "Use the first n test images only; 0: all. Size of synthetic test data."),
  ]

  private static func file(
    _ path: String, _ field: Field<String>, _ meaning: String
  ) -> ConfigurationKey {
    .path(
      path, field, atResume: .free("the data's fingerprint decides, not its place"), meaning)
  }
}
