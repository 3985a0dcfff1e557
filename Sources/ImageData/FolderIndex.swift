import Glibc
import Tensors

/// The files of one split of a folder data set, in the order of their classes' and own names.
///
/// Content of the index: counts, a digest, every directory with its modification time, the classes,
/// then 24 bytes a sample (size, modification time, end of its name) and all names.
final class FolderIndex: Sendable {
  static let kind: StaticString = "RVGFLD01"
  private static let bytesPerSample = 24

  let count: Int
  let classNames: [String]
  /// SHA-256 over class names, file names and sizes: what a copy in another place shares.
  let digest: String
  let notes: [String]
  private let file: IndexFile
  /// First sample of every class, and behind the last one `count`.
  private let firstSamples: [Int]
  private let directories: [(path: [UInt8], modified: Int64)]
  private let samplesAt: Int
  private let namesAt: Int

  /// nil where the file's content contradicts itself.
  init?(_ file: IndexFile) {
    self.file = file
    var cursor = Cursor(file: file)
    guard let directoryCount = cursor.number(UInt32.self),
      let classCount = cursor.number(UInt32.self),
      let sampleCount = cursor.number(UInt32.self), let digest = cursor.bytes()
    else { return nil }
    (count, self.digest) = (sampleCount, RegularFile.text(digest))
    var directories: [(path: [UInt8], modified: Int64)] = []
    for _ in 0..<directoryCount {
      guard let modified = cursor.number(Int64.self), let path = cursor.bytes() else { return nil }
      directories.append((path, Int64(modified)))
    }
    var (firsts, names) = ([Int](), [String]())
    for _ in 0..<classCount {
      guard let first = cursor.number(UInt32.self), let name = cursor.bytes() else { return nil }
      firsts.append(first)
      names.append(RegularFile.text(name))
    }
    guard let noteCount = cursor.number(UInt32.self) else { return nil }
    var notes: [String] = []
    for _ in 0..<noteCount {
      guard let note = cursor.bytes() else { return nil }
      notes.append(RegularFile.text(note))
    }
    (self.directories, classNames, self.notes) = (directories, names, notes)
    firstSamples = firsts + [count]
    samplesAt = cursor.position
    namesAt = samplesAt + count * Self.bytesPerSample
    guard count > 0, firsts.first == 0, zip(firstSamples, firstSamples.dropFirst()).allSatisfy(<),
      namesAt <= file.count, areNamesSound
    else { return nil }
  }

  private var areNamesSound: Bool {
    var end = 0
    for sample in 0..<count {
      let next = nameEnd(sample)
      guard next > end, next <= file.count - namesAt else { return false }
      end = next
    }
    return namesAt + end == file.count
  }

  private func nameEnd(_ sample: Int) -> Int {
    Int(
      truncatingIfNeeded: file.load(Int64.self, at: samplesAt + sample * Self.bytesPerSample + 16))
  }

  func size(of sample: Int) -> Int {
    Int(truncatingIfNeeded: file.load(Int64.self, at: samplesAt + sample * Self.bytesPerSample))
  }

  func modified(_ sample: Int) -> Int64 {
    file.load(Int64.self, at: samplesAt + sample * Self.bytesPerSample + 8)
  }

  /// Relative to the split's directory.
  func path(of sample: Int) -> [UInt8] {
    let start = sample == 0 ? 0 : nameEnd(sample - 1)
    return Array(file.bytes(namesAt + start..<namesAt + nameEnd(sample)))
  }

  func label(of sample: Int) -> Int {
    var (low, high) = (0, firstSamples.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if firstSamples[middle] <= sample { low = middle } else { high = middle }
    }
    return low
  }

  /// Whether no directory below `root` has changed since the index was made.
  func isCurrent(root: [UInt8]) -> Bool {
    directories.allSatisfy { directory in
      FileProgress.advance()
      var status = stat()
      let path = directory.path.isEmpty ? root : root + [UInt8(ascii: "/")] + directory.path
      return RegularFile.withCString(path) { stat($0, &status) } == 0
        && status.modified == directory.modified
    }
  }

  /// Reads the index's numbers front to back.
  private struct Cursor {
    let file: IndexFile
    var position = 0

    mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Int? {
      guard position + MemoryLayout<Number>.size <= file.count else { return nil }
      defer { position += MemoryLayout<Number>.size }
      return Int(exactly: file.load(type, at: position))
    }

    mutating func bytes() -> [UInt8]? {
      guard let count = number(UInt32.self), count <= file.count - position else { return nil }
      defer { position += count }
      return Array(file.bytes(position..<position + count))
    }
  }
}

