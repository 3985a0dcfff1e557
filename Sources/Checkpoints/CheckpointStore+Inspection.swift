import Glibc

// What lies in a store, for people who look at it.

extension CheckpointStore {
  /// A checkpoint by its name, its content not verified.
  package struct Entry: Sendable, Equatable {
    package var name: String
    package var step: Int
    /// Found damaged when its step was saved anew, and kept aside.
    package var isMovedAside: Bool
    package var files: Int
    package var bytes: Int
    /// When its directory was last changed: seconds since 1970.
    package var modified: Int
  }

  /// A file of a checkpoint as it was found.
  package struct Finding: Sendable, Equatable {
    package var file: String
    package var bytes: Int
    /// Nil where it is as it was written.
    package var problem: CheckpointError?
  }

  /// All checkpoints, those moved aside among them, by step.
  ///
  /// - Throws: `.missing` where there is no such directory; `.permission`, `.io`.
  package func entries() throws(CheckpointError) -> [Entry] {
    let handle = try DirectoryHandle(path: directory, .reading)
    var entries: [Entry] = []
    for name in try handle.entries() {
      let kept = Self.step(of: name)
      guard let step = kept ?? Self.stepMovedAside(name) else { continue }
      do throws(CheckpointError) {
        entries.append(try entry(name, step: step, isMovedAside: kept == nil, in: handle))
      } catch  where error.kind == .missing {
        // A run prunes while it is looked at.
      }
    }
    return entries.sorted { ($0.step, $0.name) < ($1.step, $1.name) }
  }

  private func entry(
    _ name: String, step: Int, isMovedAside: Bool, in handle: borrowing DirectoryHandle
  ) throws(CheckpointError) -> Entry {
    var entry = Entry(
      name: name, step: step, isMovedAside: isMovedAside, files: 0, bytes: 0, modified: 0)
    // Something else may stand in the place of a directory: it holds no files.
    var status = stat()
    if lstat("\(directory)/\(name)", &status) == 0 { entry.modified = status.st_mtim.tv_sec }
    guard status.st_mode & S_IFMT == S_IFDIR else { return entry }
    for file in try handle.subdirectory(name, .reading).entries() {
      entry.files += 1
      if lstat("\(directory)/\(name)/\(file)", &status) == 0 { entry.bytes += Int(status.st_size) }
    }
    return entry
  }

  /// As `findings(step:)`; nil where the checkpoint is no longer there: a run prunes while it is looked
  /// at.
  package func findingsIfStillThere(step: Int) throws(CheckpointError) -> [Finding]? {
    let result = Result { () throws(CheckpointError) in try findings(step: step) }
    if case .success(let findings) = result, findings.allSatisfy({ $0.problem == nil }) {
      return findings
    }
    return try list().contains(step) ? try result.get() : nil
  }

  /// Reads every file of the checkpoint of `step` and holds it against the manifest, which comes
  /// first; without a manifest to trust there is nothing else to say.
  ///
  /// - Throws: `.permission`, `.io` where one cannot be read: that is no damage.
  package func findings(step: Int) throws(CheckpointError) -> [Finding] {
    do throws(CheckpointError) {
      let handle = try DirectoryHandle(
        path: "\(directory)/\(Self.name(of: step))", .reading)
      return try Self.findings(step: step, in: handle)
    } catch  where error.isDamage {
      return [Finding(file: Manifest.fileName, bytes: 0, problem: error)]
    }
  }

  /// Throws what is wrong with the manifest.
  private static func findings(
    step: Int, in handle: borrowing DirectoryHandle
  ) throws(CheckpointError) -> [Finding] {
    let manifest = try Checkpoint.manifest(in: handle)
    guard manifest.step == step else {
      throw CheckpointError(
        .damaged, path: handle.path, "its manifest says step \(manifest.step)")
    }
    var findings = [
      Finding(file: Manifest.fileName, bytes: manifest.text.utf8.count, problem: nil)
    ]
    for file in manifest.files {
      var finding = Finding(file: file.name, bytes: file.bytes, problem: nil)
      do throws(CheckpointError) {
        try Checkpoint.check(file, in: handle)
      } catch  where error.isDamage {
        finding.problem = error
      }
      findings.append(finding)
    }
    return findings
  }
}
