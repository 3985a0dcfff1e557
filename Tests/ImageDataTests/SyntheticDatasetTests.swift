import ImageData
import RunPlanning
import Testing
import _TestSupport

@Suite struct SyntheticDatasetTests {
  private func dataset(
    count: Int = 200, classes: Int = 5, seed: UInt64 = 1,
    split: SyntheticDataset.Split = .train
  ) throws -> SyntheticDataset {
    try SyntheticDataset(
      count: count, classes: classes, channels: 3, height: 9, width: 12, seed: seed, split: split)
  }

  @Test func isAFunctionOfItsSeed() throws {
    let one = try dataset()
    #expect(try pixels(of: one, 7) == pixels(of: dataset(), 7))
    #expect(try pixels(of: one, 7) != pixels(of: one, 12))
    #expect(try pixels(of: one, 7) != pixels(of: dataset(seed: 2), 7))
    #expect(try pixels(of: one, 7) != pixels(of: dataset(split: .test), 7))
    #expect(one.fingerprint != (try dataset(seed: 2)).fingerprint)
    #expect(one.fingerprint != (try dataset(split: .test)).fingerprint)
  }

  @Test func labelsAreBalancedAndInRange() throws {
    let one = try dataset()
    #expect(one.classes == 5)
    #expect((0..<200).filter { one.label(of: $0) == 4 }.count == 40)
    #expect(try dataset(count: 3).classes == 3)
  }

  /// Nearest mean of the training split names every test sample's class.
  @Test func isLearnable() throws {
    let (train, test) = (try dataset(), try dataset(count: 100, split: .test))
    var means = [[Double]](
      repeating: [Double](repeating: 0, count: 3 * 9 * 12), count: 5)
    for sample in 0..<train.count {
      for (index, byte) in try pixels(of: train, sample).enumerated() {
        means[train.label(of: sample)][index] += Double(byte) / 40
      }
    }
    for sample in 0..<test.count {
      let image = try pixels(of: test, sample)
      let distances = means.map { mean in
        zip(mean, image).reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
      }
      #expect(distances.firstIndex(of: distances.min() ?? 0) == test.label(of: sample))
    }
  }

  @Test(arguments: [(1, 1), (1, 7), (4096, 1), (224, 224)])
  func sizes(height: Int, width: Int) throws {
    let dataset = try SyntheticDataset(
      count: 2, classes: 2, channels: 1, height: height, width: width, seed: 1)
    #expect(try Set(pixels(of: dataset, 1)).count > (height * width) / 1000)
  }

  @Test func refusesImpossibleSizes() {
    for (count, classes, height) in [(0, 2, 8), (2, 0, 8), (2, 2, 0), (2, 2, 5000), (-1, 2, 8)] {
      #expect(throws: DataError.self) {
        try SyntheticDataset(
          count: count, classes: classes, channels: 1, height: height, width: 8, seed: 1)
      }
    }
  }
}

@Suite struct DatasetOpeningTests {
  private let standardNames = [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
  ]

  /// A directory of three training and two test images; the files at `zipped` are gzipped.
  private func directory(zipped: Set<Int> = []) throws -> ScratchDirectory {
    let directory = try ScratchDirectory()
    let files = [
      IDXFixture.images(), IDXFixture.labels(), IDXFixture.images(2), IDXFixture.labels([2, 1]),
    ]
    for (index, file) in files.enumerated() {
      if zipped.contains(index) {
        try directory.write(gzip(file.bytes), to: standardNames[index] + ".gz")
      } else {
        try directory.write(file.bytes, to: standardNames[index])
      }
    }
    return directory
  }

  private func refusal(_ change: (inout RunConfig) throws -> Void) throws -> DataError {
    var config = RunConfig()
    try change(&config)
    return try #require(throws: DataError.self) { try Datasets.open(config: config) }
  }

  @Test(arguments: ["", "/"]) func findsStandardNames(end: String) throws {
    let directory = try directory(zipped: [0, 3])
    var config = RunConfig()
    config.data.directory = directory.path + end
    let (train, test) = try Datasets.open(config: config)
    #expect((train.count, test.count) == (3, 2))
    #expect(train.name(of: 1) == "train-images-idx3-ubyte.gz[1]")
    config.data.trainLimit = 1
    #expect(try Datasets.open(config: config).train.count == 1)
  }

  @Test func namedFilesComeFirst() throws {
    let directory = try directory()
    let images = try directory.write(IDXFixture.images(2).bytes, to: "mine")
    var config = RunConfig()
    config.data.directory = directory.path
    config.data.trainImages = images
    config.data.trainLabels = directory.path(standardNames[3])
    #expect(try Datasets.open(config: config).train.name(of: 0) == "mine[0]")
  }

  @Test func synthetic() throws {
    var config = RunConfig()
    config.data.format = .synthetic
    config.data.trainLimit = 40
    config.data.resolution = 16
    config.data.channels = 3
    let (train, test) = try Datasets.open(config: config)
    #expect((train.count, test.count) == (40, Datasets.syntheticTestCount))
    #expect(train.form == .pixels(height: 16, width: 16, channels: 3))
  }

  @Test func refusals() throws {
    let directory = try directory()
    let nothing = try refusal { _ in }
    #expect(nothing.kind == .configuration && nothing.message.contains("no data are named"))
    let partly = try refusal { $0.data.trainLabels = "labels" }
    #expect(partly.kind == .configuration && partly.message.contains("data.train_images"))
    let absent = try refusal { $0.data.directory = directory.path("absent") }
    #expect(absent.kind == .missing && absent.message.contains("/absent: No such file"))
    let file = try refusal { $0.data.directory = directory.path(standardNames[0]) }
    #expect(file.kind == .missing && file.message.contains("is not a directory"))
    let channels = try refusal {
      $0.data.directory = directory.path
      $0.data.channels = 3
    }
    #expect(channels.kind == .configuration && channels.message.contains("data.channels"))
    let classes = try refusal {
      $0.data.directory = directory.path
      $0.model.classes = 2
    }
    #expect(classes.kind == .malformed && classes.message.contains("model.classes 2"))
    let sizes = try refusal {
      $0.data.directory = directory.path
      $0.data.testImages = try directory.write(IDXFixture.images(2, height: 5).bytes, to: "tall")
    }
    #expect(sizes.kind == .malformed && sizes.message.contains("test images are 5 x 4"))
    let empty = try ScratchDirectory()
    let none = try refusal { $0.data.directory = empty.path }
    #expect(none.kind == .missing && none.message.contains("train-images-idx3-ubyte.gz"))
  }
}
