import Glibc
import Images
import Synchronization

/// Packs the splits of a data set into tar archives with their indexes, as `TarDataset` reads them.
///
/// What is written is a function of the data set and the options, not of threads or interruptions:
/// an archive gets its name when it is complete and on the disk, and a second run keeps those that
/// fit and makes the others.
package struct ArchivePacker: Sendable {
  /// How far it is.
  package struct State: Sendable {
    package var samples = 0
    package var bytes = 0
  }

  /// What was done.
  package struct Report: Sendable {
    /// Archives made by this run, and those that were there already.
    package var made = 0
    package var kept = 0
    /// Of all archives.
    package var bytes = 0
  }

  private struct Job: Sendable {
    var plan: PackPlan
    var archive: Int
    var name: String { plan.fileName(of: archive) }
  }

  private let output: String
  private let options: PackOptions
  private let manifest: PackManifest
  private let plans: [PackPlan]
  private let classNames: [String]

  /// Plans everything; nothing is written.
  ///
  /// - Parameters:
  ///   - sourceName: for the record.
  ///   - output: a directory that exists.
  package init(
    source: DataSource, sourceName: String, output: String, options: PackOptions
  ) throws(DataError) {
    (self.output, self.options) = (output, options)
    var plans: [PackPlan] = []
    for split in source.splits { plans.append(try PackPlan(split, options)) }
    classNames = try Self.classNames(source)
    let isEncoded = source.splits.contains { $0.dataset.form == .encoded }
    let made = options.jpegQuality.map { "JPEG, quality \($0)" } ?? "PNG"
    guard !isEncoded || options.jpegQuality == nil else {
      throw DataError(
        .configuration, "the images are files already and are packed as they are; leave out --jpeg")
    }
    manifest = PackManifest(
      source: sourceName, images: isEncoded ? "as stored" : made, shuffle: options.shuffle,
      classes: classNames.count,
      splits: plans.map {
        PackManifest.Split(
          name: $0.split, samples: $0.dataset.count, archives: $0.archiveCount,
          plan_sha256: $0.digest, data: $0.dataset.fingerprint)
      })
    self.plans = plans
    for split in source.splits { try requireOutside(split.dataset) }
  }

  /// A directory among those of the classes would be one more class.
  private func requireOutside(_ dataset: any Dataset) throws(DataError) {
    guard let directory = dataset.directory, dataset.origin(of: 0)?.ending.isEmpty == false,
      let root = Self.absolute(directory)
    else { return }
    var ancestor = output
    while Self.absolute(ancestor) == nil {
      guard let slash = ancestor.lastIndex(of: "/") else {
        ancestor = "."
        break
      }
      ancestor = slash == ancestor.startIndex ? "/" : String(ancestor[..<slash])
    }
    guard let place = Self.absolute(ancestor), (place + "/").hasPrefix(root + "/") else { return }
    throw DataError(
      .cannotCreate, "\(output): lies among the images in \(directory); choose another --output")
  }

  private static func absolute(_ path: String) -> String? {
    IndexPlace.absolute(Array(path.utf8)).map(RegularFile.text)
  }

  package var samples: Int { splits.reduce(0) { $0 + $1.samples } }
  package var splits: [(name: String, samples: Int, archives: Int)] {
    plans.map { ($0.split, $0.dataset.count, $0.archiveCount) }
  }

  /// Names by label; numbers, whose byte order is theirs, where classes have no names.
  private static func classNames(_ source: DataSource) throws(DataError) -> [String] {
    let named = source.splits.map(\.dataset.classNames).first { !$0.isEmpty }
    let count = source.splits.map(\.dataset.classes).max() ?? 0
    let digits = String(max(0, count - 1)).count
    let names = named ?? (0..<count).map { PackPlan.padded($0, digits: digits) }
    for name in names {
      let bytes = Array(name.utf8)
      guard !bytes.isEmpty, !bytes.contains(UInt8(ascii: "\n")), bytes.last != 13,
        !name.unicodeScalars.contains("\u{FFFD}")
      else {
        throw DataError(
          .malformed,
          "the class '\(name)' cannot stand in a line of classes.txt (a line end, or not UTF-8); "
            + "rename its directory")
      }
    }
    return names
  }

  /// Throws where `output` holds what was not packed from the same data in the same way.
  package func requireFits() throws(DataError) {
    var isOurs = false
    for name in [PackManifest.finishedName, PackManifest.unfinishedName] {
      guard let other = try PackManifest.read("\(output)/\(name)") else { continue }
      if let difference = manifest.difference(from: other) {
        throw DataError(
          .cannotCreate,
          "\(output): holds what was packed from \(other.source) (\(difference)); choose another "
            + "--output, or remove it")
      }
      isOurs = true
    }
    if isOurs {
      _ = try hasClasses()
      return
    }
    let foreign = try entries().first {
      // A lock, and what a run that was killed at its very beginning leaves.
      $0 != ".lock" && !$0.hasPrefix(".\(PackManifest.unfinishedName).")
    }
    if let foreign {
      throw DataError(
        .cannotCreate,
        "\(output): holds '\(foreign)', which is not of a pack; choose another --output")
    }
  }

  private func entries() throws(DataError) -> [String] {
    guard let stream = opendir(output) else {
      throw PendingFile.error("cannot be listed", output, errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        RegularFile.text(Array($0.prefix { $0 != 0 }))
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  // MARK: - Running

  /// Makes what is not there yet. The caller sees to it that no other run does the same.
  ///
  /// - Parameter watching: called now and then on this thread, with what this run has to do and has
  ///   done.
  package func run(
    watching: (_ done: State, _ samples: Int) -> Void
  ) throws(DataError) -> Report {
    try requireFits()
    let jobs = plans.flatMap { plan in
      (0..<plan.archiveCount).map { Job(plan: plan, archive: $0) }
    }
    let finished = "\(output)/\(PackManifest.finishedName)"
    let unfinished = "\(output)/\(PackManifest.unfinishedName)"
    // Both are there where somebody has copied one: what it says is checked, then one is made of them.
    var isFinished = access(finished, F_OK) == 0 && access(unfinished, F_OK) != 0
    var open: [Job] = []
    for job in jobs where try !isThere(job) { open.append(job) }
    let hasClasses = try hasClasses()
    if isFinished, !(open.isEmpty && hasClasses) {
      guard rename(finished, unfinished) == 0 else {
        throw PendingFile.error("cannot be renamed", finished, errno)
      }
      try PendingFile.synchronise(output)
      isFinished = false
    }
    if !isFinished {
      try PendingFile.write(
        manifest.bytes(), directory: output, name: PackManifest.unfinishedName)
    }
    try removeTemporaries(jobs)
    if !hasClasses {
      try PendingFile.write(classList, directory: output, name: Self.classFile)
    }
    try make(open, watching)
    if !isFinished {
      guard rename(unfinished, finished) == 0 else {
        throw PendingFile.error("cannot be renamed", finished, errno)
      }
      try PendingFile.synchronise(output)
    }
    return Report(
      made: open.count, kept: jobs.count - open.count, bytes: try bytes(of: jobs))
  }

  private var classList: [UInt8] { classNames.flatMap { Array($0.utf8) + [UInt8(ascii: "\n")] } }

  private static let classFile = "classes.txt"

  /// Whether the list of classes is there; throws where it is another: somebody has edited it.
  private func hasClasses() throws(DataError) -> Bool {
    let path = "\(output)/\(Self.classFile)"
    var status = stat()
    // A link that leads nowhere is something too.
    guard lstat(path, &status) == 0 else { return false }
    let file = try RegularFile(path: path)
    let buffer = ByteBuffer()
    if file.size == classList.count {
      try file.read(at: 0, count: file.size, into: buffer)
      if buffer.all.elementsEqual(classList) { return true }
    }
    throw DataError(
      .cannotCreate,
      "\(path): does not list the classes of the images as they are packed; remove it, or choose "
        + "another --output")
  }

  private func bytes(of jobs: [Job]) throws(DataError) -> Int {
    var sum = 0
    for job in jobs { sum += try RegularFile(path: "\(output)/\(job.name)").size }
    return sum
  }

  /// Removes what a run which was killed could not: files on their way to the names of this pack.
  private func removeTemporaries(_ jobs: [Job]) throws(DataError) {
    var names = Set([Self.classFile, PackManifest.unfinishedName])
    for job in jobs { names.formUnion([job.name, ".\(job.name).repvgg-index"]) }
    for name in try entries() {
      guard let planned = Self.plannedName(ofTemporary: name), names.contains(planned) else {
        continue
      }
      guard unlink("\(output)/\(name)") == 0 || errno == ENOENT else {
        throw PendingFile.error("cannot be removed", "\(output)/\(name)", errno)
      }
    }
  }

  /// What a temporary was to be called: `a.tar` of `.a.tar.123.tmp`, and `.a.tar.repvgg-index` of
  /// `.a.tar.repvgg-index.45.123.tmp`; nil for any other name.
  private static func plannedName(ofTemporary name: String) -> String? {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 3, parts[0].isEmpty, parts.last == "tmp",
      UInt64(parts[parts.count - 2]) != nil
    else { return nil }
    parts.removeLast(2)
    if UInt64(parts[parts.count - 1]) != nil, parts[parts.count - 2] == "repvgg-index" {
      parts.removeLast()
      return parts.joined(separator: ".")
    }
    return parts.dropFirst().joined(separator: ".")
  }

  private func make(
    _ jobs: [Job], _ watching: (_ done: State, _ samples: Int) -> Void
  ) throws(DataError) {
    let done = Done()
    let samples = jobs.reduce(0) { $0 + $1.plan.positions(of: $1.archive).count }
    try ParallelWork.run(
      jobs.count, threads: options.threads,
      watching: { watching(done.state.withLock { $0 }, samples) },
      scratch: { ArchiveWriter(jpegQuality: options.jpegQuality) }
    ) { item, writer, work throws(DataError) in
      let job = jobs[item]
      let file = try PendingFile(directory: output, name: job.name)
      for position in job.plan.positions(of: job.archive) {
        guard !work.isStopped else { return }
        let bytes = try writer.append(job.plan, position, to: file)
        done.state.withLock {
          $0.samples += 1
          $0.bytes += bytes
        }
      }
      try finish(file, job)
    }
  }

  /// What the threads have done.
  private final class Done: Sendable {
    let state = Mutex(State())
  }

  /// Ends an archive, reads it back, gives it its name and puts its index beside it.
  private func finish(_ file: PendingFile, _ job: Job) throws(DataError) {
    try file.append(TarHeader.end)
    try file.seal()
    let archive = try RegularFile(path: file.temporary)
    let content = try TarIndex.content(archive)
    guard let index = IndexFile(content: content).flatMap({ TarIndex($0, of: archive) }),
      isOf(job, index, archive)
    else { throw DataError(.io, "\(file.path): what is read back is not what was written") }
    try file.publish()
    _ = IndexPlace(subject: Array(file.path.utf8)).write(content, kind: TarIndex.kind)
  }

  // MARK: - What is there

  /// Whether an archive is there and fits, by its index; one that has none gets one.
  private func isThere(_ job: Job) throws(DataError) -> Bool {
    let path = "\(output)/\(job.name)"
    var status = stat()
    guard lstat(path, &status) == 0 else { return false }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw DataError(.cannotCreate, "\(path): is not a regular file; remove it")
    }
    let archive = try RegularFile(path: path)
    let place = IndexPlace(subject: archive.path)
    if let index = place.read(kind: TarIndex.kind, { TarIndex($0, of: archive) }) {
      return isOf(job, index, archive)
    }
    guard let content = try? TarIndex.content(archive),
      let index = IndexFile(content: content).flatMap({ TarIndex($0, of: archive) }),
      isOf(job, index, archive)
    else { return false }
    _ = place.write(content, kind: TarIndex.kind)
    return true
  }

  /// Whether an archive holds the samples that were planned for it, and nothing else.
  private func isOf(_ job: Job, _ index: TarIndex, _ archive: RegularFile) -> Bool {
    let (plan, positions) = (job.plan, job.plan.positions(of: job.archive))
    guard index.count == positions.count else { return false }
    var bytes = TarHeader.end.count
    for (member, position) in positions.enumerated() {
      let sample = plan.sample(at: position)
      let names = plan.names(of: sample)
      let size = index.place(of: member).size
      guard index.key(of: member) == names.stem,
        index.label(of: member) == plan.dataset.label(of: sample),
        plan.dataset.origin(of: sample).map({ $0.size == size }) ?? true
      else { return false }
      bytes += names.bytes(imageSize: size)
    }
    return bytes == archive.size
  }
}
