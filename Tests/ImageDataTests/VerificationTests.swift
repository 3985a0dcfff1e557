import Glibc
import ImageData
import Images
import RunPlanning
import Testing
import _TestSupport

/// Every image decoded, duplicates and counts.
@Suite struct VerificationTests {
  private func jpeg(_ shade: Int, width: Int = 20, height: Int = 16) throws -> [UInt8] {
    let image = PixelBuffer()
    image.reshape(height: height, width: width, channels: 3)
    for index in 0..<image.count { image.base[index] = UInt8((shade + index * shade) % 250) }
    return try JPEGSettings().encode(image)
  }

  /// 2 x 5 and 2 x 1 images, of which some are damaged or the same.
  private func images() throws -> ScratchDirectory {
    let scratch = try ScratchDirectory()
    for label in 0..<2 {
      for number in 0..<5 {
        try scratch.write(
          jpeg(1 + 10 * label + number, width: 20 + number),
          to: "data/train/c\(label)/\(number).jpg")
      }
      try scratch.write(jpeg(50 + label), to: "data/val/c\(label)/v.jpg")
    }
    let whole = try jpeg(3)
    try scratch.write(Array(whole.dropLast(whole.count / 2)), to: "data/train/c0/1.jpg")
    try scratch.write("<html>", to: "data/train/c1/2.jpg")
    // The test image 0 is also a training image; two labels share a third.
    try scratch.write(jpeg(50), to: "data/train/c0/3.jpg")
    try scratch.write(jpeg(11), to: "data/train/c0/9.jpg")
    return scratch
  }

  private func verify(_ source: DataSource, threads: Int = 1) throws -> DatasetVerification.Report {
    try DatasetVerification(source, threads: threads).run { _, _ in }
  }

