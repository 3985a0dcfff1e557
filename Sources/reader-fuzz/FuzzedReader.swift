import Foundation
import _TestSupport

/// A reader of files from outside, and what it is fed with.
struct FuzzedReader {
  var name: String
  /// Sound files that are spoilt.
  var seeds: [[UInt8]]
  /// What the format's files consist of, to be put where it does not belong.
  var words: [[UInt8]] = []
  /// Puts right what would have a mutant refused before anybody looks at its content: checksums, a
  /// compression around it. Done to three of four mutants.
  var seal: ([UInt8]) -> [UInt8] = { $0 }
  /// Reads a file; whether it was taken. Throws `Unexpected` for anything but a refusal by name.
  var read: ([UInt8]) throws -> Bool

  /// Mutant `number` of `seed`.
  func mutant(seed: UInt64, number: Int) -> [UInt8] {
    var mutator = Mutator(seed: seed, number: number)
    let bytes = mutator.mutant(of: seeds, words: words)
    return mutator.pick(4) > 0 ? seal(bytes) : bytes
  }

  /// All that a long run goes through, in this order.
  static let names = [
    "jpeg", "png", "tar", "tar-index", "folder-index", "idx", "cifar", "safetensors",
    "pytorch", "yaml", "curves",
  ]

  /// - Parameters:
  ///   - name: one of `names`, or `faulty`, which fails on purpose.
  ///   - directory: of its own, where it may write files.
  init?(named name: String, directory: String) throws {
    switch name {
    case "jpeg": self = try Self.jpeg()
    case "png": self = try Self.png()
    case "tar": self = Self.tar(directory)
    case "tar-index": self = try Self.tarIndex(directory)
    case "folder-index": self = try Self.folderIndex(directory)
    case "idx": self = Self.idx(directory)
    case "cifar": self = Self.cifar(directory)
    case "safetensors": self = Self.safetensors()
    case "pytorch": self = try Self.pytorch(directory)
    case "yaml": self = Self.yaml(directory)
    case "curves": self = try Self.curves()
    case "faulty": self = Self.faulty()
    default: return nil
    }
  }

  init(
    _ name: String, seeds: [[UInt8]], words: [[UInt8]] = [],
    seal: @escaping ([UInt8]) -> [UInt8] = { $0 }, read: @escaping ([UInt8]) throws -> Bool
  ) {
    (self.name, self.seeds, self.words, self.seal, self.read) = (name, seeds, words, seal, read)
  }
}

func write(_ bytes: [UInt8], to path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

func bytes(of path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}

/// Big-endian and little-endian bytes of a number.
func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian, Array.init) }
func littleEndian(_ number: UInt64, bytes: Int = 8) -> [UInt8] {
  Array(withUnsafeBytes(of: number.littleEndian, Array.init)[..<bytes])
}

extension FuzzedReader {
  /// Does all that must not happen, so that a test sees it noticed: mutants 2, 4, 6 and 8.
  private static func faulty() -> FuzzedReader {
    var number = 0
    return FuzzedReader("faulty", seeds: [[1, 2, 3]]) { _ in
      defer { number += 1 }
      // A new process begins behind the mutant that was the end of the one before.
      switch ProcessInfo.processInfo.environment["READER_FUZZ_FIRST"].flatMap(Int.init).map({
        $0 + number
      }) {
      case 2: fatalError("on purpose")
      // The call keeps the compiler from leaving out a loop that does nothing.
      case 4: while getpid() > 0 {}
      case 6:
        let memory = [UInt8](repeating: 7, count: 120 << 20)
        try require(memory[number * 1000] == 7, "memory forgets")
      case 8: throw Unexpected("has read what is not there")
      default: break
      }
      return false
    }
  }
}
