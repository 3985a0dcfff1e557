import Foundation
import Testing

@testable import Tensors

/// A directory that is removed when the test ends.
final class TemporaryDirectory {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/tensors-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: [UInt8], _ name: String = "a.safetensors") throws -> String {
    let file = path + "/" + name
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }
}

/// A file with the given header text and that many bytes of data.
func file(header: String, data: [UInt8] = []) -> [UInt8] {
  file(headerBytes: Array(header.utf8), data: data)
}

func file(headerBytes: [UInt8], length: UInt64? = nil, data: [UInt8] = []) -> [UInt8] {
  let length = length ?? UInt64(headerBytes.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + headerBytes + data
}

@Suite struct SafetensorsRoundTripTests {
  static let sample: NamedTensors = {
    var tensors = NamedTensors()
    tensors["b.weight"] = Tensor(shape: [2, 3], [1, -2, .infinity, 0x1p-149, -0.0, 3.5])
    tensors["a.count"] = Tensor(shape: [], integers: [Int64.min])
    tensors["c.empty"] = Tensor(shape: [0, 4], [Float]())
    tensors["d\"\\\n\u{1}é😀"] = Tensor(shape: [1], values: .float64([.pi]))
    tensors["e.bytes"] = Tensor(
      shape: [3], values: .raw(elementType: "U8", bytes: [0, 127, 255]))
    tensors.metadata = ["recipe": "{\"batch\": 8}\t", "": "é"]
    return tensors
  }()

  @Test func comesBackFromMemoryAndFromDisk() throws {
    let bytes = Self.sample.safetensorsBytes()
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes)
    for read in [
      try NamedTensors(safetensors: bytes, path: "memory"),
      try NamedTensors.readSafetensors(path: path),
    ] {
      #expect(read.metadata == Self.sample.metadata)
      #expect(read.sortedNames == Self.sample.sortedNames)
      for (name, tensor) in Self.sample { #expect(read[name] == tensor) }
      #expect(read.safetensorsBytes() == bytes)
    }
  }

  @Test func headerTellsWhatTheFileHolds() throws {
    let directory = try TemporaryDirectory()
    let bytes = Self.sample.safetensorsBytes()
    let header = try Safetensors.header(path: try directory.write(bytes))
    #expect(8 + header.headerBytes + header.dataBytes == bytes.count)
    #expect(header.headerBytes % 8 == 0)
    let weight = try #require(header.tensors.first { $0.name == "b.weight" })
    #expect(weight.elementType == "F32")
    #expect(weight.shape == [2, 3])
    #expect(weight.byteRange.count == 24)
  }

  /// PyTorch's loader refuses a tensor that is not aligned to its element size.
  @Test func everyTensorIsAlignedToItsElements() throws {
    var tensors = NamedTensors()
    tensors["a"] = Tensor(shape: [3], values: .raw(elementType: "U8", bytes: [1, 2, 3]))
    tensors["b"] = Tensor(shape: [3], [1, 2, 3])
    tensors["c"] = Tensor(shape: [], integers: [Int64(7)])
    let directory = try TemporaryDirectory()
    let header = try Safetensors.header(path: try directory.write(tensors.safetensorsBytes()))
    #expect(header.tensors.map(\.name) == ["c", "b", "a"])
    for entry in header.tensors {
      let width = try #require(ElementType(rawValue: entry.elementType)).bits / 8
      #expect((8 + header.headerBytes + entry.byteRange.lowerBound) % width == 0)
    }
  }

  @Test func bytesDoNotDependOnTheOrderOfAddition() {
    var reversed = NamedTensors()
    reversed.metadata = Self.sample.metadata
    for name in Self.sample.names.reversed() { reversed[name] = Self.sample[name] }
    #expect(reversed.safetensorsBytes() == Self.sample.safetensorsBytes())
    #expect(reversed.weightsSHA256() == Self.sample.weightsSHA256())
  }

  @Test func halvesAreWidened() throws {
    let bytes = file(
      header: #"{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"#
        + #""b":{"dtype":"BF16","shape":[2],"data_offsets":[6,10]}}"#,
      data: [0x00, 0x3C, 0x00, 0xC1, 0x01, 0x00, 0x80, 0x3F, 0x49, 0xC0])
    let read = try NamedTensors(safetensors: bytes, path: "memory")
    #expect(read["h"]?.floats == [1, -2.5, 0x1p-24])
    #expect(read["b"]?.floats == [1, -3.140625])
  }

  /// Written by the reference implementation (safetensors 0.8.0, Python): header order, spaces.
  @Test func readsTheReferenceImplementation() throws {
    let header =
      #"{"__metadata__":{"format":"pt"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"#
      + #""w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}    "#
    let data: [UInt8] = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 192]
    let read = try NamedTensors(safetensors: file(header: header, data: data), path: "memory")
    #expect(read["n"]?.integers == [5])
    #expect(read["w"] == Tensor(shape: [1, 2], [1, -2]))
    #expect(read.metadata == ["format": "pt"])
  }

  @Test func namesAreEscapedAsJSON() throws {
    let header = #"{"\u0041\ud83d\ude00\/\n\"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    let read = try NamedTensors(safetensors: file(header: header, data: [9]), path: "memory")
    #expect(read.names == ["A😀/\n\""])
  }

  @Test func filesThatAreNoneAreNamed() throws {
    let directory = try TemporaryDirectory()
    let missing = directory.path + "/none.safetensors"
    let error = #expect(throws: TensorFileError.self) {
      try NamedTensors.readSafetensors(path: missing)
    }
    #expect(error?.kind == .missing)
    #expect(error?.description == "\(missing): open: No such file or directory")
    #expect(throws: TensorFileError.self) { try Safetensors.header(path: directory.path) }
    let fifo = directory.path + "/fifo"
    #expect(mkfifo(fifo, 0o600) == 0)
    #expect(throws: TensorFileError.self) { try Safetensors.header(path: fifo) }
  }

  @Test func aSparseFileLargerThanMemoryIsRefused() throws {
    let elements = 1 << 41
    let header =
      #"{"w":{"dtype":"F32","shape":[\#(elements)],"data_offsets":[0,\#(elements * 4)]}}"#
    let bytes = file(header: header)
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes)
    guard truncate(path, bytes.count + elements * 4) == 0 else { return }  // not on every system
    let error = #expect(throws: TensorFileError.self) {
      try NamedTensors.readSafetensors(path: path)
    }
    #expect(error?.message.contains("do not fit into memory") == true)
  }
}
