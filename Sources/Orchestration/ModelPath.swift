import Checkpoints
import Glibc

/// The weights that a person names by their file, or by the directory of a checkpoint, of a run or
/// of its checkpoints.
package enum ModelPath {
  /// The path of the file of weights: of a checkpoint the trained network's, verified; of a run the
  /// newest good checkpoint's. Anything else is left as it is, for its reader to judge.
  ///
  /// `note` takes what a person should know: newer checkpoints that were passed over.
  ///
  /// - Throws: `.missingInput` where a run has no checkpoint, `.badData` where none is intact, and
  ///   `CheckpointError` for a damaged one that was named.
  package static func weights(
    _ path: String, note: (String) -> Void = { _ in }
  ) throws -> String {
    try checkpoint(path, note: note)?.path(RunSnapshot.modelFile) ?? path
  }

  /// The checkpoint that is meant, verified: the one named, or of a run the newest good one; nil where
  /// `path` is neither. Throws and notes as above.
  package static func checkpoint(
    _ path: String, note: (String) -> Void = { _ in }
  ) throws -> Checkpoint? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
    func holds(_ name: String) -> Bool { access("\(path)/\(name)", F_OK) == 0 }
    if holds(Checkpoint.manifestFile) { return try Checkpoint(verifying: path) }
    let place = try CheckpointPlace(path)
    let (newest, notes) = try place.store().newestGood()
    notes.forEach(note)
    if let newest { return newest }
    if let first = notes.first {
      throw JobFailure(
        .badData, "\(path): no checkpoint is intact (\(first)); name a file of weights instead")
    }
    guard holds("checkpoints") || holds("plan.json") else { return nil }
    throw JobFailure(.missingInput, "\(path): the run has no checkpoints yet")
  }
}
