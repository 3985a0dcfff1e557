import Glibc
import RunPlanning

// Data sets of encoded files: directories of classes, archives.

extension Datasets.Split {
  /// Directories and file names that hold it.
  fileprivate var words: [String] { self == .train ? ["train"] : ["val", "validation", "test"] }
  fileprivate var key: String { self == .train ? "train_images" : "test_images" }
  fileprivate func named(in data: RunConfig.Data) -> String {
    self == .train ? data.trainImages : data.testImages
  }
}

extension Datasets {
  static func openFolder(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    let root = try directory(of: split, data)
    return try limited(
      excluding(data.exclude, from: FolderDataset(root: root), root: root),
      to: data.limit(of: split))
  }

  static func openArchives(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    let paths = try archives(of: split, data)
    let parent = paths[0].lastIndex(of: "/").map { String(paths[0][..<$0]) } ?? "."
    let names = try classNames(in: [parent, data.directory])
    let dataset = try TarDataset(paths: paths, classNames: names)
    return try limited(
      excluding(data.exclude, from: dataset, root: parent), to: data.limit(of: split))
  }

  /// Names of the other split's class directories, its images not listed; nil where it is not there.
  static func classDirectories(besides split: Split, _ data: RunConfig.Data) -> [String]? {
    guard let root = try? directory(of: split == .train ? .test : .train, data),
      let listing = try? DirectoryListing(path: Array(root.utf8), isWanted: { _ in false }),
      !listing.directories.isEmpty
    else { return nil }
    return listing.directories.map { RegularFile.text($0) }
  }

  private static func directory(
    of split: Split, _ data: RunConfig.Data
  ) throws(DataError) -> String {
    let named = split.named(in: data)
    guard named.isEmpty else {
      try requireDirectory(named)
      return named
    }
    try requireNamed(data)
    try requireDirectory(data.directory)
    let base = data.directory.hasSuffix("/") ? data.directory : data.directory + "/"
    for word in split.words where access(base + word, F_OK) == 0 { return base + word }
    let expected = split.words.map { "'\($0)'" }.joined(separator: " nor ")
    throw DataError(
      .missing,
      "\(data.directory): holds \(split.words.count > 1 ? "neither" : "no") \(expected); "
        + "check data.directory, or name the directory by data.\(split.key)")
  }

  /// Archives in the split's directory, or those in the data's whose names speak of the split.
  private static func archives(
    of split: Split, _ data: RunConfig.Data
  ) throws(DataError) -> [String] {
    func list(_ path: String) throws(DataError) -> [String] {
      let listing = try DirectoryListing(path: Array(path.utf8)) {
        $0.count > 4 && $0[($0.count - 4)...].elementsEqual(".tar".utf8)
      }
      return listing.files.map { "\(path)/\(RegularFile.text($0.name))" }
    }
    if split.named(in: data).isEmpty, !data.directory.isEmpty {
      try requireDirectory(data.directory)
      let beside = try list(data.directory).filter { path in
        let name = path.split(separator: "/").last ?? ""
        return split.words.contains { name.contains($0) }
      }
      if !beside.isEmpty { return beside }
    }
    let directory = try directory(of: split, data)
    let found = try list(directory)
    guard !found.isEmpty else {
      throw DataError(
        .missing,
        "\(directory): holds no .tar files; check data.directory and data.format")
    }
    return found
  }

  /// The lines of the first `classes.txt` that there is.
  private static func classNames(in directories: [String]) throws(DataError) -> [String] {
    for directory in directories where !directory.isEmpty {
      let path = "\(directory)/classes.txt"
      guard access(path, F_OK) == 0 else { continue }
      return try lines(of: path)
    }
    return []
  }

  private static func lines(of path: String) throws(DataError) -> [String] {
    let stream = try ByteStream(path: path)
    guard stream.storedSize <= 64 << 20 else {
      throw DataError(.malformed, "\(path): has \(stream.storedSize) bytes; is it a list of names?")
    }
    let text = RegularFile.text(try stream.read(stream.storedSize))
    return text.split(separator: "\n").map(String.init)
  }

  /// Without the samples whose names, whole or below `root`, the file lists.
  private static func excluding(
    _ path: String, from dataset: any Dataset, root: String
  ) throws(DataError) -> any Dataset {
    guard !path.isEmpty else { return dataset }
    let names = Set(try lines(of: path))
    let start = root.hasSuffix("/") ? root : root + "/"
    let kept = (0..<dataset.count).filter { sample in
      let name = dataset.name(of: sample)
      return !names.contains(name)
        && !(name.hasPrefix(start) && names.contains(String(name.dropFirst(start.count))))
    }
    guard !kept.isEmpty else {
      throw DataError(.malformed, "\(path): leaves no image of \(root)")
    }
    return DatasetSubset(dataset, kept: kept)
  }
}
