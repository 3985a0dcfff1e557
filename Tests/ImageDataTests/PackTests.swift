import Glibc
import ImageData
import Images
import RunPlanning
import Tensors
import Testing
import _TestSupport

/// Packing directories of images into archives.
@Suite struct PackTests {
  /// Two splits of files that are no images, which packing does not look at.
  private func images(_ perClass: Int = 7) throws -> ScratchDirectory {
    let scratch = try ScratchDirectory()
    for (split, count) in [("train", perClass), ("val", 2)] {
      for (label, name) in ["a cat", "böse", "z"].enumerated() {
        for number in 0..<count {
          let content = [UInt8](repeating: UInt8(40 * label + number), count: 1 + 211 * number)
          try scratch.write(
            [0xff, 0xd8, 0xff] + content, to: "data/\(split)/\(name)/\(number).JPEG")
        }
      }
    }
    return scratch
  }

  @discardableResult
  private func pack(
    _ scratch: ScratchDirectory, from source: String = "data", to output: String = "out",
    _ change: (inout PackOptions) -> Void = { _ in }
  ) throws -> ArchivePacker.Report {
    mkdir(scratch.path(output), 0o755)
    var options = PackOptions()
    change(&options)
    return try ArchivePacker(
      source: DataSource(directory: scratch.path(source)), sourceName: source,
      output: scratch.path(output), options: options
    ).run { _, _ in }
  }

  private func archives(_ scratch: ScratchDirectory, _ directory: String = "out") throws
    -> [String: [UInt8]]
  {
    var files: [String: [UInt8]] = [:]
    for name in try names(scratch.path(directory)) where !name.hasSuffix(".repvgg-index") {
      files[name] = try scratch.read("\(directory)/\(name)")
    }
    return files
  }

