import Glibc

/// A file that a command is told to write.
package enum OutputFile {
  /// Throws `.cannotCreate` where `path` is the file that the command reads, by whatever name: the
  /// input must not be replaced by what was made of it.
  ///
  /// - Parameter option: that named `path`, for the message.
  package static func require(_ path: String, isNot input: String, option: String) throws {
    var (first, second) = (stat(), stat())
    guard stat(path, &first) == 0, stat(input, &second) == 0, first.st_dev == second.st_dev,
      first.st_ino == second.st_ino
    else { return }
    throw JobFailure(
      .cannotCreate, "\(path): is the input itself and would be replaced; give another \(option)")
  }
}
