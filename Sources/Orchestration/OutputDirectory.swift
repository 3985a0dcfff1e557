import Foundation

/// A directory that a command is told to write into.
package enum OutputDirectory {
  /// Makes it, and those above it, where it is missing.
  ///
  /// Throws `.permission` or `.cannotCreate`; `option` named the path, for the message.
  package static func make(_ path: String, option: String) throws {
    var partial = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      partial += part
      if mkdir(partial, 0o777) != 0 && !isDirectory(partial) {
        // Something there that is no directory.
        let code = errno == EEXIST ? ENOTDIR : errno
        let kind: ExitCode =
          code == EACCES || code == EPERM || code == EROFS ? .permission : .cannotCreate
        throw JobFailure(
          kind,
          "\(partial): cannot make the directory: \(String(cString: strerror(code))); choose another "
            + option)
      }
      partial += "/"
    }
  }

  /// Leaves `errno` as it is.
  private static func isDirectory(_ path: String) -> Bool {
    let code = errno
    defer { errno = code }
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Throws `.cannotCreate` where it holds something and not none of the files `marks`, one of which what was written
  /// there before has: a directory of the user's is not ours to write into.
  ///
  /// - Parameter kind: what they tell, for the message.
  package static func require(
    _ path: String, isEmptyOr kind: String, markedBy marks: [String], option: String
  ) throws {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    guard names.isEmpty || marks.contains(where: names.contains) else {
      throw JobFailure(
        .cannotCreate,
        "\(path): not empty and no \(kind) (no \(marks[0])); choose another \(option)")
    }
  }
}
