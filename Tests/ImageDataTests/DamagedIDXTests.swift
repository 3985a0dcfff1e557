import Glibc
import ImageData
import Testing
import _TestSupport

/// One bad pair of files and what must be said about it.
struct DamagedPair: Sendable, CustomTestStringConvertible {
  var name: String
  var kind = DataError.Kind.malformed
  /// Parts of the message: the file and the field.
  var says: [String]
  var images: [UInt8]? = IDXFixture.images().bytes
  var labels: [UInt8]? = IDXFixture.labels().bytes

  var testDescription: String { name }

  private static func images(_ change: (inout IDXFixture) -> Void) -> [UInt8] {
    var fixture = IDXFixture.images()
    change(&fixture)
    return fixture.bytes
  }

  private static let sound = IDXFixture.images().bytes
  private static let zipped = gzip(sound)

  static let headers: [DamagedPair] = [
    .init(name: "empty images", says: ["/images:", "magic number"], images: []),
    .init(name: "empty labels", says: ["/labels:", "magic number"], labels: []),
    .init(name: "3 bytes", says: ["/images:", "header (magic number)"], images: [0, 0, 8]),
    .init(
      name: "header cut in a dimension", says: ["/images:", "header (dimension 1)"],
      images: Array(sound[..<10])),
    .init(
      name: "not IDX", says: ["/images:", "magic number is 3c 21 44 4f"],
      images: Array("<!DOCTYPE html>".utf8)),
    .init(
      name: "little-endian magic", says: ["magic number is 03 08 00 00"],
      images: images { $0.magic = [3, 8, 0, 0] }),
    .init(
      name: "Float32 type", says: ["/images:", "type code is 0x0d"],
      images: images { $0.magic[2] = 0x0D }),
    .init(
      name: "signed type", says: ["/labels:", "type code is 0x09"],
      labels: [0, 0, 9, 1, 0, 0, 0, 1, 0]),
    .init(
      name: "four dimensions", says: ["/images:", "dimension count is 4", "images have 3"],
      images: images { $0.magic[3] = 4 }),
    .init(
      name: "no dimensions", says: ["/images:", "dimension count is 0"],
      images: images { $0.magic[3] = 0 }),
    .init(
      name: "labels for images", says: ["/images:", "dimension count is 1", "labels' file?"],
      images: IDXFixture.labels().bytes),
    .init(
      name: "images for labels", says: ["/labels:", "dimension count is 3", "images' file?"],
      labels: sound),
    .init(
      name: "no images", says: ["/images:", "dimension 0 is 0"],
      images: images { $0.dimensions[0] = 0 }),
    .init(
      name: "no rows", says: ["/images:", "dimension 1 is 0"],
      images: images { $0.dimensions[1] = 0 }),
    .init(
      name: "no labels", says: ["/labels:", "dimension 0 is 0"],
      labels: IDXFixture.labels([]).bytes),
    .init(
      name: "overflow 2^31 x 2^31",
      says: ["/images:", "dimensions 2147483648 x 2147483648 x 4 promise more"],
      images: images { $0.dimensions = [1 << 31, 1 << 31, 4] }),
    .init(
      name: "overflow beyond 64 bits", says: ["promise more"],
      images: images { $0.dimensions = [.max, .max, .max] }),
    .init(
      name: "overflow, gzipped", says: ["/images:", "promise more"],
      images: gzip(images { $0.dimensions = [1 << 31, 1 << 31, 4] })),
    .init(
      name: "4 GB promised by 47 gzipped bytes", says: ["/images:", "promise more"],
      images: gzip(images { $0.dimensions = [1 << 30, 2, 2] })),
  ]

