import Foundation
import Tensors

/// What a checkpoint consists of: the file that is written last and vouches for the others.
///
/// It is read strictly: the text must be exactly what `text` gives for the decoded values, and the
/// checksum in it must be that of the text before the checksum. So no changed bit goes unseen.
struct Manifest: Equatable, Codable {
  static let fileName = "MANIFEST.json"
  static let currentFormat = 1
  /// Longer files are refused unread.
  static let maximumBytes = 1_000_000

  struct File: Equatable, Codable {
    var name: String
    var bytes: Int
    var sha256: String
  }

  var format = currentFormat
  var step: Int
  var files: [File]

  init(step: Int, files: [File]) {
    self.step = step
    self.files = files
  }

  /// The file's content.
  var text: String { "\(body)  \"sha256\": \"\(SHA256Digest.hex(Array(body.utf8)))\"\n}\n" }

  private var body: String {
    let lines = files.map {
      "    {\"name\": \"\($0.name)\", \"bytes\": \($0.bytes), \"sha256\": \"\($0.sha256)\"}"
    }
    return """
      {
        "format": \(format),
        "step": \(step),
        "files": [
      \(lines.joined(separator: ",\n"))
        ],

      """
  }

  /// Reads the content of the manifest at `path`.
  init(_ bytes: [UInt8], path: String) throws(CheckpointError) {
    func damaged(_ problem: String) -> CheckpointError {
      CheckpointError(.damaged, path: path, problem)
    }
    guard let manifest = try? JSONDecoder().decode(Manifest.self, from: Data(bytes)) else {
      throw damaged("not a manifest")
    }
    guard manifest.format == Self.currentFormat else {
      throw damaged("format \(manifest.format) is not \(Self.currentFormat), which this reads")
    }
    guard manifest.files.allSatisfy({ Self.isPlain($0.name) }) else {
      throw damaged("a file name in it is not a plain name")
    }
    guard Set(manifest.files.map(\.name)).count == manifest.files.count else {
      throw damaged("a file name in it stands there twice")
    }
    guard manifest.step >= 0, manifest.files.allSatisfy({ $0.bytes >= 0 }) else {
      throw damaged("a negative number in it")
    }
    guard Array(manifest.text.utf8) == bytes else { throw damaged("its checksum does not match") }
    self = manifest
  }

  /// Whether `name` can be the name of a checkpoint's file: letters, digits, `.`, `_` and `-`, not
  /// hidden, and no longer than file systems take.
  static func isPlain(_ name: String) -> Bool {
    let isPlain = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
    return isPlain && !name.isEmpty && !name.hasPrefix(".") && name.utf8.count <= 255
      && name != fileName
  }
}
