import Glibc
import Tensors

/// A committed checkpoint whose files were found as they were written.
package struct Checkpoint: Sendable, Equatable {
  /// Training steps done when it was made.
  package let step: Int
  /// Its directory.
  package let directory: String
  private let manifest: [String: Manifest.File]

  /// The file that makes a directory a checkpoint, written last.
  package static let manifestFile = Manifest.fileName

  package static func == (first: Checkpoint, second: Checkpoint) -> Bool {
    first.directory == second.directory && first.manifest == second.manifest
  }

  /// Opens the checkpoint in `directory` and reads all of it once to verify it.
  ///
  /// - Throws: `.missing` without a manifest or a file of it, `.damaged` naming the file,
  ///   `.permission`, `.io`.
  package init(verifying directory: String) throws(CheckpointError) {
    let handle = try DirectoryHandle(path: directory, .reading)
    let manifest = try Self.manifest(in: handle)
    for file in manifest.files { try Self.check(file, in: handle) }
    step = manifest.step
    self.directory = directory
    self.manifest = Dictionary(uniqueKeysWithValues: manifest.files.map { ($0.name, $0) })
  }

  /// Digest of what it holds: copies of a checkpoint have the same.
  package var identity: String {
    let lines = manifest.values.sorted { $0.name < $1.name }.map { "\($0.name) \($0.sha256)\n" }
    return SHA256Digest.hex(Array("\(step)\n\(lines.joined())".utf8))
  }

  /// Names of its files.
  package var names: [String] { manifest.keys.sorted() }

  /// Where the file `name` lies.
  package func path(_ name: String) -> String { "\(directory)/\(name)" }

  /// The content of the file `name`, verified again.
  ///
  /// - Throws: `.missing` where the checkpoint has no such file; else as `init(verifying:)`.
  package func read(_ name: String) throws(CheckpointError) -> [UInt8] {
    guard let file = manifest[name] else {
      throw CheckpointError(.missing, path: path(name), "the checkpoint has no such file")
    }
    let handle = try DirectoryHandle(path: directory, .reading)
    let bytes = try handle.withFile(name) { input, size throws(CheckpointError) in
      try Self.checkSize(size, of: file, path: path(name))
      return try Self.readAll(input, size: size, path: path(name))
    }
    guard SHA256Digest.hex(bytes) == file.sha256 else { throw Self.changed(path(name)) }
    return bytes
  }

  static func manifest(in handle: borrowing DirectoryHandle) throws(CheckpointError)
    -> Manifest
  {
    let path = "\(handle.path)/\(Manifest.fileName)"
    let bytes = try handle.withFile(Manifest.fileName) { input, size throws(CheckpointError) in
      guard size <= Manifest.maximumBytes else {
        throw CheckpointError(.damaged, path: path, "\(size) bytes are too long for a manifest")
      }
      return try readAll(input, size: size, path: path)
    }
    return try Manifest(bytes, path: path)
  }

  static func check(_ file: Manifest.File, in handle: borrowing DirectoryHandle)
    throws(CheckpointError)
  {
    let path = "\(handle.path)/\(file.name)"
    let sum = try handle.withFile(file.name) { input, size throws(CheckpointError) in
      try checkSize(size, of: file, path: path)
      var digest = SHA256Digest()
      var rest = size
      var chunk = [UInt8](repeating: 0, count: min(size, 1 << 20))
      while rest > 0 {
        let count = try readSome(input, into: &chunk, from: 0, atMost: rest, path: path)
        chunk.withUnsafeBytes { digest.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        rest -= count
      }
      return digest.finish()
    }
    guard sum == file.sha256 else { throw changed(path) }
  }

  private static func changed(_ path: String) -> CheckpointError {
    CheckpointError(.damaged, path: path, "its content is not what was written (SHA-256)")
  }

  private static func checkSize(_ size: Int, of file: Manifest.File, path: String)
    throws(CheckpointError)
  {
    guard size == file.bytes else {
      throw CheckpointError(
        .damaged, path: path, "\(size) bytes long, \(file.bytes) were written")
    }
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    guard size <= memory else {
      throw CheckpointError(.damaged, path: path, "\(size) bytes do not fit into memory")
    }
  }

  private static func readAll(_ input: Int32, size: Int, path: String) throws(CheckpointError)
    -> [UInt8]
  {
    var bytes = [UInt8](repeating: 0, count: size)
    var done = 0
    while done < size {
      done += try readSome(input, into: &bytes, from: done, atMost: size - done, path: path)
    }
    return bytes
  }

  /// Reads up to `limit` bytes to `bytes[start...]` and returns how many: at least one.
  private static func readSome(
    _ input: Int32, into bytes: inout [UInt8], from start: Int, atMost limit: Int, path: String
  ) throws(CheckpointError) -> Int {
    while true {
      let count = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(
          input, buffer.baseAddress.map { $0 + start }, min(limit, buffer.count - start))
      }
      FileProgress.advance()
      if count > 0 { return count }
      if count == 0 {
        throw CheckpointError(.damaged, path: path, "became shorter while it was read")
      }
      guard errno == EINTR else { throw .system("read", path: path, .reading) }
    }
  }
}
