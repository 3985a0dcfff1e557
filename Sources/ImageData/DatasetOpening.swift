import Glibc
import RunPlanning

/// Opens what the configuration's `data` section names.
package enum Datasets {
  /// Sides of synthetic images when `data.resolution` is 0, and their numbers without limits.
  package static let syntheticSide = 32
  package static let syntheticTrainCount = 2048
  package static let syntheticTestCount = 512

  package typealias Pair = (train: any Dataset, test: any Dataset)

  /// Both splits, validated, with limits applied; of one kind and image size, labels below
  /// `model.classes`, classes of the same names.
  package static func open(config: RunConfig) throws(DataError) -> Pair {
    let pair: Pair =
      switch config.data.format {
      case .idx: try openIDX(config)
      case .cifar10: try openCIFAR(config, .ten)
      case .cifar100: try openCIFAR(config, .hundred)
      case .folder: try openFolders(config)
      case .tar: try openArchives(config)
      case .synthetic: try makeSynthetic(config)
      }
    let (train, test) = pair
    if case .pixels(let height, let width, _) = train.form,
      case .pixels(let testHeight, let testWidth, _) = test.form, train.form != test.form
    {
      throw DataError(
        .malformed,
        "\(test.name(of: 0)): test images are \(testHeight) x \(testWidth), "
          + "but \(train.name(of: 0)) is \(height) x \(width)")
    }
    try requireSameClasses(train, test)
    return pair
  }

  /// Names of the classes must be the same in both splits, or their labels would mean something else.
  static func requireSameClasses(
    _ train: any Dataset, _ test: any Dataset
  ) throws(DataError) {
    let (ours, theirs) = (train.classNames, test.classNames)
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
      "\(test.name(of: 0)): the classes of the test images are not those of the training images: "
        + (differences.isEmpty
          ? "class \(label) is \(first) in training and \(second) in test"
          : differences.joined(separator: "; ")))
  }

  private static func openIDX(_ config: RunConfig) throws(DataError) -> Pair {
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
    let trainImages = try locate(data.trainImages, "train_images", "train-images-idx3-ubyte")
    let trainLabels = try locate(data.trainLabels, "train_labels", "train-labels-idx1-ubyte")
    let testImages = try locate(data.testImages, "test_images", "t10k-images-idx3-ubyte")
    let testLabels = try locate(data.testLabels, "test_labels", "t10k-labels-idx1-ubyte")
    return (
      try IDXDataset(
        images: trainImages, labels: trainLabels, classes: config.model.classes,
        limit: data.trainLimit),
      try IDXDataset(
        images: testImages, labels: testLabels, classes: config.model.classes,
        limit: data.testLimit)
    )
  }

  private static func openCIFAR(
    _ config: RunConfig, _ kind: CIFARDataset.Kind
  ) throws(DataError) -> Pair {
    let data = config.data
    try requireNamed(data)
    // The archives unpack into a directory of their own.
    let inner = "\(data.directory)/\(kind.directory)"
    let directory = access(inner, F_OK) == 0 ? inner : data.directory
    let names = "\(directory)/\(kind.namesFile)"
    let namesFile = access(names, F_OK) == 0 ? names : nil
    func open(_ names: [String], limit: Int) throws(DataError) -> any Dataset {
      var files: [String] = []
      for name in names {
        files.append(
          try locate("", key: "directory", standardName: name, in: directory))
      }
      return try limited(CIFARDataset(kind: kind, files: files, names: namesFile), to: limit)
    }
    return (
      try open(kind.trainFiles, limit: data.trainLimit),
      try open(kind.testFiles, limit: data.testLimit)
    )
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

  private static func makeSynthetic(_ config: RunConfig) throws(DataError) -> Pair {
    let data = config.data
    let side = data.resolution > 0 ? data.resolution : syntheticSide
    func make(_ limit: Int, _ standard: Int, _ split: SyntheticDataset.Split) throws(DataError)
      -> SyntheticDataset
    {
      try SyntheticDataset(
        count: limit > 0 ? limit : standard, classes: config.model.classes,
        channels: data.channels, height: side, width: side, seed: config.training.seed,
        split: split)
    }
    return (
      try make(data.trainLimit, syntheticTrainCount, .train),
      try make(data.testLimit, syntheticTestCount, .test)
    )
  }
}
