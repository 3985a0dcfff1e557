import Checkpoints
import Foundation
import ImageData
import RunPlanning
import Tensors

/// The directory of a run, held by one job at a time. Rank 0 alone touches it.
package final class RunDirectory {
  package let plan: RunPlan
  package let store: CheckpointStore
  /// Of this attempt and those before it.
  package let attempts: AttemptLog
  private let lock: RunLock
  private let log: Int32

  /// Seconds. Ranks that outlived mpirun were gone within 4 of a kill, two cores and a load of 4.
  private static let lockPatience = 5.0

  /// Makes the directory or takes up one of an earlier run, and locks it.
  ///
  /// Throws `.cannotCreate` where something else lies there: a directory that is not empty and holds
  /// no run is not ours to write into.
  package init(_ plan: RunPlan) throws {
    self.plan = plan
    let path = plan.paths.runDirectory
    try OutputDirectory.make(path, option: "--output")
    try Self.requireOwn(path, entries: try Self.entries(of: path))
    lock = try RunLock(run: path, patience: Self.lockPatience)
    store = CheckpointStore(directory: plan.paths.checkpoints, keep: plan.config.checkpoint.keep)
    try store.prepare()
    try OutputDirectory.make(plan.paths.artifacts, option: "--output")
    for directory in [path, plan.paths.artifacts] { AtomicFile.removeLeftovers(in: directory) }
    attempts = AttemptLog(
      path: plan.paths.attempts, setup: try Self.setup(plan), lastStep: plan.totalSteps)
    log = open(plan.paths.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o644)
    guard log >= 0 else {
      throw JobFailure(
        .cannotCreate, "\(plan.paths.log): \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(log) }

  /// What a person should know of it.
  package var notes: [String] {
    let lock =
      lock.isEnforced
      ? []
      : [
        "\(plan.paths.runDirectory): this file system cannot lock files; nothing but care keeps a "
          + "second job out"
      ]
    return lock + attempts.notes
  }

  /// Writes `config.yaml` as given, `plan.json`, and `classes.txt` where the classes have names, once
  /// it is clear that the run goes on with them.
  package func record(configuration: [UInt8]) throws {
    try AtomicFile.write(path: plan.paths.plan, bytes: Array((plan.json() + "\n").utf8))
    try AtomicFile.write(path: plan.paths.configuration, bytes: configuration)
    let names = plan.data.classNames
    guard !names.isEmpty else { return }
    try AtomicFile.write(path: plan.paths.classes, bytes: Array(ClassNames.text(names).utf8))
  }

  /// Appends a line to `log.txt`. A full disk must not end the run here: what matters is in the
  /// checkpoints, whose errors are not swallowed.
  package func log(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(log, $0.baseAddress, $0.count) }
  }

  /// Digest of what decides how an attempt goes: who dies three times in the same step, set up in the
  /// same way, will again.
  private static func setup(_ plan: RunPlan) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let text =
      "\(plan.worldSize) \(plan.threads) \(plan.machine.programVersion)\n"
      + "\(plan.data.fingerprint)\n"
    return String(SHA256Digest.hex(try encoder.encode(plan.config) + Array(text.utf8)).prefix(16))
  }

  private static func entries(of path: String) throws -> [String] {
    guard let directory = opendir(path) else {
      let code = errno
      throw JobFailure(
        code == EACCES ? .permission : .cannotCreate,
        "\(path): \(String(cString: strerror(code))); choose another with --output")
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }
}
