import Glibc

/// Images in a directory for each class: root/<class>/<image>.jpg. The layout of ImageNet as
/// torchvision's `ImageFolder` reads it.
///
/// Classes are numbered in the byte order of their names, samples in the byte order of theirs. A
/// list of the files is kept in an index, which is used again until a directory changes; a file's
/// size and modification time are compared when it is opened.
package struct FolderDataset: Dataset {
  package let classes: Int
  package let form = StoredForm.encoded
  package let notes: [String]
  private let root: [UInt8]
  private let index: FolderIndex

  /// - Parameter root: the split's directory.
  package init(root: String) throws(DataError) {
    var bytes = Array(root.utf8)
    while bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
    self.root = bytes
    let place = IndexPlace(subject: bytes)
    let current = place.read(kind: FolderIndex.kind) { file -> FolderIndex? in
      FolderIndex(file).flatMap { $0.isCurrent(root: bytes) ? $0 : nil }
    }
    if let current {
      index = current
      notes = current.notes
    } else {
      let content = try FolderIndex.content(root: bytes)
      let written = place.write(content, kind: FolderIndex.kind)
      index = try Self.index(content, root: bytes)
      notes =
        index.notes
        + (written == nil
          ? [
            "\(root): its index can be kept neither beside it nor in ~/.cache; every start lists all files"
          ]
          : [])
    }
    classes = index.classNames.count
  }

  /// The index as written, so that one that was made and one that was found are read the same way.
  private static func index(
    _ content: IndexFile.Content, root: [UInt8]
  ) throws(DataError) -> FolderIndex {
    guard let file = IndexFile(content: content), let index = FolderIndex(file) else {
      throw DataError(.io, "\(RegularFile.text(root)): no memory for the list of its files")
    }
    return index
  }

  package var count: Int { index.count }
  package var classNames: [String] { index.classNames }
  package var fingerprint: String {
    "folder \(count) in \(classes) classes, names and sizes \(index.digest)"
  }

  package func label(of sample: Int) -> Int { index.label(of: sample) }

  package func storedSize(of sample: Int) -> Int { index.size(of: sample) }

  package func name(of sample: Int) -> String { RegularFile.text(path(of: sample)) }
  package func nameBytes(of sample: Int) -> [UInt8] { path(of: sample) }

  package var directory: String? { RegularFile.text(root) }

  package func origin(of sample: Int) -> SampleOrigin? {
    let path = index.path(of: sample)
    let dot = path.lastIndex(of: UInt8(ascii: ".")) ?? path.count
    return SampleOrigin(
      stem: Array(path[..<dot]), ending: Array(path[dot...].dropFirst()),
      size: index.size(of: sample), modified: index.modified(sample))
  }

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    let file = try RegularFile(path: path(of: sample))
    guard file.size == index.size(of: sample), file.modified == index.modified(sample) else {
      throw DataError(
        .malformed,
        "\(file.name): has changed since its directory was listed "
          + "(\(changes(of: file, sample))); put the old file back, or "
          + (IndexPlace(subject: root).found.map { "remove the index \($0) and " } ?? "")
          + "begin a new run")
    }
    try file.read(at: 0, count: file.size, into: bytes)
  }

  private func changes(of file: RegularFile, _ sample: Int) -> String {
    let size = index.size(of: sample)
    return file.size == size
      ? "as many bytes, but written since" : "\(size) bytes then, \(file.size) now"
  }

  private func path(of sample: Int) -> [UInt8] {
    root + [UInt8(ascii: "/")] + index.path(of: sample)
  }
}
