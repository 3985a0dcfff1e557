import Checkpoints
import Glibc

/// A file that a command is told to write.
package enum OutputFile {
  /// Throws `.cannotCreate` where `path` is the file that the command reads, by whatever name: the
  /// input must not be replaced by what was made of it. Throws also where nothing can be written
  /// there: better before the work than after it.
  ///
  /// - Parameter option: that named `path`, for the message.
  package static func require(_ path: String, isNot input: String, option: String) throws {
    var (first, second) = (stat(), stat())
    if stat(path, &first) == 0, stat(input, &second) == 0, first.st_dev == second.st_dev,
      first.st_ino == second.st_ino
    {
      throw JobFailure(
        .cannotCreate, "\(path): is an input and would be replaced; give another \(option)")
    }
    try AtomicFile.requireWritable(path: path)
  }

  /// Throws `.cannotCreate` where `path` holds something else than `isOwn` recognises by its first 4 KiB:
  /// a file of the user's must not be lost to a name that was typed in haste. Throws also where nothing
  /// can be written there.
  ///
  /// - Parameter kind: what `isOwn` recognises, for the message.
  package static func require(
    _ path: String, isFreeOr kind: String, isOwn: ([UInt8]) -> Bool
  ) throws {
    try AtomicFile.requireWritable(path: path)
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    let isFile = status.st_mode & S_IFMT == S_IFREG
    guard isFile, isOwn(beginning(of: path)) else {
      throw JobFailure(
        .cannotCreate,
        "\(path): exists and is no \(kind), so it is not replaced; remove it, or give another --output"
      )
    }
  }

  /// Up to 4 KiB of a regular file; nothing where it cannot be read.
  private static func beginning(of path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    return [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      count = max(0, read(descriptor, buffer.baseAddress, buffer.count))
    }
  }
}
