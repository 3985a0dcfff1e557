import ImageData
import Images
import RunPlanning
import Testing
import _TestSupport

/// What the plan counts for the loader against what a reader holds.
@Suite struct LoaderMemoryTests {
  private func jpeg(height: Int, width: Int) throws -> [UInt8] {
    let image = PixelBuffer()
    image.reshape(height: height, width: width, channels: 3)
    for index in 0..<image.count {
      image.base[index] = UInt8(truncatingIfNeeded: index &* index / 977)
    }
    return try JPEGSettings().encode(image)
  }

  private func summary(_ dataset: any Dataset, count: Int) -> DataSummary {
    let size = dataset.largestSample
    var summary = DataSummary(
      trainCount: count, testCount: 1, classes: 2, channels: 3, height: 64, width: 64,
      fingerprint: "")
    (summary.largestBytes, summary.largestPixels, summary.isEncoded) = (
      size.bytes, size.pixels, true
    )
    return summary
  }

  @Test(arguments: [(false, false), (false, true), (true, false)])
  func readersStayWithin(isDeterministic: Bool, isFast: Bool) throws {
    let scratch = try ScratchDirectory()
    let sizes = [(300, 400), (90, 70), (20, 500), (500, 20), (31, 33), (298, 401)]
    for (number, size) in sizes.enumerated() {
      try scratch.write(
        try jpeg(height: size.0, width: size.1), to: "train/c\(number % 2)/\(number).jpg")
    }
    let dataset = try FolderDataset(root: scratch.path("train"))
    #expect(dataset.largestSample.pixels >= 298 * 401)
    #expect((0..<6).map { dataset.storedSize(of: $0) }.max() == dataset.largestSample.bytes)
    var config = RunConfig()
    config.data.channels = 3
    (config.data.resolution, config.data.crop) = (64, .randomResized)
    (config.data.mean, config.data.standardDeviation) = ([0, 0, 0], [1, 1, 1])
    (config.data.augmentation, config.data.decode) = (.randAugment, isFast ? .fast : .exact)
    let training = try SampleTransform(config: config, form: .encoded)
    let transform = isDeterministic ? training.deterministic : training
    let reader = SampleReader(dataset: dataset, transform: transform)
    var values = [Float](repeating: 0, count: transform.elementsPerSample)
    try values.withUnsafeMutableBufferPointer { values in
      guard let target = values.baseAddress else { return }
      for epoch in 0..<20 {
        for sample in 0..<dataset.count { try reader.read(sample, epoch: epoch, into: target) }
      }
    }
    let planned = LoaderMemory(
      data: summary(dataset, count: 6), threads: 1, height: 64, width: 64, channels: 3)
    // For a thread, and for the evaluation's reader.
    #expect(reader.residentBytes <= planned.decoding / 2)
    #expect(reader.residentBytes >= planned.decoding / 8, "the plan counts far too much")
  }

  /// Four bytes a sample and nothing else.
  @Test func theSizeOfTheDataSetCountsForItsOrderAlone() throws {
    let scratch = try ScratchDirectory()
    try scratch.write(try jpeg(height: 40, width: 50), to: "c/0.jpg")
    let dataset = try FolderDataset(root: scratch.path)
    func memory(_ count: Int) -> LoaderMemory {
      LoaderMemory(
        data: summary(dataset, count: count), threads: 2, height: 64, width: 64, channels: 3)
    }
    #expect(memory(1_281_167).total - memory(1).total == 4 * 1_281_166)
  }

  @Test func sizesOfArchivesAndOfDamagedFiles() throws {
    let scratch = try ScratchDirectory()
    let image = try jpeg(height: 40, width: 50)
    try scratch.write(
      TarFixture.samples([("a", [1, 2, 3], 0), ("b", image, 1)]).bytes, to: "0.tar")
    let archive = try TarDataset(paths: [scratch.path("0.tar")])
    #expect(archive.largestSample == SampleSize(bytes: image.count, pixels: 2000))
    try scratch.write([UInt8](repeating: 0, count: 100), to: "broken/c/0.jpg")
    let broken = try FolderDataset(root: scratch.path("broken"))
    #expect(broken.largestSample == SampleSize(bytes: 100, pixels: 800))
    let stored = OneImage(form: .pixels(height: 2, width: 3, channels: 1), bytes: [0])
    #expect(stored.largestSample == SampleSize(bytes: 6, pixels: 6))
  }
}
