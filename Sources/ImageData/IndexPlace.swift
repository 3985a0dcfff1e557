import Glibc
import Tensors

/// Where the index of a data set is kept: beside it, or, where that cannot be written, in the user's
/// cache directory.
struct IndexPlace {
  /// Without the ending: `/data/imagenet/train`.
  let subject: [UInt8]
  private let candidates: [[UInt8]]

  init(subject: [UInt8]) {
    self.subject = subject
    let slash = subject.lastIndex(of: UInt8(ascii: "/"))
    let name = slash.map { Array(subject[($0 + 1)...]) } ?? subject
    let parent = slash.map { Array(subject[...$0]) } ?? []
    var candidates = [parent + Array(".".utf8) + name + Array(".repvgg-index".utf8)]
    if let cache = Self.cacheDirectory, let whole = Self.absolute(subject) {
      candidates.append(Array("\(cache)/\(SHA256Digest.hex(whole)).index".utf8))
    }
    self.candidates = candidates
  }

  /// The first that is sound and that `use` takes.
  func read<Index>(kind: StaticString, _ use: (IndexFile) -> Index?) -> Index? {
    for path in candidates {
      if let file = IndexFile(path: path, kind: kind), let index = use(file) { return index }
    }
    return nil
  }

  /// For messages: the file to remove for a new index, where there is one.
  var found: String? {
    candidates.first { RegularFile.withCString($0) { access($0, F_OK) } == 0 }
      .map(RegularFile.text)
  }

  /// Writes to the first place that takes it; the place, or nil where none does.
  func write(_ content: IndexFile.Content, kind: StaticString) -> [UInt8]? {
    for (number, path) in candidates.enumerated() {
      if number > 0, let cache = Self.cacheDirectory { Self.makeDirectories(cache) }
      if IndexFile.write(content, kind: kind, path: path) { return path }
    }
    return nil
  }

  private static var cacheDirectory: String? {
    if let cache = environment("XDG_CACHE_HOME") { return "\(cache)/repvgg/indexes" }
    return environment("HOME").map { "\($0)/.cache/repvgg/indexes" }
  }

  private static func environment(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee == UInt8(ascii: "/") else { return nil }
    return String(cString: value)
  }

  private static func makeDirectories(_ path: String) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      mkdir(made, 0o755)
    }
  }

  /// Without links; nil where it does not exist.
  static func absolute(_ path: [UInt8]) -> [UInt8]? {
    guard let whole = RegularFile.withCString(path, { realpath($0, nil) }) else { return nil }
    defer { free(whole) }
    return Array(UnsafeBufferPointer(start: whole, count: strlen(whole))).map {
      UInt8(bitPattern: $0)
    }
  }
}
