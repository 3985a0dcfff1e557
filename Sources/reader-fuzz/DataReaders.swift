import Foundation
import ImageData
import RunPlanning
import Tensors
import _TestSupport

extension FuzzedReader {
  /// Runs `body`; a refusal by name is what a spoilt file may come to.
  private static func refusal(
    _ kinds: Set<DataError.Kind> = [.malformed], _ body: () throws -> Void
  ) throws -> Bool {
    do {
      try body()
      return true
    } catch let error as DataError {
      try require(kinds.contains(error.kind), "\(error.kind): \(error)")
      try require(!error.message.contains("\n"), "an error of several lines: \(error)")
      return false
    }
  }

  private static func readAll(_ data: some Dataset) throws {
    let buffer = ByteBuffer()
    try require(data.count > 0 && data.classes > 0, "an empty data set")
    for sample in 0..<data.count {
      try require((0..<data.classes).contains(data.label(of: sample)), "a label out of range")
      try require(!data.name(of: sample).isEmpty, "a sample without a name")
      try data.read(sample, into: buffer)
    }
  }

  // MARK: - Archives

  private static func record(_ text: String) -> [UInt8] {
    // The length counts its own digits.
    let rest = text.utf8.count + 2
    let length = (1...2000).first { rest + String($0).count == $0 } ?? 0
    return Array("\(length) \(text)\n".utf8)
  }