  private func names(_ directory: String) throws -> [String] {
    let stream = try #require(opendir(directory))
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      names.append(
        withUnsafeBytes(of: &entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        })
    }
    return names.filter { $0 != "." && $0 != ".." }.sorted()
  }

  private func contents(_ dataset: any Dataset) throws -> [[UInt8]] {
    try (0..<dataset.count).map { sample in
      let bytes = ByteBuffer()
      try dataset.read(sample, into: bytes)
      return [UInt8(dataset.label(of: sample))] + Array(bytes.all)
    }
  }

  @Test func archivesHoldWhatTheDirectoriesDo() throws {
    let scratch = try images()
    let report = try pack(scratch) { $0.archives = 3 }
    #expect((report.made, report.kept) == (6, 0))
    #expect(
      try Set(archives(scratch).keys)
        == Set(
          ["train", "val"].flatMap { split in (0..<3).map { "\(split)-00000\($0).tar" } }
            + ["classes.txt", "pack.json"]))
    let (folders, packed) = (
      try DataSource(directory: scratch.path("data")),
      try DataSource(directory: scratch.path("out"))
    )
    for (folder, tar) in zip(folders.splits, packed.splits) {
      #expect(folder.name == tar.name && tar.dataset.classNames == ["a cat", "böse", "z"])
      #expect(try contents(folder.dataset) == contents(tar.dataset))
    }
    #expect(packed.splits[0].dataset.name(of: 0).hasSuffix("train-000000.tar[a cat/0]"))
  }

  /// Readers take the indexes as they are: what only a walk would notice goes unnoticed.
  @Test func indexesAreThoseOfTheReader() throws {
    let scratch = try images()
    try pack(scratch)
    let path = scratch.path("out/train-000000.tar")
    let index = try scratch.read("out/.train-000000.tar.repvgg-index")
    var status = stat()
    #expect(stat(path, &status) == 0)
    let file = open(path, O_WRONLY)
    #expect(pwrite(file, "?", 1, 148) == 1)
    close(file)
    var times = [status.st_atim, status.st_mtim]
    utimensat(AT_FDCWD, path, &times, 0)
    #expect(try TarDataset(paths: [path]).count == 21)
    #expect(try scratch.read("out/.train-000000.tar.repvgg-index") == index)
    unlink(scratch.path("out/.train-000000.tar.repvgg-index"))
    #expect(throws: DataError.self) { try TarDataset(paths: [path]) }
  }

  @Test func threadsDoNotShow() throws {
    let scratch = try images()
    for (output, threads) in [("one", 1), ("four", 4)] {
      try pack(scratch, to: output) {
        ($0.threads, $0.archives, $0.shuffle) = (threads, 5, 3)
      }
    }
    #expect(try archives(scratch, "one") == archives(scratch, "four"))
    let tars = try DataSource(directory: scratch.path("one")).splits[0].dataset
    let folder = try DataSource(directory: scratch.path("data")).splits[0].dataset
    let (mixed, plain) = (try contents(tars), try contents(folder))
    #expect(mixed != plain && Set(mixed) == Set(plain))
    #expect((0..<7).contains { tars.label(of: $0) != tars.label(of: 0) })
  }

  @Test func sizesAreKept() throws {
    let scratch = try images()
    try pack(scratch) { $0.archiveBytes = 9000 }
    let tars = try archives(scratch).filter { $0.key.hasSuffix(".tar") }
    #expect(tars.count > 5)
    for (name, bytes) in tars { #expect(bytes.count <= 9000, "\(name)") }
    try pack(scratch, to: "single") { $0.archiveBytes = 1 }
    #expect(try archives(scratch, "single").filter { $0.key.hasSuffix(".tar") }.count == 27)
  }

  /// Archives that fit are kept, others are made again, and the end is the same.
  @Test func goesOnWhereItWasStopped() throws {
    let scratch = try images()
    try pack(scratch) { $0.archives = 4 }
    let whole = try archives(scratch)
    #expect(try pack(scratch) { $0.archives = 4 }.kept == 8)
    unlink(scratch.path("out/train-000001.tar"))
    truncate(scratch.path("out/train-000002.tar"), 700)
    unlink(scratch.path("out/.val-000000.tar.repvgg-index"))
    rename(scratch.path("out/val-000001.tar"), scratch.path("out/val-000002.tar"))
    try scratch.write("half", to: "out/.train-000003.tar.77.tmp")
    rename(scratch.path("out/pack.json"), scratch.path("out/pack-unfinished.json"))
    let error = try #require(throws: DataError.self) {
      try DataSource(directory: scratch.path("out"))
    }
    #expect(error.kind == .malformed && error.message.contains("not packed completely"))
    let report = try pack(scratch) { ($0.archives, $0.threads) = (4, 3) }
    #expect((report.made, report.kept) == (4, 4))
    #expect(try archives(scratch) == whole)
    #expect(access(scratch.path("out/.val-000000.tar.repvgg-index"), R_OK) == 0)
  }

  private func refusal(
    _ scratch: ScratchDirectory, from source: String = "data", to output: String = "out",
    _ change: (inout PackOptions) -> Void = { _ in }
  ) throws -> DataError {
    try #require(throws: DataError.self) { try pack(scratch, from: source, to: output, change) }
  }

  @Test func refusesWhatIsNotItsOwn() throws {
    let scratch = try images()
    try scratch.write("mine", to: "out/notes.txt")
    let foreign = try refusal(scratch)
    #expect(foreign.kind == .cannotCreate && foreign.message.contains("'notes.txt'"))
    #expect(try names(scratch.path("out")) == ["notes.txt"])

    try pack(scratch, to: "packed") { $0.archives = 2 }
    let before = try archives(scratch, "packed")
    let changes: [(String, (inout PackOptions) -> Void)] = [
      ("archives of train 2, now 3", { $0.archives = 3 }),
      ("shuffled not, now by 4", { ($0.archives, $0.shuffle) = (2, 4) }),
    ]
    for (words, change) in changes {
      let error = try refusal(scratch, to: "packed", change)
      #expect(error.kind == .cannotCreate && error.message.contains(words), "\(error)")
    }
    // One image changed: it is another data set.
    try scratch.write("other", to: "data/train/z/3.JPEG")
    unlink(scratch.path("data/.train.repvgg-index"))
    let other = try refusal(scratch, to: "packed") { $0.archives = 2 }
    #expect(other.message.contains("packed from data (names, sizes or times"), "\(other)")
    #expect(try archives(scratch, "packed") == before)
    // Among the classes.
    mkdir(scratch.path("data/train/out"), 0o755)
    rmdir(scratch.path("data/train/out"))
    let inside = try #require(throws: DataError.self) {
      try ArchivePacker(
        source: DataSource(directory: scratch.path("data")), sourceName: "data",
        output: scratch.path("data/train/new/out"), options: PackOptions())
    }
    #expect(inside.message.contains("lies among the images"))
  }

  /// Training looks for the names where packing and verifying do.
  @Test func classesAreNamedAboveTheDirectoriesOfTheSplits() throws {
    let scratch = try images()
    try pack(scratch)
    for split in ["train", "val"] {
      let name = "\(split)-000000.tar"
      try scratch.write(scratch.read("out/\(name)"), to: "set/of \(split)/\(name)")
    }
    try scratch.write(scratch.read("out/classes.txt"), to: "set/classes.txt")
    var config = RunConfig()
    config.data.format = .tar
    config.data.trainImages = scratch.path("set/of train")
    config.data.testImages = scratch.path("set/of val")
    let (train, test) = try Datasets.open(config: config)
    #expect(train.classNames == ["a cat", "böse", "z"] && test.classNames == train.classNames)
    let source = try DataSource(directory: scratch.path("set/of train"))
    #expect(source.splits.map(\.dataset.classNames) == [train.classNames])
    // Beside the archives comes first.
    try scratch.write("x\ny\nz\n", to: "set/of train/classes.txt")
    try scratch.write("x\ny\nz\n", to: "set/of val/classes.txt")
    #expect(try Datasets.open(config: config).train.classNames == ["x", "y", "z"])
  }

  /// A person's own work is not replaced by running the command again.
  @Test func anEditedListOfClassesIsNotOverwritten() throws {
    let scratch = try images()
    try pack(scratch)
    for text in ["cat\nbad\nz\n", "a cat\n", ""] {
      try scratch.write(text, to: "out/classes.txt")
      let error = try refusal(scratch)
      #expect(error.kind == .cannotCreate && error.message.contains("classes.txt"), "\(error)")
      #expect(try scratch.text(of: "out/classes.txt") == text)
      #expect(access(scratch.path("out/pack.json"), F_OK) == 0)
    }
    unlink(scratch.path("out/classes.txt"))
    try pack(scratch)
    #expect(try scratch.text(of: "out/classes.txt") == "a cat\nböse\nz\n")
  }

  /// A finished list and an unfinished one side by side: readers refuse it, the command mends it.
  @Test func bothListsBecomeOne() throws {
    let scratch = try images()
    try pack(scratch)
    let whole = try archives(scratch)
    try scratch.write(scratch.read("out/pack.json"), to: "out/pack-unfinished.json")
    #expect(throws: DataError.self) { try DataSource(directory: scratch.path("out")) }
    #expect(try pack(scratch).made == 0)
    #expect(try archives(scratch) == whole)
    #expect(try DataSource(directory: scratch.path("out")).splits.count == 2)
  }

  @Test func removesOnlyWhatItWouldHaveMade() throws {
    let scratch = try images()
    try pack(scratch)
    let ours = [
      ".train-000000.tar.77.tmp", ".classes.txt.8.tmp", ".pack-unfinished.json.9.tmp",
      ".train-000000.tar.repvgg-index.12.34.tmp",
    ]
    let others = [".notes.tmp", ".train-000000.tar.old.tmp", ".thesis.txt.1.tmp", ".tmp", "1.tmp"]
    for name in ours + others { try scratch.write("x", to: "out/\(name)") }
    try pack(scratch)
    let left = try names(scratch.path("out")).filter { $0.hasSuffix(".tmp") }
    #expect(Set(left) == Set(others))
  }

  @Test func anImageThatCannotBeReadIsNamed() throws {
    let scratch = try images()
    let source = try DataSource(directory: scratch.path("data"))
    mkdir(scratch.path("out"), 0o755)
    let packer = try ArchivePacker(
      source: source, sourceName: "data", output: scratch.path("out"), options: PackOptions())
    unlink(scratch.path("data/train/z/3.JPEG"))
    let error = try #require(throws: DataError.self) { try packer.run { _, _ in } }
    #expect(error.kind == .missing && error.message.contains("data/train/z/3.JPEG"))
    #expect(try names(scratch.path("out")).allSatisfy { !$0.hasSuffix(".tmp") })
    #expect(access(scratch.path("out/train-000000.tar"), F_OK) != 0)
  }
}
