import Glibc
import RunPlanning

// Data sets of encoded files: directories of classes, archives.

extension Datasets.Split {
  /// Directories and file names that hold it.
  var words: [String] { self == .train ? ["train"] : ["val", "validation", "test"] }
  fileprivate var key: String { self == .train ? "train_images" : "test_images" }
  fileprivate func named(in data: RunConfig.Data) -> String {
    self == .train ? data.trainImages : data.testImages
  }

  /// Whether a word of an archive's name is the split's: `test` of `cats-test01.tar`, but not of
  /// `latest-01.tar`.
  func isNamed(by path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    let named = name.split { !$0.isLetter }.map { $0.lowercased() }
    return words.contains(where: named.contains)
  }
}

extension Datasets {
  static func openFolder(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    let root = try directory(of: split, data)
    let dataset = try FolderDataset(root: root)
    try requireSeveralClasses(dataset, root)
    return try limited(
      excluding(data.exclude, from: dataset, root: root), to: data.limit(of: split))
  }

  static func openArchives(
    _ split: Split, _ config: RunConfig
  ) throws(DataError) -> any Dataset {
    let data = config.data
    let paths = try archives(of: split, data)
    let parent = paths[0].lastIndex(of: "/").map { String(paths[0][..<$0]) } ?? "."
    // Beside the archives, and above a split's own directory.
    let isOwn = parent != String(data.directory.reversed().drop { $0 == "/" }.reversed())
    let names = try classNames(in: isOwn ? [parent, above(parent), data.directory] : [parent])
    let dataset = try TarDataset(paths: paths, classNames: names)
    if split == .train { try requireSeveralClasses(dataset, parent) }
    return try limited(
      excluding(data.exclude, from: dataset, root: parent), to: data.limit(of: split))
  }

  /// The directory above, by its own name where it has one.
  private static func above(_ directory: String) -> String {
    let name = directory.split(separator: "/").last ?? "."
    guard name != ".", name != "..", let slash = directory.lastIndex(of: "/"),
      slash > directory.startIndex
    else { return directory + "/.." }
    return String(directory[..<slash])
  }

  private static func requireSeveralClasses(
    _ dataset: some Dataset, _ place: String
  ) throws(DataError) {
    guard dataset.classes > 1 else {
      throw DataError(
        .malformed,
        "\(place): all \(dataset.count) images are of one class; a classifier needs two at least")
    }
  }

  /// Names of the other split's class directories, its images not listed; nil where it is not there.
  static func classDirectories(
    besides split: Split, _ data: RunConfig.Data
  ) throws(DataError) -> [String]? {
    guard let root = try? directory(of: split == .train ? .test : .train, data),
      let listing = try? DirectoryListing(path: Array(root.utf8), isWanted: { _ in false }),
      !listing.directories.isEmpty
    else { return nil }
    for name in listing.directories {
      try ClassNames.check(name, path: "\(root)/\(RegularFile.text(name))")
    }
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
    if split.named(in: data).isEmpty, !data.directory.isEmpty {
      try requireDirectory(data.directory)
      let beside = try archives(in: data.directory).filter(split.isNamed(by:))
      if !beside.isEmpty { return beside }
    }
    let directory = try directory(of: split, data)
    let found = try archives(in: directory)
    guard !found.isEmpty else {
      throw DataError(
        .missing,
        "\(directory): holds no .tar files; check data.directory and data.format")
    }
    return found
  }

  /// The archives in a directory, in the byte order of their names.
  ///
  /// Throws where they are not all there yet.
  static func archives(in path: String) throws(DataError) -> [String] {
    guard access("\(path)/\(PackManifest.unfinishedName)", F_OK) != 0 else {
      throw DataError(
        .malformed,
        "\(path): is not packed completely; wait for `repvgg data pack`, or run it again")
    }
    let listing = try DirectoryListing(path: Array(path.utf8)) {
      $0.count > 4 && $0[($0.count - 4)...].elementsEqual(".tar".utf8)
    }
    let start = path.hasSuffix("/") ? path : path + "/"
    return listing.files.map { start + RegularFile.text($0.name) }
  }

  /// The lines of the first `classes.txt` that there is.
  static func classNames(in directories: [String]) throws(DataError) -> [String] {
    for directory in directories where !directory.isEmpty {
      let path = "\(directory)/classes.txt"
      guard access(path, F_OK) == 0 else { continue }
      return try ClassNames.read(path: path)
    }
    return []
  }

  /// What stands in front of a directory's own name: `/data/` of `/data/train`.
  static func nameAbove(_ directory: [UInt8]) -> ArraySlice<UInt8> {
    let slash = UInt8(ascii: "/")
    let name = directory.last == slash ? directory.dropLast() : directory[...]
    return name.lastIndex(of: slash).map { name[...$0] } ?? []
  }

  /// Without the samples whose names the file lists: whole, below `root`, or below the directory
  /// above it. Byte for byte: two spellings of an accent are two names.
  private static func excluding(
    _ path: String, from dataset: any Dataset, root: String
  ) throws(DataError) -> any Dataset {
    guard !path.isEmpty else { return dataset }
    let names = Set(try ClassNames.lines(of: path).map { $0[...] })
    let start = Array((root.hasSuffix("/") ? root : root + "/").utf8)
    let parents = nameAbove(Array(root.utf8)).count
    let kept = (0..<dataset.count).filter { sample in
      let name = dataset.nameBytes(of: sample)
      return !names.contains(name[...]) && !names.contains(name.dropFirst(parents))
        && !(name.starts(with: start) && names.contains(name.dropFirst(start.count)))
    }
    guard !kept.isEmpty else {
      throw DataError(.malformed, "\(path): leaves no image of \(root)")
    }
    return DatasetSubset(dataset, kept: kept)
  }
}
