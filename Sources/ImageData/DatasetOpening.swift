import Glibc
import RunPlanning

/// Opens what the configuration's `data` section names.
package enum Datasets {
  /// Sides of synthetic images when `data.resolution` is 0, and their numbers without limits.
  package static let syntheticSide = 32
  package static let syntheticTrainCount = 2048
  package static let syntheticTestCount = 512

  package typealias Pair = (train: any Dataset, test: any Dataset)

  package enum Split: String, Sendable { case train, test }

  /// Both splits, validated, with limits applied; of one kind and image size, labels below
  /// `model.classes`, classes of the same names.
  package static func open(config: RunConfig) throws(DataError) -> Pair {
    let (train, test) = (try read(.train, config), try read(.test, config))
    if case .pixels(let height, let width, _) = train.form,
      case .pixels(let testHeight, let testWidth, _) = test.form, train.form != test.form
    {
      throw DataError(
        .malformed,
        "\(test.name(of: 0)): test images are \(testHeight) x \(testWidth), "
          + "but \(train.name(of: 0)) is \(height) x \(width)")
    }
    try requireSameClasses(train.classNames, test.classNames, test: test.name(of: 0))
    return (train, test)
  }

  /// One split alone, validated as by `open(config:)`: evaluation asks for no training images.
  ///
  /// Where classes are directories, a label is a place among their names: the other split's are
  /// compared if it is there, and all of `model.classes` must be there if it is not.
  package static func open(
    _ split: Split, config: RunConfig
  ) throws(DataError) -> any Dataset {
    let dataset = try read(split, config)
    let (names, expected) = (dataset.classNames, config.model.classes)
    guard dataset.classes <= expected else {
      throw DataError(
        .configuration,
        "model.classes is \(expected), but the labels of the \(split) images go up to "
          + "\(dataset.classes - 1); add --set model.classes=\(dataset.classes) if the weights have "
          + "as many")
    }
    guard config.data.format == .folder else { return dataset }
    if let others = try classDirectories(besides: split, config.data) {
      let (train, test) = split == .train ? (names, others) : (others, names)
      try requireSameClasses(train, test, test: dataset.name(of: 0))
    } else if names.count < expected {
      throw DataError(
        .malformed,
        "\(dataset.name(of: 0)): the \(split) images have directories of \(names.count) classes, but "
          + "model.classes is \(expected); a label is a directory's place among all, so add the "
          + "missing ones, or the other split beside it")
    }
    return dataset
  }

  private static func read(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    switch config.data.format {
    case .idx: try openIDX(split, config)
    case .cifar10: try openCIFAR(split, config, .ten)
    case .cifar100: try openCIFAR(split, config, .hundred)
    case .folder: try openFolder(split, config)
    case .tar: try openArchives(split, config)
    case .synthetic: try makeSynthetic(split, config)
    }
  }

  /// Names of the classes must be the same in both splits, or their labels would mean something else.
  ///
  /// `test`: a test image, for the message.
  static func requireSameClasses(
    _ ours: [String], _ theirs: [String], test: String
  ) throws(DataError) {
    guard let (label, first, second) = ClassNames.difference(ours, theirs) else { return }
    // Byte for byte, where Swift would take two spellings of an accent for one.
    func only(_ names: [String], in place: String, besides others: [String]) -> String? {
      let known = Set(others.map { Array($0.utf8) })
      let new = names.filter { !known.contains(Array($0.utf8)) }
      let shown = new.prefix(5).map { "'\($0)'" }.joined(separator: ", ")
      let rest = new.count > 5 ? " and \(new.count - 5) more" : ""
      return new.isEmpty ? nil : "only in \(place): \(shown)\(rest)"
    }
    let differences = [
      only(ours, in: "training", besides: theirs), only(theirs, in: "test", besides: ours),
    ].compactMap { $0 }
    throw DataError(
      .malformed,
      "\(test): the classes of the test images are not those of the training images: "
        + (differences.isEmpty
          ? "class \(label) is \(first) in training and \(second) in test"
          : differences.joined(separator: "; ")))
  }

  private static func openIDX(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    try requireNamed(data)
    guard data.channels == 1 else {
      throw DataError(
        .configuration,
        "data.channels is \(data.channels), but IDX images have 1; set data.channels=1")
    }
    func locate(_ named: String, _ key: String, _ standard: String) throws(DataError) -> String {
      try Self.locate(named, key: key, standardName: standard, in: data.directory)
    }
    let images: String
    let labels: String
    switch split {
    case .train:
      images = try locate(data.trainImages, "train_images", "train-images-idx3-ubyte")
      labels = try locate(data.trainLabels, "train_labels", "train-labels-idx1-ubyte")
    case .test:
      images = try locate(data.testImages, "test_images", "t10k-images-idx3-ubyte")
      labels = try locate(data.testLabels, "test_labels", "t10k-labels-idx1-ubyte")
    }
    return try IDXDataset(
      images: images, labels: labels, classes: config.model.classes, limit: data.limit(of: split))
  }

  private static func openCIFAR(
    _ split: Split, _ config: RunConfig, _ kind: CIFARDataset.Kind
  ) throws(DataError) -> any Dataset {
    let data = config.data
    try requireNamed(data)
    // The archives unpack into a directory of their own.
    let inner = "\(data.directory)/\(kind.directory)"
    let directory = access(inner, F_OK) == 0 ? inner : data.directory
    let names = "\(directory)/\(kind.namesFile)"
    let namesFile = access(names, F_OK) == 0 ? names : nil
    var files: [String] = []
    for name in split == .train ? kind.trainFiles : kind.testFiles {
      files.append(try locate("", key: "directory", standardName: name, in: directory))
    }
    return try limited(
      CIFARDataset(kind: kind, files: files, names: namesFile), to: data.limit(of: split))
  }

  /// The first `limit` samples; all for 0.
  static func limited(_ dataset: any Dataset, to limit: Int) -> any Dataset {
    guard limit > 0, limit < dataset.count else { return dataset }
    return DatasetSubset(dataset, first: limit)
  }

  static func requireNamed(_ data: RunConfig.Data) throws(DataError) {
    guard data.isNamed else {
      throw DataError(
        .configuration,
        "no data are named; set data.directory, or data.format=synthetic to try the program")
    }
  }

  /// The named file, or the one that lies in the directory under its standard name, plain first.
  private static func locate(
    _ named: String, key: String, standardName: String, in directory: String
  ) throws(DataError) -> String {
    guard named.isEmpty else { return named }
    guard !directory.isEmpty else {
      throw DataError(
        .configuration, "data.\(key) is empty; name the file, or set data.directory")
    }
    try requireDirectory(directory)
    let plain = directory.hasSuffix("/") ? directory + standardName : "\(directory)/\(standardName)"
    for path in [plain, plain + ".gz"] where access(path, F_OK) == 0 { return path }
    let mend = key == "directory" ? "" : ", or name the file by data.\(key)"
    throw DataError(
      .missing,
      "\(directory): holds neither \(standardName) nor \(standardName).gz; "
        + "check data.directory and data.format\(mend)")
  }

  static func requireDirectory(_ path: String) throws(DataError) {
    var status = stat()
    guard !path.utf8.contains(0), stat(path, &status) == 0 else {
      let code = errno
      if code == EACCES {
        throw DataError(.permission, "\(path): \(errnoText(code)); make data.directory readable")
      }
      throw DataError(.missing, "\(path): \(errnoText(code)); check data.directory")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw DataError(.missing, "\(path): is not a directory; check data.directory")
    }
    guard access(path, X_OK) == 0 else {
      throw DataError(.permission, "\(path): \(errnoText(errno)); make data.directory readable")
    }
  }

  private static func makeSynthetic(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    let side = data.resolution > 0 ? data.resolution : syntheticSide
    let limit = data.limit(of: split)
    let standard = split == .train ? syntheticTrainCount : syntheticTestCount
    return try SyntheticDataset(
      count: limit > 0 ? limit : standard, classes: config.model.classes,
      channels: data.channels, height: side, width: side, seed: config.training.seed,
      split: split == .train ? .train : .test)
  }
}

extension RunConfig.Data {
  func limit(of split: Datasets.Split) -> Int { split == .train ? trainLimit : testLimit }
}
