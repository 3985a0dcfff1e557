import Glibc
import ImageData
import RunPlanning
import Testing
import _TestSupport

@Suite struct IDXTests {
  let directory = Result { try ScratchDirectory() }

  private func dataset(
    images: [UInt8], labels: [UInt8], classes: Int = 10, limit: Int = 0
  ) throws -> IDXDataset {
    let directory = try directory.get()
    return try IDXDataset(
      images: directory.write(images, to: "images"), labels: directory.write(labels, to: "labels"),
      classes: classes, limit: limit)
  }

  @Test func plainPair() throws {
    let dataset = try dataset(images: IDXFixture.images().bytes, labels: IDXFixture.labels().bytes)
    #expect(dataset.count == 3)
    #expect(dataset.form == .pixels(height: 2, width: 4, channels: 1))
    #expect(dataset.classes == 3)
    #expect((0..<3).map(dataset.label) == [0, 1, 2])
    #expect(try pixels(of: dataset, 1) == Array(8..<16))
    #expect(dataset.name(of: 2) == "images[2]")
  }

  @Test func gzippedPairIsTheSame() throws {
    let images = IDXFixture.images(700, height: 28, width: 28)
    let labels = IDXFixture.labels((0..<700).map { UInt8($0 % 10) })
    let plain = try dataset(images: images.bytes, labels: labels.bytes)
    let zipped = try dataset(images: gzip(images.bytes), labels: gzip(labels.bytes))
    #expect(zipped.fingerprint == plain.fingerprint)
    #expect(zipped.count == 700)
    #expect(try pixels(of: zipped, 699) == pixels(of: plain, 699))
  }

  @Test func gzipOfSeveralMembers() throws {
    let bytes = IDXFixture.images().bytes
    let split = gzip(Array(bytes[..<20])) + gzip([]) + gzip(Array(bytes[20...]))
    let dataset = try dataset(images: split, labels: IDXFixture.labels().bytes)
    #expect(try pixels(of: dataset, 2) == Array(16..<24))
  }

  @Test func limitTakesTheFirstSamples() throws {
    let images = IDXFixture.images().bytes
    let labels = IDXFixture.labels().bytes
    let limited = try dataset(images: images, labels: labels, limit: 2)
    #expect(limited.count == 2)
    #expect(limited.classes == 2)
    #expect(limited.fingerprint != (try dataset(images: images, labels: labels)).fingerprint)
    #expect(try dataset(images: images, labels: labels, limit: 9).count == 3)
  }

  @Test func fingerprintSeesEveryByte() throws {
    let images = IDXFixture.images()
    var changed = images
    changed.content[17] ^= 1
    let labels = IDXFixture.labels().bytes
    let prints = try [
      dataset(images: images.bytes, labels: labels).fingerprint,
      dataset(images: changed.bytes, labels: labels).fingerprint,
      dataset(images: images.bytes, labels: IDXFixture.labels([0, 2, 2]).bytes).fingerprint,
    ]
    #expect(Set(prints).count == 3)
  }

  @Test(.enabled(if: access("/usr/share/datasets/fashion-mnist", X_OK) == 0))
  func fashionMNIST() throws {
    var config = RunConfig()
    config.data.directory = "/usr/share/datasets/fashion-mnist"
    let (train, test) = try Datasets.open(config: config)
    #expect((train.count, test.count) == (60_000, 10_000))
    #expect(train.form == .pixels(height: 28, width: 28, channels: 1) && train.classes == 10)
    var counts = [Int](repeating: 0, count: 10)
    for sample in 0..<train.count { counts[train.label(of: sample)] += 1 }
    #expect(counts == Array(repeating: 6000, count: 10))
    // Labels of the first samples as published.
    #expect((0..<5).map(train.label) == [9, 0, 0, 3, 0])
    #expect((0..<5).map(test.label) == [9, 2, 1, 1, 6])
  }
}
