import Foundation
import Images

/// A line of Golden/operations.txt, which Golden/make_operations.py writes.
struct GoldenCase: CustomStringConvertible {
  /// What is done, and its arguments.
  let words: [String]
  /// The other columns.
  let fields: [String]

  var description: String { (words + fields.prefix(1)).joined(separator: " ") }
  var numbers: [Int] { words.compactMap { Int($0) } }

  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appending(path: "Golden/operations.txt").path

  /// The cases whose first word is among `names`.
  static func all(_ names: [String]) throws -> [GoldenCase] {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    return text.split(separator: "\n").compactMap { line in
      let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      let words = columns[0].split(separator: " ").map(String.init)
      guard names.contains(words[0]) else { return nil }
      return GoldenCase(words: words, fields: Array(columns.dropFirst()))
    }
  }

  /// The image that is described in the second column.
  func image() throws -> PixelBuffer {
    let words = fields[0].split(separator: " ").map(String.init)
    let numbers = words.compactMap { Int($0) }
    guard words.count == 5, numbers.count == 4 else { throw GoldenError(line: description) }
    return GoldenImage(
      kind: words[0], channels: numbers[0], height: numbers[1], width: numbers[2],
      seed: numbers[3]
    ).pixels()
  }

  /// What is wrong with a result; nil where it is the expected one.
  func difference(from result: PixelBuffer) -> String? {
    let pixels = UnsafeBufferPointer(start: result.base, count: result.count)
    let size = "\(result.height) x \(result.width)"
    guard size == "\(fields[1]) x \(fields[2])" else {
      return "\(self): \(size) instead of \(fields[1]) x \(fields[2])"
    }
    if crc32(pixels) == UInt32(fields[3], radix: 16) { return nil }
    guard let stored = Data(base64Encoded: fields[4]), !stored.isEmpty else {
      return "\(self): some of \(result.count) values differ"
    }
    let differing = zip(pixels, stored).enumerated().filter { $0.element.0 != $0.element.1 }
    let places = differing.prefix(8).map { index, values in
      let (row, rest) = index.quotientAndRemainder(dividingBy: result.stride)
      return "[\(row)][\(rest / result.channels)][\(rest % result.channels)]"
        + " \(values.0), not \(values.1)"
    }
    return "\(self): \(differing.count) of \(result.count) values differ: "
      + places.joined(separator: "; ")
  }
}

struct GoldenError: Error {
  let line: String
}

/// An image by formula, the same as in make_operations.py.
struct GoldenImage: Hashable {
  var kind: String
  var channels: Int
  var height: Int
  var width: Int
  var seed: Int

  func pixels() -> PixelBuffer {
    let buffer = PixelBuffer()
    buffer.reshape(height: height, width: width, channels: channels)
    var pixel = buffer.base
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<channels {
          pixel.pointee = value(y, x, c)
          pixel += 1
        }
      }
    }
    return buffer
  }

  private func value(_ y: Int, _ x: Int, _ c: Int) -> UInt8 {
    var word = UInt32(
      truncatingIfNeeded: x &* 374_761_393 &+ y &* 668_265_263 &+ c &* 2_246_822_519
        &+ seed &* 3_266_489_917)
    word = (word ^ word >> 13) &* 1_274_126_177
    let noise = Int((word ^ word >> 16) & 255)
    let value =
      switch kind {
      case "noise": noise
      case "smooth": 40 + (3 * x + 2 * y + 30 * c + (noise & 15)) % 180
      case "flat": (37 * (c + 1) + seed) % 256
      default: noise & 1 == 1 ? 200 : 90
      }
    return UInt8(value)
  }
}

/// The uniform numbers of make_operations.py.
struct GoldenStream: RandomNumbers {
  private var state: UInt64

  init(seed: Int) { state = UInt64(seed) }

  mutating func uniformDouble() -> Double {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(state >> 11) * 0x1p-53
  }

  mutating func next(below bound: Int) -> Int { Int(uniformDouble() * Double(bound)) }
}

/// The CRC-32 of zlib (RFC 1952).
func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var crc: UInt32 = 0xFFFF_FFFF
  for byte in bytes {
    crc = crcTable[Int((crc ^ UInt32(byte)) & 0xFF)] ^ crc >> 8
  }
  return ~crc
}

private let crcTable: [UInt32] = (0..<256).map { index in
  (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? 0xEDB8_8320 ^ crc >> 1 : crc >> 1 }
}
