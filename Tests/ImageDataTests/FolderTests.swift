import Glibc
import ImageData
import RunPlanning
import Testing
import _TestSupport

@Suite struct FolderTests {
  /// Two classes and other files that do not belong.
  private func directory() throws -> ScratchDirectory {
    let directory = try ScratchDirectory()
    for (name, content) in [
      ("train/b class/2.jpg", "b2"), ("train/b class/10.PNG", "b10"), ("train/a/x.jpeg", "ax"),
      ("train/a/inner/y.jpg", "ay"), ("train/a/notes.txt", "no"), ("train/.hidden/z.jpg", "no"),
      ("train/a/.z.jpg", "no"), ("val/a/v.jpg", "va"), ("val/b class/w.jpg", "vb"),
    ] {
      try directory.write(content, to: name)
    }
    return directory
  }

  private func contents(_ dataset: some Dataset) throws -> [String] {
    try (0..<dataset.count).map { String(decoding: try pixels(of: dataset, $0), as: UTF8.self) }
  }

  @Test func classesAndSamplesInByteOrder() throws {
    let directory = try directory()
    for _ in 0..<2 {
      // The second time from the index.
      let data = try FolderDataset(root: directory.path("train"))
      #expect(data.classNames == ["a", "b class"])
      #expect(try contents(data) == ["ax", "ay", "b10", "b2"])
      #expect((0..<4).map { data.label(of: $0) } == [0, 0, 1, 1])
      #expect(data.name(of: 1) == directory.path("train/a/inner/y.jpg"))
      #expect(data.notes.count == 1 && data.notes[0].contains("1 files that are not .jpg"))
    }
  }

