import Glibc

/// Files that are there completely or not at all.
package enum AtomicFile {
  /// Writes `bytes` to `path`, replacing what was there in one step: to a temporary beside it,
  /// then to the disk, then renamed. A symbolic link at `path` is replaced, not followed.
  ///
  /// - Throws: `.cannotCreate`, `.permission` or `.io`; then `path` is as it was before.
  package static func write(path: String, bytes: [UInt8]) throws(CheckpointError) {
    let (parent, name) = try split(path)
    let directory = try DirectoryHandle(path: parent, .writing)
    // Cut, so that a name of any legal length leaves room for the suffix.
    let stem = String(decoding: name.utf8.prefix(100), as: UTF8.self)
    let temporary = ".\(stem).\(randomSuffix()).tmp"
    do throws(CheckpointError) {
      try directory.writeFile(temporary, bytes)
      try directory.rename(temporary, to: name)
    } catch {
      try? directory.removeFile(temporary)
      throw error
    }
    try directory.synchronise()
  }

  /// Throws what `write` would throw for the place of `path`, as far as it can be known before.
  package static func requireWritable(path: String) throws(CheckpointError) {
    let (parent, _) = try split(path)
    let directory = try DirectoryHandle(path: parent, .writing)
    try directory.requireWriteAccess()
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      throw CheckpointError(.cannotCreate, path: path, "is a directory; choose another place")
    }
  }

  /// Whether `write` to either would replace the other: the same name in the same directory.
  package static func isSame(_ first: String, _ second: String) -> Bool {
    guard let (firstParent, firstName) = try? split(first),
      let (secondParent, secondName) = try? split(second), firstName == secondName
    else { return false }
    var (one, other) = (stat(), stat())
    return stat(firstParent, &one) == 0 && stat(secondParent, &other) == 0
      && one.st_dev == other.st_dev && one.st_ino == other.st_ino
  }

  /// Removes the file at `path`, where there is one, and not only until the machine fails.
  package static func remove(path: String) throws(CheckpointError) {
    let (parent, name) = try split(path)
    let directory = try DirectoryHandle(path: parent, .writing)
    guard directory.contains(name) else { return }
    try directory.removeFile(name)
    try directory.synchronise()
  }

  private static func split(
    _ path: String
  ) throws(CheckpointError) -> (parent: String, name: String) {
    let slash = path.lastIndex(of: "/")
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    guard !name.isEmpty, name != ".", name != ".." else {
      throw CheckpointError(.cannotCreate, path: path, "is not the name of a file")
    }
    return (slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? ".", name)
  }
}
