import Glibc

/// A file that is being written under a hidden name beside its final one: nothing half-written is
/// ever seen there. Given up with its owner unless it was published. Belongs to one thread.
final class PendingFile {
  private static let bufferSize = 1 << 20

  /// The final name.
  let path: String
  /// Where it is until then.
  let temporary: String
  private let directory: String
  private let descriptor: CInt
  private let buffer: UnsafeMutableRawBufferPointer
  private var filled = 0
  private var written = 0
  private var isPublished = false

  init(directory: String, name: String) throws(DataError) {
    self.directory = directory
    path = "\(directory)/\(name)"
    // Nobody can have made it before, and a link in its place is not followed.
    temporary = "\(directory)/.\(name).\(UInt64.random(in: .min ... .max)).tmp"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Self.error("cannot be made", path, errno) }
    buffer = .allocate(byteCount: Self.bufferSize, alignment: 64)
  }

  deinit {
    close(descriptor)
    if !isPublished { unlink(temporary) }
    buffer.deallocate()
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws(DataError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = min(rest.count, buffer.count - filled)
      UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
      filled += count
      rest = rest.dropFirst(count)
      if filled == buffer.count { try flush() }
    }
  }

  func append(_ bytes: [UInt8]) throws(DataError) {
    try bytes.withUnsafeBufferPointer { bytes throws(DataError) in
      try append(UnsafeRawBufferPointer(bytes))
    }
  }

  private func flush() throws(DataError) {
    var done = 0
    while done < filled {
      let count = Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, filled - done)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Self.error("cannot be written", path, count < 0 ? errno : EIO) }
      done += count
    }
    written += filled
    filled = 0
  }

  /// Brings everything to the disk.
  func seal() throws(DataError) {
    try flush()
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.error("cannot be read", path, errno) }
    guard Int(status.st_size) == written else {
      throw DataError(
        .io, "\(path): cannot be written: \(status.st_size) of \(written) bytes reached the file")
    }
    // After a failed fsync the data may be gone: no second try on the same file.
    guard fsync(descriptor) == 0 else { throw Self.error("cannot be written", path, errno) }
  }

  /// Gives a sealed file its name, in place of what had it.
  func publish() throws(DataError) {
    guard rename(temporary, path) == 0 else { throw Self.error("cannot be renamed", path, errno) }
    isPublished = true
    try Self.synchronise(directory)
  }

  /// A whole file at once.
  static func write(_ bytes: [UInt8], directory: String, name: String) throws(DataError) {
    let file = try PendingFile(directory: directory, name: name)
    try file.append(bytes)
    try file.seal()
    try file.publish()
  }

  /// Brings a directory's entries to the disk.
  static func synchronise(_ directory: String) throws(DataError) {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw error("cannot be opened", directory, errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw error("cannot be written", directory, errno) }
  }

  static func error(_ what: String, _ path: String, _ code: CInt) -> DataError {
    let text = "\(path): \(what): \(errnoText(code))"
    switch code {
    case EACCES, EPERM: return DataError(.permission, "\(text); make its directory writable")
    case EROFS, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EISDIR, EEXIST:
      return DataError(.cannotCreate, "\(text); choose another output")
    case ENOSPC, EDQUOT, EFBIG:
      return DataError(.io, "\(text); make room and run the same command again")
    default: return DataError(.io, text)
    }
  }
}
