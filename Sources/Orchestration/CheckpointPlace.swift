import Checkpoints
import Foundation
import RunPlanning

/// The checkpoints that a person names by a run's directory, or by the directory that holds them.
package struct CheckpointPlace {
  /// Of the checkpoints.
  package let directory: String
  /// The run that they belong to; nil where they lie somewhere else.
  private let run: String?

  /// - Throws: `.missingInput` where there is neither.
  package init(_ path: String) throws {
    func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }
    let trimmed = String(path.reversed().drop { $0 == "/" }.reversed())
    let path = trimmed.isEmpty ? path : trimmed
    if isThere("\(path)/checkpoints") {
      (directory, run) = ("\(path)/checkpoints", path)
    } else if isThere("\(path)/plan.json") || !isThere(path) {
      throw JobFailure(
        .missingInput,
        isThere(path)
          ? "\(path): the run has no checkpoints yet"
          : "\(path): \(String(cString: strerror(ENOENT))); name the directory of a run")
    } else {
      directory = path
      run = isThere("\(path)/../plan.json") ? "\(path)/.." : nil
    }
  }

  /// How many the run itself keeps, beside the best one.
  package var keep: Int {
    struct Plan: Decodable {
      struct Configuration: Decodable {
        struct Checkpoint: Decodable { var keep: Int }
        var checkpoint: Checkpoint
      }
      var configuration: Configuration
    }
    let plan = run.flatMap { FileManager.default.contents(atPath: "\($0)/plan.json") }
    let keep = plan.flatMap { try? JSONDecoder().decode(Plan.self, from: $0) }?
      .configuration.checkpoint.keep
    return keep.flatMap { $0 > 0 ? $0 : nil } ?? 3
  }

  /// Whether a job may write there, which `whileLocked` then keeps out.
  package var isOfRun: Bool { run != nil }

  package func store(keep: Int? = nil) -> CheckpointStore {
    CheckpointStore(directory: directory, keep: keep ?? self.keep)
  }

  /// Runs `body` while no job writes there; throws `.permission` where one does.
  package func whileLocked<Value>(_ body: () throws -> Value) throws -> Value {
    let lock = try run.map { try RunLock(run: $0) }
    return try withExtendedLifetime(lock, body)
  }
}
