import CZlib
import Glibc

/// A list of samples kept in a file, so that a million of them are not looked for at every start.
///
/// Layout, little-endian: 8 bytes that name the kind and version, CRC-32 and length of what follows
/// (UInt32, 0 as UInt32, UInt64), the content. Read through the page cache, so that the ranks of a
/// host share it and none holds it. A cache alone: what is wrong with it means that it is made anew.
final class IndexFile: Sendable {
  private nonisolated(unsafe) let base: UnsafeRawPointer
  private let size: Int
  private static let headerSize = 24

  /// Maps the file and verifies it; nil where there is none, or none that can be used.
  init?(path: [UInt8], kind: StaticString) {
    let descriptor = RegularFile.withCString(path) { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_size >= Self.headerSize, status.st_uid == geteuid() || status.st_mode & 0o022 == 0,
      let map = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0),
      map != MAP_FAILED
    else { return nil }
    base = UnsafeRawPointer(map)
    size = Int(status.st_size)
    guard isSound(kind) else { return nil }
  }

  /// The same in memory of its own, where no file can be kept; nil without memory.
  init?(content: Content) {
    let size = Self.headerSize + content.bytes.count
    guard
      let map = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      map != MAP_FAILED
    else { return nil }
    content.bytes.withUnsafeBytes { bytes in
      UnsafeMutableRawBufferPointer(start: map + Self.headerSize, count: bytes.count)
        .copyMemory(from: bytes)
    }
    base = UnsafeRawPointer(map)
    self.size = size
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: base), size) }

  private func isSound(_ kind: StaticString) -> Bool {
    let magic = UnsafeRawBufferPointer(start: kind.utf8Start, count: kind.utf8CodeUnitCount)
    precondition(magic.count == 8, "a kind of index has eight letters")
    let content = UnsafeRawBufferPointer(start: base + Self.headerSize, count: count)
    return UnsafeRawBufferPointer(start: base, count: 8).elementsEqual(magic)
      && base.loadUnaligned(fromByteOffset: 12, as: UInt32.self) == 0
      && base.loadUnaligned(fromByteOffset: 16, as: UInt64.self).littleEndian == UInt64(count)
      && base.loadUnaligned(fromByteOffset: 8, as: UInt32.self).littleEndian
        == Self.checksum(content)
  }

  /// Bytes of the content.
  var count: Int { size - Self.headerSize }

  /// A number of the content; its caller has checked that it lies inside.
  @inline(__always)
  func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type, at offset: Int)
    -> Number
  {
    precondition(offset >= 0 && offset + MemoryLayout<Number>.size <= count, "outside the index")
    return Number(
      littleEndian: base.loadUnaligned(fromByteOffset: Self.headerSize + offset, as: type))
  }

  func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "outside the index")
    return UnsafeRawBufferPointer(
      start: base + Self.headerSize + range.lowerBound, count: range.count)
  }

  fileprivate static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(
      truncatingIfNeeded: crc32_z(
        0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
  }

  // MARK: - Writing

  /// Content to be written, front to back.
  struct Content {
    private(set) var bytes: [UInt8] = []

    mutating func append<Number: FixedWidthInteger>(_ number: Number) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }
  }

  /// Puts an index at `path` in one step, as a file of its own; false where that cannot be done.
  static func write(_ content: Content, kind: StaticString, path: [UInt8]) -> Bool {
    var header = Content()
    header.append(UnsafeRawBufferPointer(start: kind.utf8Start, count: kind.utf8CodeUnitCount))
    header.append(content.bytes.withUnsafeBytes { checksum($0) })
    header.append(UInt32(0))
    header.append(UInt64(content.bytes.count))
    let suffix = ".\(getpid()).\(UInt32.random(in: .min ... .max)).tmp"
    let temporary = path + Array(suffix.utf8)
    let descriptor = RegularFile.withCString(temporary) {
      open($0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
    }
    guard descriptor >= 0 else { return false }
    let isWritten = writeAll(header.bytes, descriptor) && writeAll(content.bytes, descriptor)
    let isClosed = close(descriptor) == 0
    let isRenamed =
      isWritten && isClosed
      && RegularFile.withCString(temporary) { from in
        RegularFile.withCString(path) { rename(from, $0) == 0 }
      }
    if !isRenamed { _ = RegularFile.withCString(temporary) { unlink($0) } }
    return isRenamed
  }

  private static func writeAll(_ bytes: [UInt8], _ descriptor: CInt) -> Bool {
    bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
  }
}
