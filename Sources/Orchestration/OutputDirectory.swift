import Foundation

/// A directory that a command is told to write into.
package enum OutputDirectory {
  /// Makes it, and those above it, where it is missing.
  ///
  /// Throws `.permission` or `.cannotCreate`; `option` named the path, for the message.
  package static func make(_ path: String, option: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      let isForbidden = (error as? CocoaError)?.code == .fileWriteNoPermission
      throw JobFailure(
        isForbidden ? .permission : .cannotCreate,
        "\(path): cannot make the directory; choose another \(option)")
    }
  }

  /// Throws `.cannotCreate` where it holds something and not the file `mark`, which what was written
  /// there before has: a directory of the user's is not ours to write into.
  ///
  /// - Parameter kind: what `mark` tells, for the message.
  package static func require(
    _ path: String, isEmptyOr kind: String, markedBy mark: String, option: String
  ) throws {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    guard names.isEmpty || names.contains(mark) else {
      throw JobFailure(
        .cannotCreate,
        "\(path): not empty and no \(kind) (no \(mark)); choose another \(option)")
    }
  }
}
