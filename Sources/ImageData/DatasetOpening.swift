import Glibc
import RunPlanning

/// Opens what the configuration's `data` section names.
package enum Datasets {
  /// Sides of synthetic images when `data.resolution` is 0, and their numbers without limits.
  package static let syntheticSide = 32
  package static let syntheticTrainCount = 2048
  package static let syntheticTestCount = 512

  /// Both splits, validated, with limits applied; of one image size, labels below `model.classes`.
  package static func open(
    config: RunConfig
  ) throws(DataError) -> (train: any Dataset, test: any Dataset) {
    let pair: (train: any Dataset, test: any Dataset) =
      switch config.data.format {
      case .idx: try openIDX(config)
      case .synthetic: try makeSynthetic(config)
      }
    let (train, test) = pair
    guard (train.height, train.width, train.channels) == (test.height, test.width, test.channels)
    else {
      throw DataError(
        .malformed,
        "\(test.name(of: 0)): test images are \(test.height) x \(test.width), "
          + "but \(train.name(of: 0)) is \(train.height) x \(train.width)")
    }
    return pair
  }

  private static func openIDX(
    _ config: RunConfig
  ) throws(DataError) -> (train: any Dataset, test: any Dataset) {
    let data = config.data
    guard data.isNamed else {
      throw DataError(
        .configuration,
        "no data are named; set data.directory, or data.format=synthetic to try the program")
    }
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
    throw DataError(
      .missing,
      "\(directory): holds neither \(standardName) nor \(standardName).gz; "
        + "check data.directory, or name the file by data.\(key)")
  }

  private static func requireDirectory(_ path: String) throws(DataError) {
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
    _ config: RunConfig
  ) throws(DataError) -> (train: any Dataset, test: any Dataset) {
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
