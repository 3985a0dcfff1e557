import Foundation

/// What lies in a directory, to be compared with what lies there later.
struct FileTree {
  /// Relative paths of regular files, with their bytes.
  private var files: [String: Data] = [:]

  init(_ root: String) throws {
    for path in try FileManager.default.subpathsOfDirectory(atPath: root) {
      let full = "\(root)/\(path)"
      let attributes = try FileManager.default.attributesOfItem(atPath: full)
      guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
      files[path] = FileManager.default.contents(atPath: full)
    }
  }

  var paths: [String] { files.keys.sorted() }

  /// Files of `before` that are gone or have another content. Logs may grow, and a lock file names
  /// its last holder.
  func lost(from before: FileTree) -> [String] {
    before.paths.filter { path in
      if path.hasSuffix(".lock") { return false }
      guard let old = before.files[path], let new = files[path] else { return true }
      return path.hasSuffix("log.txt") || path.hasSuffix("metrics.jsonl")
        ? !new.starts(with: old) : new != old
    }
  }
}
