import Glibc
import Tensors

/// A regular file open for reading, from any thread and at any place.
///
/// Refuses what is not a regular file without blocking on it (FIFOs, devices, directories).
final class RegularFile: Sendable {
  /// As the system takes it: names need not be UTF-8.
  let path: [UInt8]
  let size: Int
  /// Modification time in nanoseconds since 1970.
  let modified: Int64
  private let descriptor: CInt

  convenience init(path: String) throws(DataError) { try self.init(path: Array(path.utf8)) }

  init(path: [UInt8]) throws(DataError) {
    let name = Self.text(path)
    guard !path.isEmpty, !path.contains(0) else {
      throw DataError(.missing, "'\(name)' is not the name of a file")
    }
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    let descriptor = Self.withCString(path) {
      open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    }
    guard descriptor >= 0 else { throw Self.openError(name, errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      close(descriptor)
      throw DataError(.io, "\(name): cannot read: \(errnoText(code))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      let what = status.st_mode & S_IFMT == S_IFDIR ? "a directory" : "not a regular file"
      throw DataError(.malformed, "\(name): is \(what); name a file")
    }
    self.path = path
    self.descriptor = descriptor
    size = Int(status.st_size)
    modified = status.modified
  }

  deinit { close(descriptor) }

  /// The name for messages.
  var name: String { Self.text(path) }

  /// Whether the file has the size and modification time that it had when it was opened.
  var isUnchanged: Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && Int(status.st_size) == size
      && status.modified == modified
  }

  /// Bytes from `offset` on, fewer than asked for only at the end of the file.
  func read(
    at offset: Int, into target: UnsafeMutableRawBufferPointer
  ) throws(DataError) -> Int {
    var done = 0
    while done < target.count {
      let count = pread(
        descriptor, target.baseAddress.map { $0 + done }, target.count - done, offset + done)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw DataError(.io, "\(name): cannot read: \(errnoText(errno))")
      }
      if count == 0 { break }
      FileProgress.advance()
      done += count
    }
    return done
  }

  /// Fills `buffer` with `count` bytes from `offset` on, all of which must be there.
  func read(at offset: Int, count: Int, into buffer: ByteBuffer) throws(DataError) {
    buffer.reserve(count)
    guard try read(at: offset, into: buffer.all) == count else {
      throw DataError(.malformed, "\(name): became shorter while it was read; is it being written?")
    }
  }

  static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }

  static func withCString<Result>(
    _ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Result
  ) -> Result {
    (path + [0]).withUnsafeBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        guard let base = $0.baseAddress else { preconditionFailure("a terminated name is empty") }
        return body(base)
      }
    }
  }

  private static func openError(_ name: String, _ code: CInt) -> DataError {
    switch code {
    case ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP, ENXIO:
      DataError(.missing, "\(name): \(errnoText(code)); check data.directory and the data paths")
    case EACCES, EPERM:
      DataError(.permission, "\(name): \(errnoText(code)); make it readable for this user")
    default:
      DataError(.io, "\(name): cannot open: \(errnoText(code))")
    }
  }
}

extension stat {
  /// Modification time in nanoseconds since 1970.
  var modified: Int64 { Int64(st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(st_mtim.tv_nsec) }
}

func errnoText(_ code: CInt) -> String { String(cString: strerror(code)) }
