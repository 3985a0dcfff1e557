import Foundation
import Images
import Testing

/// Files and pixels for the tests of the codecs.
enum CodecFixture {
  static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Golden")

  static func file(_ name: String, in directory: String = "codecs") throws -> [UInt8] {
    Array(try Data(contentsOf: golden.appendingPathComponent("\(directory)/\(name)")))
  }

  /// One file, and what Pillow makes of it.
  struct Expectation: Sendable, CustomTestStringConvertible {
    var name: String
    var width: Int
    var height: Int
    var orientation: Int
    var rgb: String
    var luma: String
    var upright: String

    var testDescription: String { name }
  }

  /// The lines of codecs.txt.
  static let expectations: [Expectation] = {
    let text =
      (try? String(contentsOf: golden.appendingPathComponent("codecs.txt"), encoding: .utf8))
    return (text ?? "").split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
      let fields = line.split(separator: "\t").map(String.init)
      return Expectation(
        name: fields[0], width: Int(fields[1]) ?? 0, height: Int(fields[2]) ?? 0,
        orientation: Int(fields[3]) ?? 0, rgb: fields[4], luma: fields[5], upright: fields[6])
    }
  }()

  /// Waves of several slopes with some noise, so that no two regions look alike.
  static func picture(height: Int, width: Int, channels: Int, seed: UInt64 = 1) -> PixelBuffer {
    let image = PixelBuffer()
    image.reshape(height: height, width: width, channels: channels)
    var random = SplitMix(state: seed)
    for y in 0..<height {
      for x in 0..<width {
        for channel in 0..<channels {
          let phase = Double(x * (3 - channel) + y * (channel + 1)) / 9 + Double(seed)
          let value = 127 + 120 * sin(phase) + Double(random.next() % 31) - 15
          image.base[(y * width + x) * channels + channel] = UInt8(max(0, min(255, value)))
        }
      }
    }
    return image
  }

  /// CRC-32 as zlib counts it.
  static func checksum(_ image: PixelBuffer) -> String {
    var value: UInt32 = 0xffff_ffff
    for byte in UnsafeBufferPointer(start: image.base, count: image.count) {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    }
    let text = String(value ^ 0xffff_ffff, radix: 16)
    return String(repeating: "0", count: 8 - text.count) + text
  }

  /// Small and good enough for tests (Steele, Lea, Flood: "Fast splittable pseudorandom number
  /// generators", 2014).
  struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func pick<T>(_ elements: [T]) -> T {
      elements[Int(next() % UInt64(elements.count))]
    }

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
      return z ^ z >> 31
    }
  }
}

extension ImageDecoder {
  func header(of bytes: [UInt8]) throws(ImageError) -> ImageHeader {
    try bytes.withBytes { (bytes) throws(ImageError) in try header(of: bytes) }
  }

  /// Decodes into a buffer of its own.
  func decode(
    _ bytes: [UInt8], channels: Int = 3, region: PixelRegion? = nil, scale: Int = 1,
    fidelity: Fidelity = .exact
  ) throws(ImageError) -> PixelBuffer {
    let target = PixelBuffer()
    try bytes.withBytes { (bytes) throws(ImageError) in
      try decode(
        bytes, channels: channels, region: region, scale: scale, fidelity: fidelity, into: target)
    }
    return target
  }
}

extension PixelBuffer {
  var pixels: [UInt8] { Array(UnsafeBufferPointer(start: base, count: count)) }

  /// How many values differ from those of the same region of a larger image.
  func differences(from whole: PixelBuffer, at region: PixelRegion) -> Int {
    guard height == region.height, width == region.width, channels == whole.channels else {
      return Int.max
    }
    var count = 0
    for y in 0..<height {
      let other = whole.base + (region.top + y) * whole.stride + region.left * channels
      for x in 0..<stride where base[y * stride + x] != other[x] { count += 1 }
    }
    return count
  }
}

extension [UInt8] {
  /// In memory of exactly their size, so that a sanitizer sees reads beyond the end.
  func withBytes<T>(
    _ body: (UnsafeRawBufferPointer) throws(ImageError) -> T
  ) throws(ImageError) -> T {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: self)
    return try body(UnsafeRawBufferPointer(copy))
  }

  /// The first place of a JPEG marker at or behind `start`.
  func place(of marker: UInt8, from start: Int = 2) -> Int? {
    indices.dropFirst(start).dropLast().first { self[$0] == 0xff && self[$0 + 1] == marker }
  }

  /// With a JPEG's sides replaced in its frame header.
  func withSides(height: Int, width: Int) -> [UInt8] {
    var bytes = self
    guard let frame = [0xc0, 0xc2, 0xc9, 0xca].lazy.compactMap({ self.place(of: $0) }).first else {
      return bytes
    }
    for (offset, value) in [(5, height), (7, width)] {
      bytes[frame + offset] = UInt8(value >> 8)
      bytes[frame + offset + 1] = UInt8(value & 0xff)
    }
    return bytes
  }

  /// With segments behind a JPEG's first marker.
  func inserting(_ segments: [UInt8]) -> [UInt8] { self[..<2] + segments + self[2...] }
}
