import Glibc
import RunPlanning

// Images at one place, without a configuration that names both splits.

extension Datasets {
  /// Samples that a single file stands for.
  package static let repeatsOfOneFile = 1024

  /// The images at `path`: a JPEG or PNG file, which is every sample of a data set of
  /// `repeatsOfOneFile`; a tar archive; a directory of archives or with a directory for each class;
  /// or one that holds such a directory called `train`.
  package static func openImages(at path: String) throws(DataError) -> any Dataset {
    var status = stat()
    guard !path.utf8.contains(0), stat(path, &status) == 0 else {
      let code = errno
      throw DataError(
        code == EACCES ? .permission : .missing, "\(path): \(errnoText(code)); name images")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      return path.hasSuffix(".tar")
        ? try TarDataset(paths: [path]) : try RepeatedFile(path: path, count: repeatsOfOneFile)
    }
    let base = path.hasSuffix("/") ? path : path + "/"
    let inner = base + "train"
    var innerStatus = stat()
    let isSplit = stat(inner, &innerStatus) == 0 && innerStatus.st_mode & S_IFMT == S_IFDIR
    let root = isSplit ? inner : path
    let archives = try archives(in: root)
    return archives.isEmpty ? try FolderDataset(root: root) : try TarDataset(paths: archives)
  }
}

/// One encoded file as every sample: what a loader costs without the files of a data set.
private struct RepeatedFile: Dataset {
  let count: Int
  let classes = 1
  let form = StoredForm.encoded
  var fingerprint: String { "\(count) times \(file.name), \(file.size) bytes" }
  private let file: RegularFile

  init(path: String, count: Int) throws(DataError) {
    file = try RegularFile(path: path)
    self.count = count
  }

  func storedSize(of sample: Int) -> Int { file.size }
  func label(of sample: Int) -> Int { 0 }
  func name(of sample: Int) -> String { file.name }

  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    try file.read(at: 0, count: file.size, into: bytes)
  }
}
