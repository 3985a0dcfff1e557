import CZlib
import Glibc

/// A regular file read front to back, inflated on the way when it begins with gzip's magic bytes.
///
/// Memory is bounded by one buffer whatever the file says of itself. Refuses what is not a regular
/// file without blocking on it (FIFOs, devices, directories).
final class ByteStream {
  /// Deflate cannot expand by more (RFC 1951: 258 bytes from two bits).
  private static let largestExpansion = 1032
  private static let bufferSize = 1 << 18

  let path: String
  let isCompressed: Bool

  private let file: RegularFile
  /// Bytes of the file that are in `buffer` or were.
  private var position = 0
  private var buffer = [UInt8](repeating: 0, count: bufferSize)
  private var available = 0..<0
  private var inflater: UnsafeMutablePointer<z_stream>?
  /// Whether the inflater stands between two gzip members.
  private var memberEnded = false

  init(path: String) throws(DataError) {
    self.path = path
    file = try RegularFile(path: path)
    let magic = ByteBuffer()
    magic.reserve(2)
    isCompressed =
      try file.read(at: 0, into: magic.all) == 2 && magic.all.elementsEqual([0x1f, 0x8b])
    guard isCompressed else { return }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 15 + 16: the largest window, gzip framing only.
    let status = inflateInit2_(
      stream, 15 + 16, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
    inflater = stream
    guard status == Z_OK else {
      throw DataError(.io, "\(path): zlib does not start (\(status)); is memory exhausted?")
    }
  }

  deinit {
    if let inflater {
      inflateEnd(inflater)
      inflater.deallocate()
    }
  }

  /// Bytes of the file as stored.
  var storedSize: Int { file.size }

  /// The most bytes that this file can hold once inflated.
  var largestContent: Int {
    guard isCompressed else { return storedSize }
    let (size, overflow) = storedSize.multipliedReportingOverflow(by: Self.largestExpansion)
    return overflow ? Int.max : size
  }

  /// The next `count` bytes, fewer only at the end of the content. Callers bound `count` by
  /// `largestContent`.
  func read(_ count: Int) throws(DataError) -> [UInt8] {
    var failure: DataError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
      do throws(DataError) {
        initializedCount = try read(
          into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Fills `target` from the start; returns the bytes written, fewer only at the end of the content.
  func read(into target: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
    var filled = 0
    while filled < target.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: target[filled...])
      let count = isCompressed ? try inflate(into: rest) : try copy(into: rest)
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  /// Reads to the end of the content, whose checksum is verified there; returns whether no byte was
  /// left.
  func isAtEnd() throws(DataError) -> Bool {
    try read(1).isEmpty
  }

  private func copy(into target: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
    try refill()
    let count = min(target.count, available.count)
    buffer.withUnsafeBytes { bytes in
      target.copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: bytes[available.lowerBound..<available.lowerBound + count]))
    }
    available = available.lowerBound + count..<available.upperBound
    return count
  }

  /// Inflates until at least one byte is written or the last member has ended.
  private func inflate(into target: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
    guard let inflater, let start = target.baseAddress else { return 0 }
    let room = min(target.count, Int(UInt32.max))
    inflater.pointee.next_out = start.assumingMemoryBound(to: UInt8.self)
    inflater.pointee.avail_out = UInt32(room)
    while inflater.pointee.avail_out == UInt32(room) {
      try refill()
      if memberEnded {
        // RFC 1952: a gzip file may be several members, one after the other.
        guard !available.isEmpty else { return 0 }
        guard buffer[available.lowerBound] == 0x1f, inflateReset(inflater) == Z_OK else {
          throw DataError(.malformed, "\(path): surplus data behind the compressed content")
        }
        memberEnded = false
      }
      try inflateAvailable(inflater)
    }
    return room - Int(inflater.pointee.avail_out)
  }

  private func inflateAvailable(
    _ inflater: UnsafeMutablePointer<z_stream>
  ) throws(DataError) {
    guard !available.isEmpty else {
      throw DataError(
        .malformed, "\(path): ends in the middle of its gzip data; copy or download it again")
    }
    let range = available
    let status = buffer.withUnsafeMutableBufferPointer { bytes -> CInt in
      inflater.pointee.next_in = bytes.baseAddress.map { $0 + range.lowerBound }
      inflater.pointee.avail_in = UInt32(range.count)
      return CZlib.inflate(inflater, Z_NO_FLUSH)
    }
    available = range.upperBound - Int(inflater.pointee.avail_in)..<range.upperBound
    switch status {
    case Z_OK: break
    case Z_STREAM_END: memberEnded = true
    case Z_MEM_ERROR: throw DataError(.io, "\(path): no memory left to inflate it")
    default:
      let reason = inflater.pointee.msg.map { String(cString: $0) } ?? "zlib status \(status)"
      throw DataError(
        .malformed, "\(path): damaged gzip data (\(reason)); copy or download it again")
    }
  }

  /// Makes `available` not empty, unless the file has ended.
  private func refill() throws(DataError) {
    guard available.isEmpty else { return }
    var failure: DataError?
    let count = buffer.withUnsafeMutableBytes { bytes in
      do throws(DataError) { return try file.read(at: position, into: bytes) } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    position += count
    available = 0..<count
  }
}