// MARK: - Making one

extension FolderIndex {
  /// File names that are taken for images.
  static func isImage(_ name: borrowing [UInt8]) -> Bool {
    guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return false }
    let ending = name[(dot + 1)...].map { $0 | 0x20 }
    return ending == Array("jpg".utf8) || ending == Array("jpeg".utf8)
      || ending == Array("png".utf8)
  }

  /// Walks the classes' directories below `root`.
  static func content(root: [UInt8]) throws(DataError) -> IndexFile.Content {
    try FolderWalk(root: root).content()
  }
}

/// A walk over root/<class>/**/<image>.
private struct FolderWalk: ~Copyable {
  let root: [UInt8]
  private var directories: [(path: [UInt8], modified: Int64)] = []
  private var samples = IndexFile.Content()
  private var names = IndexFile.Content()
  private var sampleCount = 0
  private var otherCount = 0
  private var digest = SHA256Digest()

  init(root: [UInt8]) { self.root = root }

  consuming func content() throws(DataError) -> IndexFile.Content {
    let top = try DirectoryListing(path: root, isWanted: FolderIndex.isImage)
    directories.append(([], top.modified))
    otherCount += top.otherCount + top.files.count
    var classes = IndexFile.Content()
    for name in top.directories {
      try ClassNames.check(name, path: text(name))
      classes.append(UInt32(sampleCount))
      Self.append(name, to: &classes)
      Self.add(name, to: &digest)
      let before = sampleCount
      try walk(name, above: [top.identity])
      guard sampleCount > before else {
        throw DataError(
          .malformed,
          "\(text(name)): holds no JPEG or PNG file; every class needs one, or remove the directory"
        )
      }
    }
    guard !top.directories.isEmpty else {
      throw DataError(
        .malformed, "\(RegularFile.text(root)): holds no directories; expects one for every class")
    }
    return try assemble(classes, classCount: top.directories.count)
  }

  private mutating func walk(_ path: [UInt8], above: [[UInt64]]) throws(DataError) {
    let listing = try DirectoryListing(
      path: root + [UInt8(ascii: "/")] + path, isWanted: FolderIndex.isImage)
    guard !above.contains(listing.identity) else {
      throw DataError(
        .malformed, "\(text(path)): leads back to a directory above it; remove the link")
    }
    directories.append((path, listing.modified))
    otherCount += listing.otherCount
    for file in listing.files {
      let whole = path + [UInt8(ascii: "/")] + file.name
      names.append(whole)
      samples.append(file.size)
      samples.append(file.modified)
      samples.append(Int64(names.bytes.count))
      Self.add(whole, to: &digest)
      withUnsafeBytes(of: file.size.littleEndian) { digest.update($0) }
      sampleCount += 1
    }
    for directory in listing.directories {
      try walk(path + [UInt8(ascii: "/")] + directory, above: above + [listing.identity])
    }
  }

  private consuming func assemble(
    _ classes: IndexFile.Content, classCount: Int
  ) throws(DataError) -> IndexFile.Content {
    guard sampleCount < Int(UInt32.max) else {
      throw DataError(.malformed, "\(RegularFile.text(root)): holds more than 2^32 images")
    }
    var content = IndexFile.Content()
    content.append(UInt32(directories.count))
    content.append(UInt32(classCount))
    content.append(UInt32(sampleCount))
    Self.append(Array(digest.finish().utf8), to: &content)
    for directory in directories {
      content.append(directory.modified)
      Self.append(directory.path, to: &content)
    }
    content.append(classes.bytes)
    let note =
      otherCount == 0
      ? []
      : [
        "\(RegularFile.text(root)): \(otherCount) files that are not .jpg, .jpeg or .png in a class's directory are left out"
      ]
    content.append(UInt32(note.count))
    for note in note { Self.append(Array(note.utf8), to: &content) }
    content.append(samples.bytes)
    content.append(names.bytes)
    return content
  }

  private func text(_ path: [UInt8]) -> String {
    RegularFile.text(root + [UInt8(ascii: "/")] + path)
  }

  private static func append(_ bytes: [UInt8], to content: inout IndexFile.Content) {
    content.append(UInt32(bytes.count))
    content.append(bytes)
  }

  /// With its length, so that no two lists of names give the same bytes.
  private static func add(_ bytes: [UInt8], to digest: inout SHA256Digest) {
    withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { digest.update($0) }
    bytes.withUnsafeBytes { digest.update($0) }
  }
}
