import Foundation
import Testing

@testable import Tensors

/// Files that Tests/Interop/make_pytorch_files.py has made with PyTorch.
enum PyTorchFixture {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("PyTorch").path

  static func path(_ name: String) -> String { "\(directory)/\(name).pth" }

  static func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
  }
}

@Suite struct PyTorchFileTests {
  private static let networkNames = [
    "0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
  ]

  private static func quarters(_ numbers: Range<Int>) -> [Float] { numbers.map { Float($0) / 4 } }

  /// Bare, below a wrapper, beside an optimizer, arguments and numbers of NumPy, in protocol 4.
  @Test(arguments: ["bare", "state-dict", "model", "protocol-4", "module", "optimizer"])
  func weightsAreFound(_ name: String) throws {
    let tensors = try NamedTensors.read(path: PyTorchFixture.path(name))
    let prefix = name == "module" ? "module." : ""
    #expect(tensors.names == Self.networkNames.map { prefix + $0 })
    #expect(
      tensors["\(prefix)0.weight"] == Tensor(shape: [2, 1, 2, 2], Self.quarters(0..<8)))
    #expect(tensors["\(prefix)1.num_batches_tracked"]?.shape == [])
    // The one that was trained for a step has moved its statistics.
    if name == "optimizer" {
      #expect(tensors["1.num_batches_tracked"]?.integers == [1])
    } else {
      #expect(tensors["\(prefix)1.num_batches_tracked"]?.integers == [0])
      #expect(tensors["\(prefix)1.running_mean"] == Tensor(shape: [2], [2.5, 2.75]))
      #expect(tensors["\(prefix)1.running_var"] == Tensor(shape: [2], [1, 1]))
    }
  }

  @Test func parametersAreTensors() throws {
    let tensors = try NamedTensors.readPyTorch(path: PyTorchFixture.path("parameters"))
    #expect(tensors.names == ["0.weight", "1.weight", "1.bias"])
    #expect(tensors["0.weight"]?.floats == Self.quarters(0..<8))
  }

  /// A base of 3 x 4, and what is seen of it by other strides and offsets.
  @Test func viewsAreGathered() throws {
    let tensors = try NamedTensors.readPyTorch(path: PyTorchFixture.path("views"))
    let base = Tensor(shape: [3, 4], Self.quarters(0..<12))
    func picked(_ shape: [Int], _ indices: [Int]) -> Tensor {
      Tensor(shape: shape, indices.map { Float($0) / 4 })
    }
    #expect(tensors["base"] == base)
    #expect(tensors["tied"] == base)
    #expect(
      tensors["transposed"] == picked([4, 3], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]))
    #expect(tensors["column"] == picked([3], [1, 5, 9]))
    #expect(tensors["row"] == picked([4], [8, 9, 10, 11]))
    #expect(tensors["steps"] == picked([2, 2], [1, 3, 9, 11]))
    #expect(tensors["scalar"] == picked([], [5]))
    #expect(tensors["expanded"] == picked([5], [7, 7, 7, 7, 7]))
    #expect(tensors["channels_last"] == picked([2, 3, 2, 2], Array(0..<24)))
    #expect(
      tensors.names == [
        "base", "transposed", "column", "row", "steps", "channels_last", "expanded", "tied",
        "scalar",
      ])
  }

  @Test func elementTypesAreThoseOfSafetensors() throws {
    let tensors = try NamedTensors.readPyTorch(path: PyTorchFixture.path("types"))
    #expect(tensors["float"]?.floats == [0, 0.25])
    #expect(tensors["double"]?.values == .float64([0, 0.25 / 3]))
    #expect(tensors["half"] == Tensor(shape: [3], [-1.25, -1, -0.75]))
    #expect(tensors["bfloat"] == Tensor(shape: [3], [-1.25, -1, -0.75]))
    #expect(tensors["long"] == Tensor(shape: [], integers: [-(1 << 40)]))
    #expect(
      tensors["int"]?.values
        == .raw(elementType: "I32", bytes: [1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]))
    #expect(tensors["byte"]?.values == .raw(elementType: "U8", bytes: [0, 255]))
    #expect(tensors["bool"]?.values == .raw(elementType: "BOOL", bytes: [1, 0]))
    #expect(tensors["empty"] == Tensor(shape: [0, 3], [Float]()))
    // What was read makes a safetensors file.
    #expect(
      try NamedTensors(safetensors: tensors.safetensorsBytes(), path: "x").count == tensors.count)
  }

  private static let refused: [(name: String, says: String)] = [
    ("system", "its pickle wants to run posix.system; nothing was run"),
    ("eval", "its pickle wants to run __builtin__.eval; nothing was run"),
    ("whole", "is a whole object of the class torch.nn.modules.activation.ReLU, whose code"),
    ("script", "a TorchScript program, whose code is not run"),
    ("legacy", "this is a PyTorch file of the format before 1.6"),
    ("list", "holds a list in place of a dictionary of tensors"),
    ("nested", "holds a tuple in place of a dictionary of tensors"),
    ("numbers", "holds no dictionary of tensors; its keys are \"epoch\", \"loss\""),
    ("cyclic", "holds no dictionary of tensors; its keys are \"model\""),
    ("compressed", "is compressed or encrypted, which torch.save does not do"),
    ("big-endian", "its numbers are \"big\"-endian"),
    ("short-storage", "\"data/0\" holds 4 bytes, 8 are declared"),
    ("no-storage", "\"data/0\" is missing"),
    ("outside", "does not lie in its storage of 2 elements"),
    ("expanded", "take more memory than a file of"),
  ]

  @Test(arguments: refused) func refusals(_ name: String, _ says: String) {
    let path = PyTorchFixture.path(name)
    let error = #expect(throws: TensorFileError.self) { try NamedTensors.read(path: path) }
    #expect(error?.kind == .damaged)
    let description = error?.description ?? ""
    #expect(description.hasPrefix("\(path): ") && description.contains(says), "\(description)")
    #expect(!description.contains("\n"))
  }

  /// Without the expansion, the same file is read.
  @Test func theFileWrittenByHandIsSound() throws {
    let tensors = try NamedTensors.read(path: PyTorchFixture.path("by-hand"))
    #expect(tensors["w"] == Tensor(shape: [2], [1, -2]) && tensors.count == 1)
  }

  @Test func everyTruncationIsRefused() throws {
    let directory = try TemporaryDirectory()
    let bytes = try PyTorchFixture.bytes("by-hand")
    for count in 0..<bytes.count {
      let path = try directory.write(Array(bytes[..<count]), "cut.pth")
      #expect(throws: TensorFileError.self, "\(count) of \(bytes.count) bytes") {
        try NamedTensors.read(path: path)
      }
    }
  }

  /// The archive's checksums cover the pickle and the storages.
  @Test func changedBitsAreNoticed() throws {
    let directory = try TemporaryDirectory()
    let sound = try PyTorchFixture.bytes("by-hand")
    let storage: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]
    let pickle = Array("_rebuild_tensor_v2".utf8)
    for content in [storage, pickle] {
      let place = try #require(
        sound.indices.first { sound[$0...].starts(with: content) })
      for bit in [0, 7] {
        var bytes = sound
        bytes[place + 3] ^= 1 << UInt8(bit)
        let path = try directory.write(bytes, "changed.pth")
        let error = #expect(throws: TensorFileError.self) { try NamedTensors.read(path: path) }
        #expect(error?.description.contains("is not as it was written") == true, "\(error as Any)")
      }
    }
  }

  /// A directory that declares more entries than memory holds.
  @Test func hugeDirectoriesAreRefused() throws {
    let directory = try TemporaryDirectory()
    var bytes = try PyTorchFixture.bytes("bare")
    let mark = try #require(
      bytes.indices.last { bytes[$0...].starts(with: [0x50, 0x4B, 6, 6]) })
    for place in [mark + 24, mark + 32] { bytes[place + 4] = 0x40 }
    let path = try directory.write(bytes, "huge.pth")
    let error = #expect(throws: TensorFileError.self) { try NamedTensors.read(path: path) }
    #expect(error?.message.contains("declares") == true, "\(error as Any)")
  }

  private static let others: [(bytes: [UInt8], says: String)] = [
    ([0x89] + Array("PNG\r\n\u{1A}\n\0\0\0\rIHDR".utf8), "this is a PNG image; expected weights"),
    ([0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 0x4A, 0x46, 0x49], "this is a JPEG image"),
    ([0x89] + Array("HDF\r\n\u{1A}\n\0\0".utf8), "an HDF5 file"),
    ([8, 9, 0x12, 7] + Array("pytorch\u{1A}".utf8), "an ONNX model"),
    ([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3], "a gzip archive"),
    ([0x80, 2] + Array("}q\0X\u{5}\0\0\0model".utf8), "a Python pickle"),
    (Array("model:\n  classes: 10\n".utf8), "a text file"),
    (Array("{\"a\": [1, 2, 3]}\n".utf8), "JSON text"),
    (Array("<!DOCTYPE html><html>".utf8), "a page of HTML"),
    (Array("version https://git-lfs.github.com/spec/v1\noid x\n".utf8), "a pointer of Git LFS"),
    (Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 0, count: 60), "no readable zip archive"),
    ([], "too short"), ([9, 0, 0, 0, 0, 0, 0, 0, 0x5B], "header"),
  ]

  @Test(arguments: others) func otherFilesAreNamed(_ bytes: [UInt8], _ says: String) throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes, "weights")
    let error = #expect(throws: TensorFileError.self) { try NamedTensors.read(path: path) }
    #expect(error?.kind == .damaged)
    #expect(error?.message.contains(says) == true, "\(error as Any)")
  }

  @Test func safetensorsAreStillRead() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write(SafetensorsRoundTripTests.sample.safetensorsBytes(), "a.pth")
    #expect(try NamedTensors.read(path: path).count == SafetensorsRoundTripTests.sample.count)
    let missing = #expect(throws: TensorFileError.self) {
      try NamedTensors.read(path: directory.path + "/none.pth")
    }
    #expect(missing?.kind == .missing)
  }
}