  static let contents: [DamagedPair] = [
    .init(
      name: "short data", says: ["/images:", "promise more than its 39 bytes"],
      images: Array(sound.dropLast())),
    .init(
      name: "short data, gzipped", says: ["/images:", "data are short: 23 bytes", "say 24"],
      images: gzip(sound.dropLast())),
    .init(name: "surplus data", says: ["/images:", "surplus data"], images: sound + [0]),
    .init(
      name: "surplus data, gzipped", says: ["/images:", "surplus data"],
      images: gzip(sound + [0])),
    .init(
      name: "surplus labels", says: ["/labels:", "surplus data"],
      labels: IDXFixture.labels().bytes + [1]),
    .init(
      name: "fewer labels than images", says: ["/labels:", "2 labels", "3 images"],
      labels: IDXFixture.labels([0, 1]).bytes),
    .init(
      name: "more labels than images", says: ["/labels:", "4 labels", "3 images"],
      labels: IDXFixture.labels([0, 1, 2, 3]).bytes),
    .init(
      name: "label beyond the classes",
      says: ["/labels:", "label 10 of sample 1", "model.classes 10"],
      labels: IDXFixture.labels([0, 10, 2]).bytes),
    .init(
      name: "label 255", says: ["/labels:", "label 255 of sample 2"],
      labels: IDXFixture.labels([0, 1, 255]).bytes),
    .init(name: "gzip in gzip", says: ["/images:", "compressed twice"], images: gzip(zipped)),
    .init(
      name: "gzip magic alone", says: ["/images:", "middle of its gzip data"],
      images: [0x1F, 0x8B]),
    .init(
      name: "gzip cut in its data", says: ["/images:", "middle of its gzip data"],
      images: Array(zipped[..<(zipped.count / 2)])),
    .init(
      name: "gzip cut in its checksum", says: ["/images:", "middle of its gzip data"],
      images: Array(zipped.dropLast(5))),
    .init(
      name: "gzip with a wrong checksum", says: ["/images:", "incorrect data check"],
      images: zipped.dropLast(8) + [1, 2, 3, 4] + zipped.suffix(4)),
    .init(
      name: "gzip with a wrong length", says: ["/images:", "incorrect length check"],
      images: zipped.dropLast(4) + [1, 2, 3, 4]),
    .init(
      name: "gzip of an unknown method", says: ["/images:", "damaged gzip data"],
      images: [0x1F, 0x8B, 7] + zipped[3...]),
    .init(
      name: "gzip with zeros behind it", says: ["/images:", "surplus data"],
      images: zipped + [0, 0, 0]),
    .init(
      name: "gzip with half a member behind it", says: ["/images:", "middle of its gzip data"],
      images: zipped + [0x1F, 0x8B, 8]),
    .init(
      name: "no images' file", kind: .missing, says: ["/images:", "No such file"], images: nil),
    .init(
      name: "no labels' file", kind: .missing, says: ["/labels:", "No such file"], labels: nil),
  ]
}

@Suite struct DamagedIDXTests {
  @Test(arguments: DamagedPair.headers + DamagedPair.contents)
  func isRefused(pair: DamagedPair) throws {
    let directory = try ScratchDirectory()
    if let images = pair.images { try directory.write(images, to: "images") }
    if let labels = pair.labels { try directory.write(labels, to: "labels") }
    let error = try #require(throws: DataError.self) {
      try IDXDataset(
        images: directory.path("images"), labels: directory.path("labels"), classes: 10)
    }
    #expect(error.kind == pair.kind)
    #expect(!error.message.contains("\n"))
    for part in pair.says { #expect(error.message.contains(part), "\(error.message)") }
  }

  /// What is not a regular file is refused at once, whatever would come out of it.
  @Test(.timeLimit(.minutes(1)), arguments: ["fifo", "directory", "/dev/zero", "loop", "", "a\0b"])
  func isNoFile(name: String) throws {
    let directory = try ScratchDirectory()
    let path = name.isEmpty || name.hasPrefix("/") ? name : directory.path(name)
    let labels = try directory.write(IDXFixture.labels().bytes, to: "labels")
    switch name {
    case "fifo": #expect(mkfifo(path, 0o600) == 0)
    case "directory": #expect(mkdir(path, 0o700) == 0)
    case "loop": #expect(symlink(path, path) == 0)
    default: break
    }
    let error = try #require(throws: DataError.self) {
      try IDXDataset(images: path, labels: labels, classes: 10)
    }
    let isMissing = ["loop", "", "a\0b"].contains(name)
    #expect(error.kind == (isMissing ? .missing : .malformed), "\(error)")
  }

  @Test(.enabled(if: geteuid() != 0, "the superuser may read everything"))
  func isUnreadable() throws {
    let directory = try ScratchDirectory()
    let images = try directory.write(IDXFixture.images().bytes, to: "images")
    let labels = try directory.write(IDXFixture.labels().bytes, to: "labels")
    #expect(chmod(images, 0) == 0)
    let error = try #require(throws: DataError.self) {
      try IDXDataset(images: images, labels: labels, classes: 10)
    }
    #expect(error.kind == .permission)
  }
}
