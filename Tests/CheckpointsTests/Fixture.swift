import Checkpoints
import Foundation
import Tensors

/// A directory that is removed at the end of the test, with a store in it.
final class Fixture {
  let path: String
  let store: CheckpointStore

  init(keep: Int = 3) throws {
    path = NSTemporaryDirectory() + "/checkpoints-" + UUID().uuidString
    store = CheckpointStore(directory: path + "/checkpoints", keep: keep)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// What `commit` writes for a step: two files of some thousand bytes, one empty.
  static func files(_ step: Int) -> [(name: String, bytes: [UInt8])] {
    [
      ("model.safetensors", (0..<9_001).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ step) }),
      ("state.json", Array("{\"step\": \(step)}".utf8)), ("empty", []),
    ]
  }

  func commit(_ steps: Int...) throws {
    for step in steps { try store.commit(step: step, files: Self.files(step)) }
  }

  func directory(_ step: Int) -> String {
    "\(store.directory)/step-" + String(repeating: "0", count: 9 - "\(step)".count) + "\(step)"
  }

  func entries() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: store.directory).sorted()
  }

  func read(_ file: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: file)))
  }

  func write(_ file: String, _ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: file))
  }

  func write(_ file: String, _ text: String) throws { try write(file, Array(text.utf8)) }

  /// The text of a manifest that is right in itself, whatever it says.
  static func manifest(_ body: String) -> String {
    "\(body)  \"sha256\": \"\(SHA256Digest.hex(Array(body.utf8)))\"\n}\n"
  }
}
