import Checkpoints
import Foundation
import _TestSupport

/// Loss of power during a save: its calls are recorded, and what each of their prefixes may leave on
/// a disk is looked at.
enum PowerLoss {
  static func tryEveryState(_ trial: Trial) throws {
    let scratch = try ScratchDirectory()
    let directory = scratch.path("store")
    _ = try StoreProcess.prepare(directory)
    var model = DiskModel(try files(below: directory))
    let (calls, _) = try SystemCall.ofSave(directory)
    let contents = try contents(after: directory)
    let replay = Replay(root: directory, contents: contents)
    var isCommitted = false
    try tryStates(of: model, after: "nothing", isCommitted, scratch, trial)
    for call in calls where call.succeeded {
      guard try replay.apply(call, to: &model) else { continue }
      // Said to be saved when the name is on the disk.
      let isFsyncOfStore = call.name == "fsync" && call.descriptorPaths.first == directory
      if isFsyncOfStore, model.find("step-000000030") != nil { isCommitted = true }
      try tryStates(
        of: model, after: "\(call.name)(\(call.arguments))", isCommitted, scratch, trial)
    }
    try require(isCommitted, "the record holds no commit")
  }

  private static func tryStates(
    of model: DiskModel, after call: String, _ isCommitted: Bool, _ scratch: ScratchDirectory,
    _ trial: Trial
  ) throws {
    for loss in DiskModel.Loss.allCases {
      let path = scratch.path("after")
      try? FileManager.default.removeItem(atPath: path)
      try lay(model.remains(loss), at: path)
      let store = CheckpointStore(directory: path, keep: StoreProcess.keep)
      let place = "power lost after \(call.prefix(120)), of the rest lost: \(loss.rawValue)"
      let found = try store.newestGood().checkpoint?.step
      let allowed = isCommitted ? [StoreProcess.step] : [20, StoreProcess.step]
      try require(found.map(allowed.contains) ?? false, "\(place): found \(found ?? -1)")
      // What is said to be there is; the run goes on.
      try store.prepare()
      try store.commit(step: StoreProcess.step, files: StoreProcess.files(of: StoreProcess.step))
      try store.prune()
      let steps = try store.list()
      try require(steps.last == StoreProcess.step, "\(place): afterwards \(steps)")
      trial.campaign.figures.tally("states of a disk", of: 31)
    }
  }

  private static func files(below root: String) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: root) {
      let whole = "\(root)/\(path)"
      var isDirectory: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: whole, isDirectory: &isDirectory)
      guard !isDirectory.boolValue else { continue }
      files[path] = Array(try Data(contentsOf: URL(fileURLWithPath: whole)))
    }
    return files
  }

  /// What the save has written, by the names of files.
  private static func contents(after root: String) throws -> [String: [UInt8]] {
    let written = try files(below: root)
    var contents: [String: [UInt8]] = [:]
    for (path, bytes) in written where path.hasPrefix("step-000000030/") {
      contents[String(path.dropFirst("step-000000030/".count))] = bytes
    }
    contents["best.json"] = written["best.json"]
    return contents
  }

  private static func lay(
    _ tree: (files: [String: [UInt8]], directories: [String]), at root: String
  ) throws {
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    for directory in tree.directories {
      try FileManager.default.createDirectory(
        atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
    }
    for (path, bytes) in tree.files {
      try Data(bytes).write(to: URL(fileURLWithPath: "\(root)/\(path)"))
    }
  }
}

/// Recorded calls, done to the model of a disk.
private struct Replay {
  var root: String
  var contents: [String: [UInt8]]

  /// Whether the call changes anything that a loss of power can tell.
  func apply(_ call: SystemCall, to model: inout DiskModel) throws -> Bool {
    let (places, names) = (call.descriptorPaths, call.strings)
    guard let place = places.first, let node = node(place, model) else { return false }
    switch call.name {
    case "mkdirat": model.makeDirectory(names[0], in: node)
    case "openat":
      guard call.arguments.contains("O_CREAT") else { return false }
      model.makeFile(names[0], in: node)
    case "write":
      let count = Int(call.result.prefix { $0.isNumber }) ?? 0
      let start = model.length(of: node)
      let bytes = try content(of: place)
      try require(start + count <= bytes.count, "\(place): more is written than it holds")
      model.append(Array(bytes[start..<start + count]), to: node)
    case "fsync", "fdatasync": model.synchronise(node)
    case "renameat", "renameat2": model.rename(names[0], to: names[1], in: node)
    case "unlinkat": model.remove(names[0], in: node)
    case "mkdir", "rename", "unlink", "pwrite64", "ftruncate", "link", "linkat", "symlinkat":
      throw Unexpected("the model of a disk does not know \(call.name)")
    default: return false
    }
    return true
  }

  private func node(_ path: String, _ model: DiskModel) -> Int? {
    guard path == root || path.hasPrefix(root + "/") else { return nil }
    return model.find(String(path.dropFirst(root.count)))
  }

  private func content(of path: String) throws -> [UInt8] {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    // `.best.json.0123456789abcdef.tmp`
    let known = name.hasPrefix(".best.json.") ? "best.json" : name
    guard let bytes = contents[known] else { throw Unexpected("\(path): content not known") }
    return bytes
  }
}