  private static func archives() -> [TarFixture] {
    let long = String(repeating: "n", count: 130)
    return [
      .samples([("a", [1, 2, 3], 1), ("b/c", Array("image".utf8), 20), ("b/d", [9], 0)]),
      TarFixture(members: [
        .init(name: "d/", content: [], type: UInt8(ascii: "5")),
        .init(name: "././@L", content: Array("\(long).jpg\0".utf8), type: UInt8(ascii: "L")),
        .init(name: "x", content: [5]),
        .init(name: "p", content: record("path=\(long).cls"), type: UInt8(ascii: "x")),
        .init(name: "x", content: Array("2\n".utf8)),
        .init(name: "p", content: record("size=4"), type: UInt8(ascii: "x")),
        .init(name: "y.png", content: [1, 2, 3, 4]),
        .init(name: "y.json", content: Array(#"{"label": 4, "other": [1, {}]}"#.utf8)),
        .init(
          name: "z.jpg", content: [7], sizeField: [0x80] + [UInt8](repeating: 0, count: 10) + [1]),
        .init(name: "z.cls", content: Array("3".utf8)),
      ]),
    ]
  }

  /// With the checksum of everything put right that looks like a header.
  private static func withHeaderChecksums(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for start in stride(from: 0, through: bytes.count - 512, by: 512)
    where bytes[start + 257..<start + 262].elementsEqual("ustar".utf8) {
      bytes.replaceSubrange(start + 148..<start + 156, with: repeatElement(32, count: 8))
      let sum = bytes[start..<start + 512].reduce(0) { $0 + Int($1) }
      let digits = String(sum, radix: 8)
      let text = String(repeating: "0", count: 6 - digits.count) + digits
      bytes.replaceSubrange(start + 148..<start + 156, with: Array(text.utf8) + [0, 32])
    }
    return bytes
  }

  static func tar(_ directory: String) -> FuzzedReader {
    let words = [
      "../", "/etc/x", "ustar\0", "GNU.sparse", "size=", "path=", ".jpg", ".cls", "77777",
    ]
    let types = Array("0123456LKxgSV".utf8).map { [$0] }
    let path = "\(directory)/shard.tar"
    return FuzzedReader(
      "tar", seeds: archives().map(\.bytes), words: words.map { Array($0.utf8) } + types,
      seal: withHeaderChecksums
    ) { bytes in
      try write(bytes, to: path)
      defer { unlink("\(directory)/.shard.tar.repvgg-index") }
      let wasRead = try refusal { try readAll(TarDataset(paths: [path])) }
      let entries = try FileManager.default.contentsOfDirectory(atPath: directory)
      try require(
        Set(entries).isSubset(of: ["shard.tar", ".shard.tar.repvgg-index"]),
        "something was written: \(entries)")
      return wasRead
    }
  }

  // MARK: - Indexes

  /// An index with length and checksum put right, and so many bytes of its content, which say what
  /// it was made of.
  private static func sealed(_ bytes: [UInt8], like sound: [UInt8], _ count: Int) -> [UInt8] {
    guard bytes.count > 24 + count else { return bytes }
    let content = sound[24..<24 + count] + bytes[(24 + count)...]
    return sound[..<8] + littleEndian(UInt64(checksum(of: content)), bytes: 4) + [0, 0, 0, 0]
      + littleEndian(UInt64(content.count)) + content
  }

  static func tarIndex(_ directory: String) throws -> FuzzedReader {
    let path = "\(directory)/shard.tar"
    let index = "\(directory)/.shard.tar.repvgg-index"
    try write(archives()[0].bytes, to: path)
    try readAll(TarDataset(paths: [path]))
    let sound = try bytes(of: index)
    return FuzzedReader(
      "tar-index", seeds: [sound], seal: { sealed($0, like: sound, 16) }
    ) { bytes in
      try write(bytes, to: index)
      try require(
        try refusal { try readAll(TarDataset(paths: [path])) }, "a sound archive was refused")
      // One that is not sound is made anew, as it was.
      return try Self.bytes(of: index) != sound
    }
  }

  private static func bytes(of path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  static func folderIndex(_ directory: String) throws -> FuzzedReader {
    let root = "\(directory)/train"
    for name in ["a/1.jpg", "a/2.png", "a/deep/3.jpeg", "b/1.jpg", "b/note.txt"] {
      let path = URL(fileURLWithPath: "\(root)/\(name)")
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try write(Array(name.utf8), to: path.path)
    }
    try readAll(FolderDataset(root: root))
    let index = "\(directory)/.train.repvgg-index"
    let sound = try bytes(of: index)
    return FuzzedReader(
      "folder-index", seeds: [sound], words: [Array("../../".utf8), [0], Array("a/1.jpg".utf8)],
      seal: { sealed($0, like: sound, 0) }
    ) { bytes in
      try write(bytes, to: index)
      // Paths are the index's word: what does not lie there is missing.
      return try refusal([.malformed, .missing]) { try readAll(FolderDataset(root: root)) }
    }
  }

  // MARK: - Records

  private static func idxFile(_ dimensions: [UInt32], _ content: [UInt8]) -> [UInt8] {
    [0, 0, 8, UInt8(dimensions.count)] + dimensions.flatMap(bigEndian) + content
  }

  /// Each file in place of the images, then of the labels.
  static func idx(_ directory: String) -> FuzzedReader {
    let images = idxFile([5, 3, 4], (0..<60).map { UInt8($0) })
    let labels = idxFile([5], [0, 1, 2, 3, 9])
    let paths = ["\(directory)/images", "\(directory)/labels"]
    return FuzzedReader(
      "idx", seeds: [images, labels, gzip(images), gzip(labels), gzip(labels) + gzip([])],
      words: [[0, 0, 8, 3], [0, 0, 8, 1], [0x1f, 0x8b, 8], bigEndian(1 << 31)],
      seal: { $0.starts(with: [0x1f, 0x8b]) ? $0 : gzip($0) }
    ) { bytes in
      var wasRead = false
      for pair in [[bytes, labels], [images, bytes]] {
        for (path, content) in zip(paths, pair) { try write(content, to: path) }
        let isSound = try refusal {
          let data = try IDXDataset(images: paths[0], labels: paths[1], classes: 10)
          try require(data.classes <= 10, "\(data.classes) classes")
          try readAll(data)
        }
        wasRead = wasRead || isSound
      }
      return wasRead
    }
  }

  static func cifar(_ directory: String) -> FuzzedReader {
    func records(_ labels: [[UInt8]]) -> [UInt8] {
      labels.flatMap { $0 + (0..<3072).map { UInt8(truncatingIfNeeded: $0) } }
    }
    let (ten, hundred) = (records([[3], [9]]), records([[1, 99], [7, 20]]))
    let path = "\(directory)/batch.bin"
    return FuzzedReader(
      "cifar", seeds: [ten, hundred, gzip(ten), gzip(hundred)],
      words: [[10], [100], [0x1f, 0x8b, 8], Array(ten[..<3073])],
      seal: { $0.starts(with: [0x1f, 0x8b]) ? $0 : gzip($0) }
    ) { bytes in
      try write(bytes, to: path)
      let kinds: [CIFARDataset.Kind] = [.ten, .hundred]
      return try kinds.map { kind in
        try refusal { try readAll(CIFARDataset(kind: kind, files: [path])) }
      }.contains(true)
    }
  }

  // MARK: - Weights and configurations

  static func safetensors() -> FuzzedReader {
    var tensors = NamedTensors()
    tensors["stage0.rbr_dense.conv.weight"] = Tensor(
      shape: [2, 1, 3, 3], (0..<18).map { Float($0) })
    tensors["linear.bias"] = Tensor(shape: [3], [1, 2, 3])
    tensors["count"] = Tensor(shape: [1], integers: [7])
    tensors.metadata = ["format": "pt"]
    let words = [
      "\"dtype\":", "\"shape\":", "\"data_offsets\":", "F32", "BF16", "I64", "[", "]", "{", "}",
      "-1", "1e9", "9223372036854775807", "18446744073709551616", "\\u0000", "\"", ",",
      "__metadata__",
    ]
    return FuzzedReader(
      "safetensors", seeds: [tensors.safetensorsBytes()], words: words.map { Array($0.utf8) }
    ) { bytes in
      do {
        let tensors = try NamedTensors(safetensors: bytes, path: "x")
        _ = tensors.safetensorsBytes()
        return true
      } catch let error as TensorFileError {
        try require(error.kind == .damaged, "\(error)")
        return false
      }
    }
  }

  static func yaml(_ directory: String) -> FuzzedReader {
    let seed = """
      model: {architecture: RepVGG-A0, classes: 10}   # a comment
      data:
        format: folder
        directory: "somewhere"
        mean: [0.485, 0.456, 0.406]
      training:
        epochs: 3
        label_smoothing: 0.1
      schedule: {learning_rate: 0.1}

      """
    let words = [
      ": ", "- ", "&a ", "*a", "{", "[", "\"", "\t", "\0", "%YAML 1.3\n", "!!binary ", "|\n", ">\n",
      "1e400", ".nan", "0o17", "\u{feff}", "\r\n", "? ", "<<: ", "---\n", "...\n", "no",
    ]
    let path = "\(directory)/config.yaml"
    return FuzzedReader("yaml", seeds: [Array(seed.utf8)], words: words.map { Array($0.utf8) }) {
      try write($0, to: path)
      do {
        _ = try RunConfig.load(path: path)
        return true
      } catch let error as ConfigurationError {
        try require(error.kind == .configuration, "\(error)")
        return false
      }
    }
  }
}
