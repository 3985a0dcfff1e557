import Failpoints
import Glibc
import Tensors

/// The checkpoints of a run: `step-000001200/` each, committed whole or not at all.
///
/// One process at a time writes (`RunLock`). What is newest and good is found by looking and
/// verifying, never by trusting a pointer.
package struct CheckpointStore: Sendable {
  /// The directory of all checkpoints; made at the first commit, its parent must exist.
  package let directory: String
  /// Newest checkpoints that `prune` keeps, beside the best one.
  package let keep: Int

  package init(directory: String, keep: Int) {
    precondition(keep > 0, "a store keeps checkpoints")
    self.directory = directory
    self.keep = keep
  }

  /// The steps of all committed checkpoints, oldest first, none verified; empty without directory.
  package func list() throws(CheckpointError) -> [Int] {
    do throws(CheckpointError) {
      let handle = try DirectoryHandle(path: directory, .reading)
      return try handle.entries().compactMap(Self.step(of:)).sorted()
    } catch {
      if error.kind == .missing { return [] }
      throw error
    }
  }

  /// Verifies the checkpoint of `step` by reading all of it.
  @discardableResult
  package func verify(step: Int) throws(CheckpointError) -> Checkpoint {
    let name = Self.name(of: step)
    let checkpoint = try Checkpoint(verifying: "\(directory)/\(name)")
    guard checkpoint.step == step else {
      throw CheckpointError(
        .damaged, path: checkpoint.directory, "its manifest says step \(checkpoint.step)")
    }
    return checkpoint
  }

  /// The newest checkpoint that is as it was written, and a note for each newer one that is not.
  ///
  /// Nil without any: with notes, all are damaged; without, there is none.
  ///
  /// - Throws: `.permission`, `.io` where one cannot be read: to go on from an older one would lose
  ///   the steps since.
  package func newestGood() throws(CheckpointError) -> (checkpoint: Checkpoint?, notes: [String]) {
    var notes: [String] = []
    for step in try list().reversed() {
      do throws(CheckpointError) {
        return (try verify(step: step), notes)
      } catch  where error.isDamage {
        notes.append("passed over \(Self.name(of: step)): \(error)")
      }
    }
    return (nil, notes)
  }

  static func name(of step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 9 - digits.count)) + digits
  }

  /// The step of a committed checkpoint's name; nil for any other name.
  static func step(of name: String) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0,
      Self.name(of: step) == name
    else { return nil }
    return step
  }
}

extension CheckpointStore {
  /// Makes the directory ready for commits, so that a run learns at its start what stands in the
  /// way, and removes what runs that died left behind: temporaries and checkpoints half removed.
  ///
  /// Call it with the run's lock held: a temporary may be another job's. A leftover that cannot be
  /// removed stays, hidden and harmless.
  package func prepare() throws(CheckpointError) {
    let handle = try openForWriting()
    try handle.requireWriteAccess()
    for name in try handle.entries() where Self.isLeftover(name) {
      try? handle.removeSubdirectory(name)
      // A temporary of `best.json` is a file.
      try? handle.removeFile(name)
    }
  }

  /// Writes the checkpoint of `step`: all files into a hidden directory, each brought to the disk,
  /// the manifest last; then the directory gets its name in one step.
  ///
  /// A good checkpoint of the same step stays and nothing is written; a damaged one is moved aside
  /// to `damaged-…`, in the place of an older one moved there. On an error the temporary is removed
  /// and every older checkpoint is as before.
  ///
  /// - Parameter files: plain names (letters, digits, `.`, `_`, `-`), each once.
  /// - Returns: what a person should know: which one was moved aside.
  /// - Throws: `.cannotCreate`, `.permission`, `.io`.
  @discardableResult
  package func commit(
    step: Int, files: [(name: String, bytes: [UInt8])]
  ) throws(CheckpointError) -> [String] {
    precondition(step >= 0, "steps are counted from 0")
    precondition(files.allSatisfy { Manifest.isPlain($0.name) }, "file names are plain")
    let handle = try openForWriting()
    let name = Self.name(of: step)
    var notes: [String] = []
    if handle.contains(name) {
      if try isGood(step) {
        try handle.synchronise()
        return []
      }
      notes.append(try moveAside(name, in: handle))
    }
    let temporary = ".\(name).\(randomSuffix())"
    do throws(CheckpointError) {
      try write(step: step, files, into: try handle.makeSubdirectory(temporary))
      Failpoint.pass(.beforeRename)
      try handle.rename(temporary, to: name)
    } catch {
      try? handle.removeSubdirectory(temporary)
      throw error
    }
    Failpoint.pass(.afterRename)
    Failpoint.pass(.beforeDirectoryFsync)
    try handle.synchronise()
    Failpoint.pass(.afterDirectoryFsync)
    return notes
  }

  /// Whether the checkpoint of `step` is as it was written; throws where that cannot be read.
  func isGood(_ step: Int) throws(CheckpointError) -> Bool {
    do throws(CheckpointError) {
      try verify(step: step)
      return true
    } catch  where error.isDamage {
      return false
    }
  }

  /// Keeps a damaged checkpoint for whoever wants to look at it; the last such one is enough.
  private func moveAside(
    _ name: String, in handle: borrowing DirectoryHandle
  ) throws(CheckpointError) -> String {
    let older = try handle.entries().filter(Self.isMovedAside)
    let aside = "damaged-\(name).\(randomSuffix())"
    try handle.rename(name, to: aside)
    for entry in older {
      // A directory, or whatever stood in the place of one.
      try? handle.removeSubdirectory(entry)
      try? handle.removeFile(entry)
    }
    let removed = older.isEmpty ? "" : "; \(older.sorted().joined(separator: ", ")) removed"
    return "\(name) was damaged: moved aside to \(aside)\(removed)"
  }

  private static func isMovedAside(_ name: String) -> Bool { stepMovedAside(name) != nil }

  /// The step of a checkpoint that was moved aside; nil for any other name.
  static func stepMovedAside(_ name: String) -> Int? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[1].utf8.count == 16, parts[0].hasPrefix("damaged-") else {
      return nil
    }
    return step(of: String(parts[0].dropFirst(8)))
  }

  private func write(
    step: Int, _ files: [(name: String, bytes: [UInt8])], into temporary: borrowing DirectoryHandle
  ) throws(CheckpointError) {
    Failpoint.pass(.temporaryCreated)
    var manifest = Manifest(step: step, files: [])
    for (name, bytes) in files {
      try temporary.writeFile(name, bytes)
      manifest.files.append(
        Manifest.File(name: name, bytes: bytes.count, sha256: SHA256Digest.hex(bytes)))
    }
    try temporary.writeFile(Manifest.fileName, Array(manifest.text.utf8))
    try temporary.synchronise()
  }

  private static func isLeftover(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    if parts.first == "", parts.count == 3, parts[2].utf8.count == 16 {
      return step(of: String(parts[1])) != nil
        || (parts[1].hasPrefix("removed-") && step(of: String(parts[1].dropFirst(8))) != nil)
    }
    return name.hasPrefix(".\(bestFile).") && name.hasSuffix(".tmp")
  }

  private func openForWriting() throws(CheckpointError) -> DirectoryHandle {
    if mkdir(directory, 0o777) != 0, errno != EEXIST {
      throw .system("mkdir", path: directory, .writing)
    }
    return try DirectoryHandle(path: directory, .writing)
  }
}
