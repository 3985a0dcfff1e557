/// What a file is, by its first bytes.
enum FileKind: Equatable {
  case safetensors
  /// A zip archive, as PyTorch's files are.
  case zip
  /// Something else, with its article: "a PNG image".
  case other(String)

  /// Bytes that `init` looks at.
  static let prefixBytes = 512

  /// `prefix`: the file's first bytes. Nil where they say nothing.
  init?(prefix: [UInt8]) {
    // The length of a header of safetensors is below 2^32.
    if prefix.count > 8, prefix[4..<8].allSatisfy({ $0 == 0 }), prefix[8] == UInt8(ascii: "{") {
      self = .safetensors
      return
    }
    if prefix.starts(with: [0x50, 0x4B, 3, 4]) || prefix.starts(with: [0x50, 0x4B, 5, 6]) {
      self = .zip
      return
    }
    guard let name = Self.signature(prefix) ?? Self.onnx(prefix) ?? Self.text(prefix) else {
      return nil
    }
    self = .other(name)
  }

  /// The error for a file that is sound and something else.
  static func wrong(_ name: String, path: String) -> TensorFileError {
    TensorFileError(
      .damaged, path: path,
      "this is \(name); expected weights: a safetensors file, or a PyTorch file written by "
        + "torch.save(model.state_dict(), path)")
  }

  private static let signatures: [(bytes: [UInt8], name: String)] = [
    // A pickled number that begins every file of torch.save before 1.6.
    (
      [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19],
      "a PyTorch file of the format before 1.6, to be written anew by "
        + "torch.save(torch.load(\"OLD.pth\", weights_only=True), \"NEW.pth\")"
    ),
    ([0x80, 4, 0x95], "a Python pickle"), ([0x80, 5, 0x95], "a Python pickle"),
    ([0x89] + Array("HDF\r\n\u{1A}\n".utf8), "an HDF5 file, as Keras writes them"),
    ([0x89] + Array("PNG\r\n\u{1A}\n".utf8), "a PNG image"),
    ([0xFF, 0xD8, 0xFF], "a JPEG image"), (Array("GIF8".utf8), "a GIF image"),
    (Array("%PDF".utf8), "a PDF document"), ([0x1F, 0x8B, 8], "a gzip archive"),
    ([0xFD] + Array("7zXZ".utf8), "an xz archive"),
    (Array("BZh".utf8), "a bzip2 archive"), ([0x28, 0xB5, 0x2F, 0xFD], "a zstd archive"),
    ([0x93] + Array("NUMPY".utf8), "a NumPy array"), (Array("GGUF".utf8), "a GGUF file"),
    ([0x7F] + Array("ELF".utf8), "a program"),
    (
      Array("version https://git-lfs".utf8),
      "a pointer of Git LFS, whose file `git lfs pull` fetches"
    ),
  ]

  private static func signature(_ prefix: [UInt8]) -> String? {
    if prefix.count > 262, prefix[257..<262].elementsEqual("ustar".utf8) { return "a tar archive" }
    if prefix.count > 7, prefix[4..<8].elementsEqual("TFL3".utf8) {
      return "a TensorFlow Lite file"
    }
    if let known = signatures.first(where: { prefix.starts(with: $0.bytes) }) { return known.name }
    // In place of zeros, which the length of a header of safetensors has there.
    let isPickle = prefix.count > 8 && prefix[0] == 0x80 && (2...5).contains(prefix[1])
    return isPickle && prefix[4..<8].contains { $0 != 0 } ? "a Python pickle" : nil
  }

  /// A protocol buffer whose first field is a version and whose second is a text.
  private static func onnx(_ prefix: [UInt8]) -> String? {
    guard prefix.count > 4, prefix[0] == 8, (1...32).contains(prefix[1]),
      [0x12, 0x1A, 0x22, 0x32, 0x3A, 0x42].contains(prefix[2])
    else { return nil }
    return "an ONNX model"
  }

  /// Text is printable from its first byte on, where others have numbers.
  private static func text(_ prefix: [UInt8]) -> String? {
    let isPrintable = prefix.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (9...13).contains($0) }
    // The last character may be cut in two.
    let end = prefix.lastIndex { $0 < 0x80 }.map { $0 + 1 } ?? 0
    guard prefix.count >= 8, isPrintable, end > prefix.count - 4,
      String(validating: prefix[..<end], as: UTF8.self) != nil
    else { return nil }
    switch prefix.first(where: { $0 > 0x20 }) {
    case UInt8(ascii: "<"): return "a page of HTML or XML"
    case UInt8(ascii: "{"), UInt8(ascii: "["): return "JSON text"
    default: return "a text file"
    }
  }
}