  @Test func aChangedDirectoryIsListedAnew() throws {
    let directory = try directory()
    let before = try FolderDataset(root: directory.path("train") + "/")
    // Seconds apart, as the clock of a file system may tick slowly.
    func tick(_ name: String) {
      var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1_900_000_000, tv_nsec: 0)]
      utimensat(AT_FDCWD, directory.path(name), &times, 0)
    }
    try directory.write("new", to: "train/a/inner/z.jpg")
    tick("train/a/inner")
    let after = try FolderDataset(root: directory.path("train"))
    #expect(try contents(after) == ["ax", "ay", "new", "b10", "b2"])
    #expect(before.fingerprint != after.fingerprint)
    // One that is changed in its place is noticed when it is opened.
    try directory.write("longer", to: "train/a/x.jpeg")
    let error = try #require(throws: DataError.self) { try contents(after) }
    #expect(error.message.contains("x.jpeg: has changed"))
    #expect(error.message.contains("2 bytes then, 6 now"))
    #expect(error.message.contains("remove the index \(directory.path(".train.repvgg-index")) and"))
    unlink(directory.path("train/a/x.jpeg"))
    #expect(try #require(throws: DataError.self) { try contents(after) }.kind == .missing)
  }

  /// A copy elsewhere is the same data.
  @Test func fingerprintIsOfNamesAndSizes() throws {
    let (one, other) = (try directory(), try directory())
    #expect(
      try FolderDataset(root: one.path("train")).fingerprint
        == FolderDataset(root: other.path("train")).fingerprint)
    try other.write("bb10", to: "train/b class/10.PNG")
    // The directory itself has not changed.
    unlink(other.path(".train.repvgg-index"))
    #expect(
      try FolderDataset(root: one.path("train")).fingerprint
        != FolderDataset(root: other.path("train")).fingerprint)
  }

  @Test func namesNeedNotBeUTF8() throws {
    let directory = try ScratchDirectory()
    try directory.write("one", to: "c/ -x\n\t.jpg")
    let odd = Array(directory.path("c/").utf8) + [0xff, 0xfe] + Array(".jpg".utf8) + [0]
    let descriptor = odd.withUnsafeBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        $0.baseAddress.map { open($0, O_WRONLY | O_CREAT, 0o644) } ?? -1
      }
    }
    #expect(write(descriptor, "two", 3) == 3)
    close(descriptor)
    let data = try FolderDataset(root: directory.path)
    #expect(try contents(data) == ["one", "two"])
  }

  private func config(_ directory: ScratchDirectory) -> RunConfig {
    var config = RunConfig()
    config.data.format = .folder
    config.data.directory = directory.path
    return config
  }

  @Test func opensBothSplits() throws {
    let directory = try directory()
    var config = config(directory)
    let (train, test) = try Datasets.open(config: config)
    #expect((train.count, test.count, train.classes) == (4, 2, 2))
    config.data.trainLimit = 3
    config.data.exclude = try directory.write(
      "a/x.jpeg\n\(directory.path("train/b class/2.jpg"))\n", to: "bad.txt")
    let subset = try Datasets.open(config: config).train
    #expect(
      try (0..<subset.count).map { try pixels(of: subset, $0) }
        == ["ay", "b10"].map { Array($0.utf8) })
    #expect(subset.fingerprint != train.fingerprint && subset.label(of: 1) == 1)
  }

  /// Evaluation needs one split; of the other it looks at the classes' names, if it is there.
  @Test func opensOneSplitAlone() throws {
    let directory = try directory()
    var config = config(directory)
    config.model.classes = 2
    let (_, whole) = try Datasets.open(config: config)
    #expect(try Datasets.open(.test, config: config).fingerprint == whole.fingerprint)
    config.model.classes = 3
    #expect(try Datasets.open(.test, config: config).count == 2)
    // Nothing of the training images is read.
    for name in ["train/a/x.jpeg", "train/a/inner/y.jpg"] { unlink(directory.path(name)) }
    #expect(try Datasets.open(.test, config: config).count == 2)
    #expect(throws: DataError.self) { try Datasets.open(.train, config: config) }
    mkdir(directory.path("train/c"), 0o755)
    func refusal(_ split: Datasets.Split = .test) throws -> DataError {
      try #require(throws: DataError.self) { try Datasets.open(split, config: config) }
    }
    let other = try refusal()
    #expect(other.kind == .malformed && other.message.contains("only in training: 'c'"))
    rename(directory.path("train"), directory.path("elsewhere"))
    let fewer = try refusal()
    #expect(fewer.kind == .malformed && fewer.message.contains("directories of 2 classes"))
    #expect(fewer.message.contains("model.classes is 3"))
    #expect(try refusal(.train).kind == .missing)
    config.model.classes = 2
    #expect(try Datasets.open(.test, config: config).classNames == ["a", "b class"])
  }

  /// Labels beyond the classes would be read beyond the logits.
  @Test func labelsBeyondTheClassesAreRefused() throws {
    let directory = try ScratchDirectory()
    try directory.write(
      [[1, 99], [1, 2]].flatMap { $0 + [UInt8](repeating: 1, count: 3072) }, to: "test.bin")
    var config = RunConfig()
    (config.data.format, config.data.directory) = (.cifar100, directory.path)
    let error = try #require(throws: DataError.self) { try Datasets.open(.test, config: config) }
    #expect(error.kind == .configuration && error.message.contains("model.classes is 10"))
    config.model.classes = 100
    #expect(try Datasets.open(.test, config: config).count == 2)
  }

  @Test func refusals() throws {
    func refusal(_ change: (ScratchDirectory) throws -> Void) throws -> DataError {
      let directory = try directory()
      try change(directory)
      return try #require(throws: DataError.self) { try Datasets.open(config: config(directory)) }
    }
    let classes = try refusal { try $0.write("x", to: "val/c/x.jpg") }
    #expect(classes.kind == .malformed && classes.message.contains("only in test: 'c'"))
    let cases = try refusal { try $0.write("x", to: "train/A/x.jpg") }
    #expect(cases.message.contains("only in training: 'A'"))
    let empty = try refusal { mkdir($0.path("train/empty"), 0o755) }
    #expect(empty.message.contains("train/empty: holds no JPEG"))
    let dangling = try refusal { symlink("nowhere", $0.path("train/a/l.jpg")) }
    #expect(dangling.kind == .malformed && dangling.message.contains("l.jpg"))
    let loop = try refusal { symlink("..", $0.path("train/a/up")) }
    #expect(loop.message.contains("leads back"))
    let itself = try refusal { symlink("self.jpg", $0.path("train/a/self.jpg")) }
    #expect(itself.kind == .malformed && itself.message.contains("self.jpg"))
    let fifo = try refusal { mkfifo($0.path("train/a/f.jpg"), 0o644) }
    #expect(fifo.message.contains("f.jpg: is not a regular file"))
    let device = try refusal { symlink("/dev/zero", $0.path("train/a/zero.jpg")) }
    #expect(device.message.contains("zero.jpg: is not a regular file"))
    let one = try refusal {
      rename($0.path("train/b class"), $0.path("b"))
      rename($0.path("val/b class"), $0.path("c"))
    }
    #expect(one.kind == .malformed && one.message.contains("are of one class"))
    let lines = try refusal { try $0.write("x", to: "train/a\nb/x.jpg") }
    #expect(lines.message.contains("train/a\\u{a}b: the name of a class must be UTF-8"))
    let none = try refusal { rename($0.path("val"), $0.path("other")) }
    #expect(none.kind == .missing && none.message.contains("neither 'val'"))
    let file = try refusal {
      rename($0.path("train"), $0.path("t"))
      try $0.write("x", to: "train")
    }
    #expect(file.kind == .missing && file.message.contains("is not a directory"))
    let flat = try refusal {
      rename($0.path("train"), $0.path("t"))
      try $0.write("x", to: "train/x.jpg")
    }
    #expect(flat.message.contains("holds no directories"))
  }

  /// A directory that is called like an image is a directory.
  @Test func aDirectoryNamedLikeAnImage() throws {
    let directory = try directory()
    try directory.write("deep", to: "train/a/d.jpg/x.jpg")
    let data = try FolderDataset(root: directory.path("train"))
    #expect(try contents(data).contains("deep"))
  }
}
