import Foundation
import Tensors
import _TestSupport

extension FuzzedReader {
  /// Files that PyTorch wrote, changed anywhere; the archive's checksums are put right.
  static func pytorch(_ directory: String) throws -> FuzzedReader {
    let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Tests/TensorsTests/PyTorch").standardized.path
    let seeds = try [
      "bare", "state-dict", "model", "module", "optimizer", "parameters", "protocol-4", "types",
      "views", "by-hand", "nested", "expanded",
    ].map { try bytes(of: "\(fixtures)/\($0).pth") }
    // Instructions with what belongs to them, names, and marks of the archive.
    let words = [
      "cposix\nsystem\n", "c__builtin__\neval\n", "ctorch\nHalfStorage\n",
      "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n",
      "torch\nDoubleStorage\n",
      "(", ")", "]", "}", "Q", "R", "b", "u", "s", "e", "a", "t", "0", "1", "2", "N", ".", "h\0",
      "j\0\0\0\0", "r\0\0\0\u{1}", "J\0\0\0\u{7F}", "PK\u{5}\u{6}", "PK\u{6}\u{7}", "PK\u{6}\u{6}",
      "PK\u{1}\u{2}", "PK\u{3}\u{4}", "data/0", "data.pkl", "constants.pkl",
    ].map { Array($0.utf8) }
    let binary: [[UInt8]] = [[0x81], [0x85], [0x86], [0x87], [0x93], [0x94], [0x8A, 1, 0xFF]]
    let path = "\(directory)/weights.pth"
    return FuzzedReader(
      "pytorch", seeds: seeds, words: words + binary, seal: withEntryChecksums
    ) { bytes in
      try write(bytes, to: path)
      do {
        let tensors = try NamedTensors.read(path: path)
        _ = tensors.count
        return true
      } catch let error as TensorFileError {
        try require(error.kind == .damaged, "\(error)")
        try require(!error.description.contains("\n"), "an error of several lines: \(error)")
        return false
      }
    }
  }

  /// With the checksum of each entry put right, as far as the directory of the archive is sound.
  private static func withEntryChecksums(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    func number(_ place: Int, _ count: Int) -> Int {
      guard place >= 0, place + count <= bytes.count else { return -1 }
      return bytes[place..<place + count].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    let end = bytes.count - 22
    guard number(end, 4) == 0x0605_4B50 else { return bytes }
    var entry = number(end + 16, 4)
    while entry >= 0, number(entry, 4) == 0x0201_4B50 {
      let size = number(entry + 20, 4)
      let local = number(entry + 42, 4)
      let names = [number(local + 26, 2), number(local + 28, 2)]
      let start = local + 30 + names[0] + names[1]
      if size >= 0, names.allSatisfy({ $0 >= 0 }), start <= bytes.count - size {
        let sum = littleEndian(UInt64(checksum(of: bytes[start..<start + size])), bytes: 4)
        bytes.replaceSubrange(entry + 16..<entry + 20, with: sum)
      }
      let rest = [number(entry + 28, 2), number(entry + 30, 2), number(entry + 32, 2)]
      guard rest.allSatisfy({ $0 >= 0 }) else { break }
      entry += 46 + rest.reduce(0, +)
    }
    return bytes
  }
}
