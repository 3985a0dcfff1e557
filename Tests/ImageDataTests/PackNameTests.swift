import Foundation
import ImageData
import Images
import Testing
import _TestSupport

/// Names of files in archives, and images that are stored as pixels.
@Suite struct PackNameTests {
  private static let odd: [[UInt8]] = [
    Array("-x".utf8), Array("with space".utf8), Array("line\nend\ttab".utf8),
    Array("e\u{301}".utf8), Array("é".utf8), [0xff, 0xfe], [0x80],
    [UInt8](repeating: UInt8(ascii: "n"), count: 245),
    [0xff] + [UInt8](repeating: UInt8(ascii: "n"), count: 245), Array("a.b.c".utf8),
    Array("100%".utf8), Array("..".utf8) + Array("x".utf8),
  ].filter { $0.first != UInt8(ascii: ".") }

  private func write(_ name: [UInt8], _ content: String) throws {
    let file = name.withUnsafeBufferPointer { name in
      (Array(name) + [0]).withUnsafeBufferPointer {
        $0.withMemoryRebound(to: CChar.self) {
          $0.baseAddress.map { open($0, O_WRONLY | O_CREAT | O_EXCL, 0o644) } ?? -1
        }
      }
    }
    try #require(file >= 0)
    #expect(Glibc.write(file, content, content.utf8.count) == content.utf8.count)
    close(file)
  }

  @discardableResult
  private func pack(
    _ source: DataSource, to output: String, _ options: PackOptions = PackOptions()
  ) throws -> TarDataset {
    mkdir(output, 0o755)
    _ = try ArchivePacker(
      source: source, sourceName: "data", output: output, options: options
    ).run { _, _ in }
    return try TarDataset(paths: ["\(output)/train-000000.tar"])
  }

  /// Every name that a file can have comes through, to our reader and to others.
  @Test func oddNames() throws {
    let scratch = try ScratchDirectory()
    let deep = String(repeating: "d", count: 120)
    try scratch.write("seed", to: "data/train/c/\(deep)/seed.jpg")
    let classes = Array(scratch.path("data/train/c/").utf8)
    for (number, name) in Self.odd.enumerated() {
      try write(classes + name + Array(".jpg".utf8), "content \(number)")
    }
    let source = try DataSource(directory: scratch.path("data/train"))
    let tar = try pack(source, to: scratch.path("out"))
    let folder = source.splits[0].dataset
    #expect(tar.count == Self.odd.count + 1)
    for sample in 0..<tar.count {
      #expect(try pixels(of: tar, sample) == storedBytes(folder, sample))
    }
    // GNU tar gives the files back under their names.
    mkdir(scratch.path("back"), 0o755)
    let result = try runExecutable(
      "/bin/tar",
      ["--warning=all", "-xf", scratch.path("out/train-000000.tar"), "-C", scratch.path("back")],
      environment: ["LC_ALL": "C"])
    #expect(result.status == 0, "\(result.stderr)")
    for (number, name) in Self.odd.enumerated() where !name.contains(UInt8(ascii: ".")) {
      let path = Array(scratch.path("back/c/").utf8) + name + Array(".jpg".utf8)
      #expect(try contents(path) == "content \(number)", "\(name)")
    }
    #expect(access(scratch.path("back/c/a%2Eb%2Ec.jpg"), R_OK) == 0)
    #expect(access(scratch.path("back/c/\(deep)/seed.cls"), R_OK) == 0)
  }

  private func storedBytes(_ dataset: any Dataset, _ sample: Int) throws -> [UInt8] {
    let bytes = ByteBuffer()
    try dataset.read(sample, into: bytes)
    return Array(bytes.all)
  }

  private func contents(_ path: [UInt8]) throws -> String {
    let file = (path + [0]).withUnsafeBufferPointer {
      $0.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { open($0, O_RDONLY) } ?? -1 }
    }
    try #require(file >= 0)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  @Test(arguments: [
    (["c/x.jpg", "c/x.png"], "would be that of"),
    (["c/a.b.jpg", "c/a%2Eb.jpg"], "would be that of"),
    (["line\nend/x.jpg"], "control characters"), (["cr\r/x.jpg"], "control characters"),
  ])
  func refusesNames(files: [String], words: String) throws {
    let scratch = try ScratchDirectory()
    for file in files { try scratch.write("x", to: "data/\(file)") }
    let error = try #require(throws: DataError.self) {
      try pack(DataSource(directory: scratch.path("data")), to: scratch.path("out"))
    }
    #expect(error.kind == .malformed && error.message.contains(words), "\(error)")
  }

  /// Archives packed again, in another order and number.
  @Test func archivesOfArchives() throws {
    let scratch = try ScratchDirectory()
    for number in 0..<9 { try scratch.write("\(number)", to: "data/c\(number % 2)/\(number).jpg") }
    let first = try pack(DataSource(directory: scratch.path("data")), to: scratch.path("first"))
    let second = try pack(DataSource(directory: scratch.path("first")), to: scratch.path("second"))
    #expect(first.count == second.count)
    for sample in 0..<9 { #expect(try pixels(of: first, sample) == pixels(of: second, sample)) }
    #expect(
      try scratch.read("first/train-000000.tar") == scratch.read("second/train-000000.tar"))
    #expect(try scratch.text(of: "second/classes.txt") == "c0\nc1\n")
  }

  private func idx(_ scratch: ScratchDirectory) throws -> DataSource {
    let images = try scratch.write(IDXFixture.images(12, height: 8, width: 8).bytes, to: "i")
    let labels = try scratch.write(
      IDXFixture.labels((0..<12).map { UInt8($0) }).bytes, to: "l")
    let data = try IDXDataset(images: images, labels: labels, classes: 12)
    return DataSource(splits: [DataSource.Split(name: "train", dataset: data)])
  }

  @Test func pixelsBecomePNG() throws {
    let scratch = try ScratchDirectory()
    let source = try idx(scratch)
    let tar = try pack(source, to: scratch.path("out"))
    #expect(tar.count == 12 && tar.name(of: 3).hasSuffix("[03/03]"))
    #expect(try scratch.text(of: "out/classes.txt").hasPrefix("00\n01\n"))
    let (decoder, image) = (ImageDecoder(), PixelBuffer())
    for sample in 0..<12 {
      let bytes = try pixels(of: tar, sample)
      try bytes.withUnsafeBytes { try decoder.decode($0, channels: 1, into: image) }
      #expect(
        try Array(UnsafeBufferPointer(start: image.base, count: image.count))
          == storedBytes(source.splits[0].dataset, sample))
      #expect(tar.label(of: sample) == sample)
    }
    // The same again is kept.
    #expect(
      try ArchivePacker(
        source: source, sourceName: "data", output: scratch.path("out"), options: PackOptions()
      ).run { _, _ in }.kept == 1)
  }

  @Test func pixelsBecomeJPEG() throws {
    let scratch = try ScratchDirectory()
    var options = PackOptions()
    options.jpegQuality = 90
    let tar = try pack(try idx(scratch), to: scratch.path("out"), options)
    #expect(try pixels(of: tar, 5).starts(with: [0xff, 0xd8, 0xff]))
    let files = try DataSource(directory: scratch.path("out"))
    #expect(throws: DataError.self) { try pack(files, to: scratch.path("again"), options) }
  }
}
