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

  /// Removes what `write` left behind in `directory` where its process died. Call it with the run's
  /// lock held: a temporary may be another job's. One that cannot be removed stays, hidden and harmless.
  package static func removeLeftovers(in directory: String) {
    guard let handle = try? DirectoryHandle(path: directory, .reading),
      let names = try? handle.entries()
    else { return }
    for name in names where isTemporary(name) { try? handle.removeFile(name) }
  }

  /// `.NAME.` with sixteen digits and `.tmp`.
  private static func isTemporary(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].isEmpty, parts[parts.count - 1] == "tmp" else { return false }
    let suffix = parts[parts.count - 2].utf8
    return suffix.count == 16
      && suffix.allSatisfy {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
          || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
      }
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
