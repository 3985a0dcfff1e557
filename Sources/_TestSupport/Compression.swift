import CZlib

/// One gzip member with the bytes deflated.
package func gzip(_ bytes: [UInt8]) -> [UInt8] {
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

/// CRC-32, as gzip, PNG and the indexes of data sets have it.
package func checksum(of bytes: some Collection<UInt8>) -> UInt32 {
  let bytes = Array(bytes)
  let value = bytes.withUnsafeBufferPointer { crc32_z(0, $0.baseAddress, $0.count) }
  return UInt32(truncatingIfNeeded: value)
}
