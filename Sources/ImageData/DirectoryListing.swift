import Glibc
import Tensors

/// What lies in one directory, in the byte order of the names.
struct DirectoryListing {
  struct File {
    var name: [UInt8]
    var size: Int64
    var modified: Int64
  }

  /// Modification time of the directory itself, read before its entries.
  var modified: Int64 = 0
  var directories: [[UInt8]] = []
  /// Regular files, also behind symbolic links, that `isWanted`.
  var files: [File] = []
  /// Regular files that are not.
  var otherCount = 0
  /// Device and number of the directory, to notice one that contains itself.
  var identity: [UInt64] = []

  /// Names that begin with a dot are passed over.
  init(
    path: [UInt8], isWanted: (borrowing [UInt8]) -> Bool
  ) throws(DataError) {
    let text = RegularFile.text(path)
    let descriptor = RegularFile.withCString(path) {
      open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)
    }
    guard descriptor >= 0 else { throw Self.error(text, errno) }
    guard let stream = fdopendir(descriptor) else {
      let code = errno
      close(descriptor)
      throw Self.error(text, code)
    }
    defer { closedir(stream) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.error(text, errno) }
    modified = status.modified
    identity = [UInt64(status.st_dev), UInt64(status.st_ino)]
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw Self.error(text, errno) }
        break
      }
      FileProgress.advance()
      try add(entry, in: descriptor, path: path, isWanted: isWanted)
    }
    directories.sort { $0.lexicographicallyPrecedes($1) }
    files.sort { $0.name.lexicographicallyPrecedes($1.name) }
  }

  private mutating func add(
    _ entry: UnsafeMutablePointer<dirent>, in descriptor: CInt, path: [UInt8],
    isWanted: (borrowing [UInt8]) -> Bool
  ) throws(DataError) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
    guard name.first != UInt8(ascii: ".") else { return }
    var status = stat()
    guard RegularFile.withCString(name, { fstatat(descriptor, $0, &status, 0) }) == 0 else {
      let code = errno
      throw DataError(
        code == ELOOP || code == ENOENT ? .malformed : .io,
        "\(RegularFile.text(path + [UInt8(ascii: "/")] + name)): "
          + "\(errnoText(code)); is it a link that leads nowhere? Remove it")
    }
    switch status.st_mode & S_IFMT {
    case S_IFDIR: directories.append(name)
    case S_IFREG where isWanted(name):
      files.append(File(name: name, size: Int64(status.st_size), modified: status.modified))
    case S_IFREG: otherCount += 1
    default:
      guard isWanted(name) else {
        otherCount += 1
        return
      }
      throw DataError(
        .malformed,
        "\(RegularFile.text(path + [UInt8(ascii: "/")] + name)): is not a regular file; remove it")
    }
  }

  private static func error(_ path: String, _ code: CInt) -> DataError {
    switch code {
    case ENOENT: DataError(.missing, "\(path): \(errnoText(code)); check data.directory")
    case ENOTDIR: DataError(.missing, "\(path): is not a directory; check data.directory")
    case EACCES, EPERM:
      DataError(.permission, "\(path): \(errnoText(code)); make it readable for this user")
    case ELOOP:
      DataError(.malformed, "\(path): \(errnoText(code)); remove the link that leads to itself")
    default: DataError(.io, "\(path): cannot be listed: \(errnoText(code))")
    }
  }
}
