import CZlib
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

/// One gzip member with the bytes deflated.
func gzip(_ bytes: [UInt8]) -> [UInt8] {
  var stream = z_stream()
  let started = deflateInit2_(
    &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
    CInt(MemoryLayout<z_stream>.size))
  precondition(started == Z_OK)
  defer { deflateEnd(&stream) }
  var input = bytes
  let bound = Int(deflateBound(&stream, UInt(bytes.count)))
  return [UInt8](unsafeUninitializedCapacity: bound) { output, count in
    input.withUnsafeMutableBufferPointer { input in
      stream.next_in = input.baseAddress
      stream.avail_in = UInt32(input.count)
      stream.next_out = output.baseAddress
      stream.avail_out = UInt32(bound)
      precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
    }
    count = bound - Int(stream.avail_out)
  }
}

/// The stored bytes of one sample.
func pixels(of dataset: some Dataset, _ sample: Int) throws -> [UInt8] {
  let bytes = ByteBuffer()
  try dataset.read(sample, into: bytes)
  return Array(bytes.all)
}
