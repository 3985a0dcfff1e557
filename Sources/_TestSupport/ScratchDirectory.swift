import Foundation

/// A directory of a test's own, removed with everything in it when the test lets go of it.
package final class ScratchDirectory: Sendable {
  package let path: String

  package init() throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("repvgg-test-\(UUID().uuidString)", isDirectory: true)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of `name` within the directory, whether it exists or not.
  package func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file, making the directories on the way, and returns its path.
  @discardableResult
  package func write(_ bytes: [UInt8], to name: String) throws -> String {
    if name.contains("/") {
      try FileManager.default.createDirectory(
        at: URL(fileURLWithPath: path(name)).deletingLastPathComponent(),
        withIntermediateDirectories: true)
    }
    try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
    return path(name)
  }

  /// Writes a text file and returns its path.
  @discardableResult
  package func write(_ text: String, to name: String) throws -> String {
    try write(Array(text.utf8), to: name)
  }

  package func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
  }

  package func text(of name: String) throws -> String {
    String(decoding: try read(name), as: UTF8.self)
  }
}
