import RunPlanning
import Tensors

/// How images are packed.
package struct PackOptions: Sendable {
  /// Archives of each split; nil: as `archiveBytes` says.
  package var archives: Int?
  /// An archive is not made larger, unless a single sample is.
  package var archiveBytes = 1 << 30
  /// Seed of the order in which samples are packed; nil: as the data set has them.
  package var shuffle: Int?
  /// Stored pixels become JPEGs of this quality; nil: PNGs.
  package var jpegQuality: Int?
  package var threads = 1

  package init() {}
}

/// Which samples of one split go into which archive, and under which names: a function of the data
/// set and the options alone.
struct PackPlan: Sendable {
  /// `train` or `val`.
  let split: String
  let dataset: any Dataset
  /// First position of every archive, and behind the last one the number of samples.
  private(set) var starts: [Int] = []
  /// SHA-256 over names, labels, sizes and times of the samples, in order, and the cuts.
  private(set) var digest = ""
  private let order: [UInt32]?
  private let encoding: String
  private let labelDigits: Int
  private let sampleDigits: Int

  /// A sample as it will be in an archive: `<stem>.<ending>` and `<stem>.cls`.
  struct Names {
    var stem: [UInt8]
    /// Empty: what the content says.
    var ending: [UInt8]
    var label: [UInt8]

    /// Bytes that the sample takes in an archive.
    func bytes(imageSize: Int) -> Int {
      // The endings that are not known yet have three letters.
      let image = member(ending.isEmpty ? Array("jpg".utf8) : ending)
      return TarHeader.count(name: image) + imageSize + TarHeader.padding(imageSize)
        + TarHeader.count(name: member("cls".utf8)) + TarHeader.block
    }

    func member(_ ending: some Sequence<UInt8>) -> [UInt8] {
      stem + [UInt8(ascii: ".")] + ending
    }
  }

  init(_ source: DataSource.Split, _ options: PackOptions) throws(DataError) {
    (split, dataset) = (source.name, source.dataset)
    let count = dataset.count
    labelDigits = String(max(0, dataset.classes - 1)).count
    sampleDigits = String(max(0, count - 1)).count
    encoding = options.jpegQuality == nil ? "png" : "jpg"
    order = options.shuffle.map { Self.shuffled(count, seed: UInt64($0)) }
    (starts, digest) = try walk(options)
  }

  /// Durstenfeld's shuffle; its random numbers are none that a training's epochs use.
  private static func shuffled(_ count: Int, seed: UInt64) -> [UInt32] {
    var order = (0..<count).map { UInt32($0) }
    var random = CounterRandom(seed: seed, epoch: (1 << 32) - 1, sample: 0, purpose: .shuffle)
    for last in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(last, random.next(below: last + 1))
    }
    return order
  }

  var archiveCount: Int { starts.count - 1 }
  func positions(of archive: Int) -> Range<Int> { starts[archive]..<starts[archive + 1] }
  func sample(at position: Int) -> Int { order.map { Int($0[position]) } ?? position }

  /// `train-000003.tar`.
  func fileName(of archive: Int) -> String { "\(split)-\(Self.padded(archive, digits: 6)).tar" }

  static func padded(_ number: Int, digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  func names(of sample: Int) -> Names {
    let label = dataset.label(of: sample)
    return names(of: sample, dataset.origin(of: sample), label: label)
  }

  private func names(of sample: Int, _ origin: SampleOrigin?, label: Int) -> Names {
    let digits = Array(String(label).utf8)
    guard let origin else {
      let stem =
        "\(Self.padded(label, digits: labelDigits))/\(Self.padded(sample, digits: sampleDigits))"
      return Names(stem: Array(stem.utf8), ending: Array(encoding.utf8), label: digits)
    }
    return Names(
      stem: Self.withoutDots(origin.stem), ending: origin.ending, label: digits)
  }

  /// A key ends at the first dot behind the last slash, so that further ones are written `%2E`.
  private static func withoutDots(_ stem: [UInt8]) -> [UInt8] {
    let name = (stem.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1
    guard stem[name...].contains(UInt8(ascii: ".")) else { return stem }
    return stem[..<name]
      + stem[name...].flatMap { $0 == UInt8(ascii: ".") ? Array("%2E".utf8) : [$0] }
  }

  // MARK: - Making one

  private func walk(_ options: PackOptions) throws(DataError) -> (starts: [Int], digest: String) {
    var (starts, size) = ([0], 0)
    var digest = SHA256Digest()
    func add(_ bytes: [UInt8], to digest: inout SHA256Digest) {
      withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { digest.update($0) }
      bytes.withUnsafeBytes { digest.update($0) }
    }
    var keys: [(hash: Int, sample: UInt32)] = []
    keys.reserveCapacity(dataset.count)
    for position in 0..<dataset.count {
      let sample = sample(at: position)
      let origin = dataset.origin(of: sample)
      let names = names(of: sample, origin, label: dataset.label(of: sample))
      try check(names, sample)
      keys.append((names.stem.hashValue, UInt32(sample)))
      for part in [names.stem, names.ending, names.label] { add(part, to: &digest) }
      withUnsafeBytes(of: (origin?.size ?? 0, origin?.modified ?? 0)) { digest.update($0) }
      let bytes = names.bytes(imageSize: origin?.size ?? pixelBytes)
      if options.archives == nil, size > 0,
        size + bytes + TarHeader.end.count > options.archiveBytes
      {
        starts.append(position)
        size = 0
      }
      size += bytes
    }
    try requireDistinct(keys)
    if let archives = options.archives {
      let cut = EvenCut(dataset.count, into: min(archives, dataset.count))
      starts = (0..<min(archives, dataset.count)).map { cut[$0].lowerBound }
    }
    starts.append(dataset.count)
    starts.withUnsafeBytes { digest.update($0) }
    return (starts, digest.finish())
  }

  /// Of an image that is stored as pixels.
  private var pixelBytes: Int {
    guard case .pixels(let height, let width, let channels) = dataset.form else { return 0 }
    return height * width * channels
  }

  private func check(_ names: Names, _ sample: Int) throws(DataError) {
    guard names.stem.count <= 4000 else {
      throw DataError(
        .malformed, "\(dataset.name(of: sample)): the name is too long for an archive")
    }
  }

  private func requireDistinct(_ keys: [(hash: Int, sample: UInt32)]) throws(DataError) {
    let sorted = keys.sorted { $0.hash < $1.hash }
    for (first, second) in zip(sorted, sorted.dropFirst()) where first.hash == second.hash {
      let (one, other) = (Int(first.sample), Int(second.sample))
      guard names(of: one).stem == names(of: other).stem else { continue }
      throw DataError(
        .malformed,
        "\(dataset.name(of: one)): its name in an archive would be that of "
          + "\(dataset.name(of: other)); rename one of them")
    }
  }
}
