import Foundation

/// What a directory of packed archives holds: written before the first archive, under a name that
/// keeps readers out, and renamed behind the last one.
struct PackManifest: Codable, Equatable {
  static let finishedName = "pack.json"
  static let unfinishedName = "pack-unfinished.json"

  struct Split: Codable, Equatable {
    var name: String
    var samples: Int
    var archives: Int
    /// Of the plan: names, labels, sizes and times of what was packed.
    var plan_sha256: String
    /// Of the data set itself.
    var data: String
  }

  var version = 1
  /// As it was named; says nothing of the content.
  var source: String
  /// `as stored`, `PNG`, or `JPEG, quality 90`.
  var images: String
  var shuffle: Int?
  var classes: Int
  var splits: [Split]

  /// The first thing in which another pack differs from this one; nil where both give the same
  /// archives.
  func difference(from other: PackManifest) -> String? {
    func words(_ ours: some Any, _ theirs: some Any) -> String { "\(theirs), now \(ours)" }
    if version != other.version { return "version \(words(version, other.version))" }
    if images != other.images { return "images \(words(images, other.images))" }
    if shuffle != other.shuffle {
      func text(_ seed: Int?) -> String { seed.map { "by \($0)" } ?? "not" }
      return "shuffled \(words(text(shuffle), text(other.shuffle)))"
    }
    if classes != other.classes { return "classes \(words(classes, other.classes))" }
    let (names, others) = (splits.map(\.name), other.splits.map(\.name))
    if names != others { return "splits \(words(names, others))" }
    for (ours, theirs) in zip(splits, other.splits) where ours != theirs {
      if ours.samples != theirs.samples {
        return "images of \(ours.name) \(words(ours.samples, theirs.samples))"
      }
      if ours.archives != theirs.archives {
        return "archives of \(ours.name) \(words(ours.archives, theirs.archives))"
      }
      return "names, sizes or times of the images of \(ours.name), or where archives are cut"
    }
    return nil
  }

  /// JSON for people, the same bytes for the same facts.
  func bytes() throws(DataError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else {
      throw DataError(.io, "\(Self.finishedName): cannot be written as JSON")
    }
    return Array(data) + [UInt8(ascii: "\n")]
  }

  /// The manifest at `path`; nil where there is none.
  static func read(_ path: String) throws(DataError) -> PackManifest? {
    guard access(path, F_OK) == 0 else { return nil }
    let file = try RegularFile(path: path)
    let buffer = ByteBuffer()
    guard file.size <= 1 << 20 else { throw DataError(.malformed, "\(path): is no pack's list") }
    try file.read(at: 0, count: file.size, into: buffer)
    guard let manifest = try? JSONDecoder().decode(PackManifest.self, from: Data(buffer.all)) else {
      throw DataError(.malformed, "\(path): cannot be read; remove the directory and pack again")
    }
    return manifest
  }
}
