import Glibc
import Tensors

/// Images in tar archives ("shards"), members read in place: large sequential files, as parallel
/// file systems like them. An index beside each makes every sample reachable, so that the order is
/// global and a resume exact.
///
/// Samples are numbered through the archives in the byte order of their names.
/// Source: Aizman, Maltby, Breuel, "High Performance I/O For Large Scale Deep Learning", 2019
/// (WebDataset's conventions).
package struct TarDataset: Dataset {
  package let count: Int
  package let classes: Int
  package let classNames: [String]
  package let form = StoredForm.encoded
  package let fingerprint: String
  package let notes: [String]

  private struct Shard: Sendable {
    var path: [UInt8]
    var index: TarIndex
    var first: Int
    /// When it was indexed.
    var size: Int
    var modified: Int64
    /// Kept open where there are few enough.
    var file: RegularFile?
  }

  private let shards: [Shard]

  /// Archives kept open; further ones are opened for every sample.
  private static var openArchives: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 16 }
    return Int(min(limit.rlim_cur, 8192)) / 4
  }

  /// - Parameters:
  ///   - paths: of the archives.
  ///   - classNames: by label; empty where there are none.
  package init(paths: [String], classNames: [String] = []) throws(DataError) {
    var (shards, notes) = ([Shard](), [String]())
    var (first, largestLabel) = (0, 0)
    var digest = SHA256Digest()
    let mostOpen = Self.openArchives
    let sorted = paths.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
    for path in sorted {
      let file = try RegularFile(path: path)
      let index = try Self.index(of: file, &notes)
      Array(index.digest.utf8).withUnsafeBytes { digest.update($0) }
      shards.append(
        Shard(
          path: path, index: index, first: first, size: file.size, modified: file.modified,
          file: shards.count < mostOpen ? file : nil))
      first += index.count
      largestLabel = max(largestLabel, index.largestLabel)
    }
    guard first > 0 else { throw DataError(.missing, "no .tar archives are named") }
    guard classNames.isEmpty || largestLabel < classNames.count else {
      throw DataError(
        .malformed,
        "\(RegularFile.text(sorted[0])) or an archive beside it has label \(largestLabel), but "
          + "classes.txt names \(classNames.count) classes")
    }
    (self.shards, self.notes, self.classNames, count) = (shards, notes, classNames, first)
    classes = classNames.isEmpty ? largestLabel + 1 : classNames.count
    fingerprint =
      "tar \(count) in \(sorted.count) archives, keys, sizes and labels \(digest.finish())"
  }

  private static func index(
    of file: RegularFile, _ notes: inout [String]
  ) throws(DataError) -> TarIndex {
    let place = IndexPlace(subject: file.path)
    if let index = place.read(kind: TarIndex.kind, { TarIndex($0, of: file) }) { return index }
    let content = try TarIndex.content(file)
    if place.write(content, kind: TarIndex.kind) == nil, notes.isEmpty {
      notes.append(
        "\(file.name): its index can be kept neither beside it nor in ~/.cache; every start reads all headers"
      )
    }
    guard let made = IndexFile(content: content), let index = TarIndex(made, of: file) else {
      throw DataError(.io, "\(file.name): no memory for the list of its samples")
    }
    return index
  }

  private func shard(of sample: Int) -> Shard {
    var (low, high) = (0, shards.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if shards[middle].first <= sample { low = middle } else { high = middle }
    }
    return shards[low]
  }

  package func label(of sample: Int) -> Int {
    let shard = shard(of: sample)
    return shard.index.label(of: sample - shard.first)
  }

  package func storedSize(of sample: Int) -> Int {
    let shard = shard(of: sample)
    return shard.index.place(of: sample - shard.first).size
  }

  package func name(of sample: Int) -> String { RegularFile.text(nameBytes(of: sample)) }

  package func nameBytes(of sample: Int) -> [UInt8] {
    let shard = shard(of: sample)
    return shard.path + Array("[".utf8) + shard.index.key(of: sample - shard.first)
      + Array("]".utf8)
  }

  package var directory: String? {
    let path = shards[0].path
    return path.lastIndex(of: UInt8(ascii: "/")).map { RegularFile.text(Array(path[..<$0])) } ?? "."
  }

  package func origin(of sample: Int) -> SampleOrigin? {
    let shard = shard(of: sample)
    let member = sample - shard.first
    return SampleOrigin(
      stem: shard.index.key(of: member), ending: [], size: shard.index.place(of: member).size,
      modified: shard.index.modified)
  }

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    let shard = shard(of: sample)
    let file: RegularFile
    if let open = shard.file { file = open } else { file = try RegularFile(path: shard.path) }
    guard file.size == shard.size, file.modified == shard.modified, file.isUnchanged else {
      throw DataError(
        .malformed,
        "\(file.name): has changed since the run began; put the old archive back and go on, or begin "
          + "a new run with this one")
    }
    let (offset, size) = shard.index.place(of: sample - shard.first)
    try file.read(at: offset, count: size, into: bytes)
  }
}
