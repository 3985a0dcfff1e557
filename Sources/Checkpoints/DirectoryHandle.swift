import Failpoints
import Glibc
import Tensors

/// A directory held open: its entries are reached relative to it, so that nothing moves under
/// them, and no call follows a symbolic link in an entry's place.
struct DirectoryHandle: ~Copyable {
  let path: String
  private let descriptor: Int32

  init(path: String, _ purpose: CheckpointError.Purpose) throws(CheckpointError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", path: path, purpose) }
    self.path = path
    self.descriptor = descriptor
  }

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// The entry `name`, itself a directory.
  func subdirectory(_ name: String, _ purpose: CheckpointError.Purpose) throws(CheckpointError)
    -> DirectoryHandle
  {
    let child = openat(
      descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard child >= 0 else { throw .system("open", path: path + "/" + name, purpose) }
    return DirectoryHandle(path: path + "/" + name, descriptor: child)
  }

  /// Makes a directory that was not there.
  func makeSubdirectory(_ name: String) throws(CheckpointError) -> DirectoryHandle {
    guard mkdirat(descriptor, name, 0o777) == 0 else {
      throw .system("mkdir", path: path + "/" + name, .writing)
    }
    return try subdirectory(name, .writing)
  }

  /// Makes a file that was not there, writes it completely and brings it to the disk.
  ///
  /// After a failed fsync the kernel may have dropped the data: the file is worthless, and a
  /// second fsync would hide it.
  func writeFile(_ name: String, _ bytes: [UInt8]) throws(CheckpointError) {
    let file = path + "/" + name
    let output = openat(
      descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
    guard output >= 0 else { throw .system("open", path: file, .writing) }
    do throws(CheckpointError) {
      let header = min(bytes.count, 4_096)
      try Self.write(bytes, 0..<header, to: output, path: file)
      Failpoint.pass(.fileHeaderWritten)
      let middle = max(header, bytes.count / 2)
      try Self.write(bytes, header..<middle, to: output, path: file)
      Failpoint.pass(.fileMidData)
      try Self.write(bytes, middle..<bytes.count, to: output, path: file)
      try Self.requireSize(bytes.count, of: output, path: file)
      Failpoint.pass(.fileBeforeFsync)
      guard fsync(output) == 0 else { throw .system("fsync", path: file, .writing) }
      FileProgress.advance()
      Failpoint.pass(.fileAfterFsync)
    } catch {
      close(output)
      throw error
    }
    guard close(output) == 0 else { throw .system("close", path: file, .writing) }
  }

  /// Bytes of one call, so that progress can be seen where a disk is slow.
  private static let mostAtOnce = 16 << 20

  private static func write(
    _ bytes: [UInt8], _ range: Range<Int>, to output: Int32, path: String
  ) throws(CheckpointError) {
    var position = range.lowerBound
    while position < range.upperBound {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.write(
          output, buffer.baseAddress.map { $0 + position },
          min(mostAtOnce, range.upperBound - position))
      }
      FileProgress.advance()
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .system("write", path: path, .writing) }
      guard count > 0 else {
        throw CheckpointError(.io, path: path, "write: the file takes no more bytes")
      }
      position += count
    }
  }

  /// A device may take fewer bytes than it says: what the file holds is asked once more.
  private static func requireSize(_ size: Int, of output: Int32, path: String)
    throws(CheckpointError)
  {
    var status = stat()
    guard fstat(output, &status) == 0 else { throw .system("fstat", path: path, .writing) }
    guard Int(status.st_size) == size else {
      throw CheckpointError(
        .io, path: path, "write: \(status.st_size) of \(size) bytes reached the file")
    }
  }

  /// Opens the regular file `name` for reading and calls `body` with its descriptor and size.
  func withFile<Result>(
    _ name: String, _ body: (Int32, Int) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result {
    let file = path + "/" + name
    // Without O_NONBLOCK, opening a FIFO would wait for a writer that never comes.
    let input = openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard input >= 0 else { throw .system("open", path: file, .reading) }
    defer { close(input) }
    var status = stat()
    guard fstat(input, &status) == 0 else { throw .system("fstat", path: file, .reading) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw CheckpointError(.damaged, path: file, "not a regular file")
    }
    return try body(input, Int(status.st_size))
  }

  /// The names of all entries but `.` and `..`, in no order.
  func entries() throws(CheckpointError) -> [String] {
    let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0, let stream = fdopendir(copy) else {
      throw .system("open", path: path, .reading)
    }
    defer { closedir(stream) }
    let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let bytes = UnsafeRawPointer(entry).advanced(by: nameOffset)
      let name = String(cString: bytes.assumingMemoryBound(to: CChar.self))
      if name != ".", name != ".." { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw .system("readdir", path: path, .reading) }
    return names
  }

  /// Throws where no entry can be made or removed.
  func requireWriteAccess() throws(CheckpointError) {
    guard faccessat(descriptor, ".", W_OK | X_OK, 0) == 0 else {
      throw .system("access", path: path, .writing)
    }
  }

  /// Whether anything is called `name`.
  func contains(_ name: String) -> Bool {
    faccessat(descriptor, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0
  }

  /// Renames an entry; what was called `new` before, if it may be replaced, is gone at that moment.
  func rename(_ old: String, to new: String) throws(CheckpointError) {
    guard renameat(descriptor, old, descriptor, new) == 0 else {
      throw .system("rename from \(old)", path: path + "/" + new, .writing)
    }
  }

  /// Brings the entries to the disk.
  func synchronise() throws(CheckpointError) {
    guard fsync(descriptor) == 0 else { throw .system("fsync", path: path, .writing) }
  }

  /// Removes the file `name`.
  func removeFile(_ name: String) throws(CheckpointError) {
    guard unlinkat(descriptor, name, 0) == 0 else {
      throw .system("unlink", path: path + "/" + name, .writing)
    }
  }

  /// Removes the directory `name` with the files in it; one that holds directories stays.
  func removeSubdirectory(_ name: String) throws(CheckpointError) {
    let child = try subdirectory(name, .writing)
    for entry in try child.entries() {
      try child.removeFile(entry)
      Failpoint.pass(.midPrune)
    }
    guard unlinkat(descriptor, name, AT_REMOVEDIR) == 0 else {
      throw .system("rmdir", path: path + "/" + name, .writing)
    }
  }
}

/// Sixteen random digits for the name of a temporary that nobody can have made before.
func randomSuffix() -> String {
  let digits = String(UInt64.random(in: .min ... .max), radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
