import ImageData
import _TestSupport

/// Bytes of IDX files, sound by default, and each part open to damage.
struct IDXFixture {
  var magic: [UInt8]
  var dimensions: [UInt32]
  var content: [UInt8]

  var bytes: [UInt8] {
    magic
      + dimensions.flatMap { size in
        stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: size >> UInt32($0)) }
      } + content
  }

  /// `count` images whose bytes count up, so that every one differs.
  static func images(_ count: Int = 3, height: Int = 2, width: Int = 4) -> IDXFixture {
    IDXFixture(
      magic: [0, 0, 8, 3], dimensions: [UInt32(count), UInt32(height), UInt32(width)],
      content: (0..<count * height * width).map { UInt8(truncatingIfNeeded: $0) })
  }

  static func labels(_ labels: [UInt8] = [0, 1, 2]) -> IDXFixture {
    IDXFixture(magic: [0, 0, 8, 1], dimensions: [UInt32(labels.count)], content: labels)
  }
}

/// The stored bytes of one sample.
func pixels(of dataset: some Dataset, _ sample: Int) throws -> [UInt8] {
  let bytes = ByteBuffer()
  try dataset.read(sample, into: bytes)
  return Array(bytes.all)
}