  @Test(arguments: [1, 3]) func findsDamageAndDuplicates(threads: Int) throws {
    let scratch = try images()
    let source = try DataSource(directory: scratch.path("data"))
    let report = try verify(source, threads: threads)
    let train = report.splits[0]
    #expect(report.splits.map(\.samples) == [11, 2] && report.splits.map(\.damaged) == [2, 0])
    #expect(train.perClass == [6, 5] && train.jpegs == 9 && train.pngs == 0)
    #expect(train.smallest?.width == 20 && train.largest?.width == 24)
    let names = report.damage.map {
      text(source.splits[$0.place.split].listedName(of: $0.place.sample))
    }
    #expect(names == ["train/c0/1.jpg", "train/c1/2.jpg"])
    #expect(report.damage[1].reason == "is an HTML or XML page, not JPEG or PNG")
    let duplicates = report.duplicates
    #expect(duplicates.count == 2)
    #expect(duplicates.map(\.crossesSplits) == [true, false])
    #expect(duplicates.map(\.labelsDiffer) == [false, true])
    #expect(
      duplicates[0].places.map { text(source.splits[$0.split].listedName(of: $0.sample)) }
        == ["train/c0/3.jpg", "val/c0/v.jpg"])
  }

  /// An image that cannot even be read is one more damaged one, and no duplicate of another.
  @Test func whatCannotBeReadIsDamage() throws {
    let scratch = try images()
    let source = try DataSource(directory: scratch.path("data"))
    try scratch.write("other", to: "data/train/c1/3.jpg")
    try scratch.write("other", to: "data/train/c1/4.jpg")
    let report = try verify(source)
    #expect(report.damaged == 4 && report.duplicates.count == 2)
    #expect(report.damage[2].reason.hasPrefix("has changed since"))
  }

  /// The names of damaged images are those that `data.exclude` takes, from directories and archives.
  @Test func listsWhatCanBeExcluded() throws {
    let scratch = try images()
    var config = RunConfig()
    config.data.format = .folder
    config.data.directory = scratch.path("data")
    for format in [RunConfig.DataFormat.folder, .tar] {
      if format == .tar {
        config.data.exclude = ""
        try scratch.write("", to: "out/.lock")
        _ = try ArchivePacker(
          source: DataSource(config: config), sourceName: "data", output: scratch.path("out"),
          options: PackOptions()
        ).run { _, _ in }
        (config.data.format, config.data.directory) = (format, scratch.path("out"))
      }
      config.data.exclude = ""
      let source = try DataSource(config: config)
      let report = try verify(source)
      #expect(report.damaged == 2)
      let list = report.damage.map {
        text(source.splits[$0.place.split].listedName(of: $0.place.sample)) + "\r\n"
      }
      config.data.exclude = try scratch.write(list.joined(), to: "bad.txt")
      let rest = try verify(DataSource(config: config))
      #expect(rest.damaged == 0 && rest.splits.map(\.samples) == [9, 2])
    }
  }

  /// What says nothing of the images must not end in a list of images to leave out.
  @Test func aSystemThatFailsToReadIsNoDamage() throws {
    let source = DataSource(splits: [.init(name: "train", dataset: Failing(count: 100, kind: .io))])
    let error = try #require(throws: DataError.self) { try verify(source, threads: 2) }
    #expect(error.kind == .io && error.message.contains("no good"))
  }

  @Test(arguments: [1, 4]) func reasonsAreThoseOfTheFirstImages(threads: Int) throws {
    let count = 2 * DatasetVerification.keptReasons + 5_000
    let source = DataSource(
      splits: [
        .init(name: "train", dataset: Failing(count: count, kind: .malformed)),
        .init(name: "val", dataset: Failing(count: 50, kind: .missing)),
      ])
    let report = try verify(source, threads: threads)
    #expect(report.damaged == count + 50)
    let kept = report.damage.indices.filter { !report.damage[$0].reason.isEmpty }
    #expect(kept == Array(0..<DatasetVerification.keptReasons))
    #expect(report.damage.enumerated().allSatisfy { $1.place.sample == $0 % count })
  }

  /// Swift takes two spellings of an accent for one text, and what is no UTF-8 for the same sign:
  /// names of files are bytes.
  @Test func namesAreComparedAsBytes() throws {
    let scratch = try images()
    let (composed, decomposed): ([UInt8], [UInt8]) = (
      Array("\u{e9}.jpg".utf8), Array("e\u{301}.jpg".utf8)
    )
    let (first, second): ([UInt8], [UInt8]) = (
      [0xFF] + Array(".jpg".utf8), [0xFE] + Array(".jpg".utf8)
    )
    for name in [composed, decomposed, first, second] {
      let path = Array(scratch.path("data/train/c0/").utf8) + name + [0]
      let file = path.withUnsafeBytes { bytes in
        bytes.bindMemory(to: CChar.self).baseAddress.map { open($0, O_WRONLY | O_CREAT, 0o644) }
          ?? -1
      }
      #expect(write(file, "damaged", 7) == 7)
      close(file)
    }
    var config = RunConfig()
    config.data.format = .folder
    config.data.directory = scratch.path("data")
    func damaged() throws -> Set<[UInt8]> {
      let source = try DataSource(config: config)
      return try Set(
        verify(source).damage.map { source.splits[$0.place.split].listedName(of: $0.place.sample) })
    }
    let directory = Array("train/c0/".utf8)
    let all = try damaged()
    #expect(all.count == 6 && all.isSuperset(of: [composed, second].map { directory + $0 }))
    config.data.exclude = try scratch.write(
      directory + composed + [10] + Array("c0/".utf8) + second, to: "bad.txt")
    #expect(try damaged() == all.subtracting([composed, second].map { directory + $0 }))
  }

  @Test func storedPixelsAreCounted() throws {
    var config = RunConfig()
    config.data.format = .synthetic
    (config.data.trainLimit, config.data.testLimit) = (40, 10)
    let report = try verify(DataSource(config: config))
    #expect(report.damaged == 0 && report.splits.map(\.samples) == [40, 10])
    #expect(report.splits[0].perClass.reduce(0, +) == 40)
  }
}

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// Images none of which can be read.
private struct Failing: Dataset {
  let count: Int
  let kind: DataError.Kind
  let classes = 2
  let form = StoredForm.encoded
  let fingerprint = "failing"

  func label(of sample: Int) -> Int { sample % 2 }
  func name(of sample: Int) -> String { "\(sample).jpg" }
  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    throw DataError(kind, "\(sample).jpg: no good")
  }
}
