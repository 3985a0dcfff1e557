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
}
