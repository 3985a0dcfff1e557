import Glibc
import RunPlanning

/// What the commands on data work on: the splits that there are, the training images first.
package struct DataSource: Sendable {
  package struct Split: Sendable {
    /// `train` or `val`.
    package var name: String
    package var dataset: any Dataset

    package init(name: String, dataset: any Dataset) {
      (self.name, self.dataset) = (name, dataset)
    }

    /// The sample's name as `data.exclude` takes it: below the directory that holds the splits.
    package func listedName(of sample: Int) -> [UInt8] {
      let above = dataset.directory.map { Datasets.nameAbove(Array($0.utf8)).count } ?? 0
      return Array(dataset.nameBytes(of: sample).dropFirst(above))
    }
  }

  package let splits: [Split]

  /// What was left out or could not be kept, to be said once.
  package var notes: [String] { splits.flatMap(\.dataset.notes) }

  package init(splits: [Split]) { self.splits = splits }

  /// Both splits of a configuration.
  package init(config: RunConfig) throws(DataError) {
    let (train, test) = try Datasets.open(config: config)
    splits = [Split(name: "train", dataset: train), Split(name: "val", dataset: test)]
  }

  /// The splits below a directory, each in a directory of its own or in archives that are named
  /// after it; or the one split that the directory is: classes, or archives.
  package init(directory: String) throws(DataError) {
    try Datasets.requireDirectory(directory)
    let base = directory.hasSuffix("/") ? directory : directory + "/"
    let beside = try Datasets.archives(in: directory)
    // Archives of one split alone: the directory may be the split's, as training knows them.
    let isOfOneSplit =
      [Datasets.Split.train, .test].filter { split in
        beside.contains(where: split.isNamed(by:))
      }.count == 1
    let places = isOfOneSplit ? [directory, base + ".."] : [directory]
    var splits: [Split] = []
    for (name, split) in [("train", Datasets.Split.train), ("val", .test)] {
      let archives = beside.filter(split.isNamed(by:))
      if !archives.isEmpty {
        splits.append(Split(name: name, dataset: try Self.archives(archives, in: places)))
      } else if let word = split.words.first(where: { Self.isDirectory(base + $0) }) {
        let dataset = try Self.open(base + word, above: directory)
        splits.append(Split(name: name, dataset: dataset))
      }
    }
    if splits.isEmpty {
      let own = directory.split(separator: "/").last.map(String.init) ?? ""
      let name = Datasets.Split.test.words.contains(own) ? "val" : "train"
      let parent = base + ".."
      splits = [Split(name: name, dataset: try Self.open(directory, above: parent))]
    }
    self.splits = splits
    if splits.count == 2 {
      let (train, test) = (splits[0].dataset, splits[1].dataset)
      try Datasets.requireSameClasses(
        train.classNames, test.classNames, test: test.name(of: 0))
    }
  }

  private static func open(
    _ directory: String, above parent: String
  ) throws(DataError) -> any Dataset {
    let archives = try Datasets.archives(in: directory)
    if archives.isEmpty { return try FolderDataset(root: directory) }
    // As training looks for it.
    return try Self.archives(archives, in: [directory, parent])
  }

  private static func archives(
    _ paths: [String], in directories: [String]
  ) throws(DataError) -> TarDataset {
    try TarDataset(paths: paths, classNames: Datasets.classNames(in: directories))
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
