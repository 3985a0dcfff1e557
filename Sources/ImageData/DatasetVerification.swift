import Glibc
import Images
import Synchronization
import Tensors

/// Decodes every image of a data set and counts what there is.
package struct DatasetVerification: Sendable {
  /// A sample of one of the splits, by their order.
  package struct Place: Sendable, Equatable {
    package var split: Int
    package var sample: Int
  }

  package struct Damage: Sendable {
    package var place: Place
    package var reason: String
  }

  package struct Size: Sendable, Equatable {
    package var width: Int
    package var height: Int
    package var sample: Int
    var pixels: Int { width * height }
  }

  /// What one split holds. Sizes and formats are those of the images that could be decoded.
  package struct Split: Sendable {
    package var name = ""
    package var samples = 0
    /// By label.
    package var perClass: [Int] = []
    package var bytes = 0
    /// By pixels; nil where nothing could be decoded.
    package var smallest: Size?
    package var largest: Size?
    package var jpegs = 0
    package var pngs = 0
    /// Images that their EXIF data turns or mirrors.
    package var turned = 0
    package var damaged = 0
  }

  /// Samples whose stored bytes are the same.
  package struct Duplicates: Sendable {
    package var places: [Place]
    /// Whether the images of one split are also in another.
    package var crossesSplits: Bool
    package var labelsDiffer: Bool
  }

  package struct Report: Sendable {
    package var splits: [Split] = []
    /// All of them, in order; reasons are kept of the first `keptReasons`.
    package var damage: [Damage] = []
    /// In the order of their first samples.
    package var duplicates: [Duplicates] = []
    package var damaged: Int { damage.count }
  }

  /// So many reasons are kept, so that a wholly broken data set needs no more memory than a good one.
  package static let keptReasons = 10_000
  /// Samples that a thread takes at a time.
  private static let chunk = 32
  private static let digestSize = 32

  package let source: DataSource
  private let threads: Int

  package init(_ source: DataSource, threads: Int) {
    (self.source, self.threads) = (source, threads)
  }

  package var samples: Int { source.splits.reduce(0) { $0 + $1.dataset.count } }

  /// Looks at everything. Keeps 32 bytes a sample, and needs up to 70 while it looks for duplicates.
  ///
  /// - Parameter watching: called now and then on this thread with the samples and bytes done.
  /// - Throws: where the system lends no thread or memory or fails to read, which says nothing of the
  ///   image; damage is reported, and so is a file that is gone, short or not to be read by this user.
  package func run(
    watching: (_ samples: Int, _ bytes: Int) -> Void
  ) throws(DataError) -> Report {
    var report = Report()
    var (digests, unread) = ([UInt8](), Set<Int>())
    var (samples, bytes) = (0, 0)
    for (number, split) in source.splits.enumerated() {
      let tally = Tally(
        split, number: number, reasons: max(0, Self.keptReasons - report.damage.count))
      try ParallelWork.run(
        (split.dataset.count + Self.chunk - 1) / Self.chunk, threads: threads,
        watching: {
          let done = tally.state.withLock { ($0.done, $0.split.bytes) }
          watching(samples + done.0, bytes + done.1)
        }, scratch: { SampleCheck(split.dataset) }
      ) { item, check, _ throws(DataError) in
        let first = item * Self.chunk
        for sample in first..<min(split.dataset.count, first + Self.chunk) {
          tally.add(try check.outcome(of: sample), sample: sample)
        }
      }
      var state = tally.state.withLock { $0 }
      report.splits.append(state.split)
      state.dropReasons()
      report.damage += state.damage
      unread.formUnion(state.unread.map { $0 + samples })
      digests += state.digests
      samples += split.dataset.count
      bytes += state.split.bytes
    }
    report.duplicates = duplicates(digests, without: unread)
    return report
  }

  // MARK: - Duplicates

  private func place(_ number: Int) -> Place {
    var rest = number
    for (split, source) in source.splits.enumerated() {
      if rest < source.dataset.count { return Place(split: split, sample: rest) }
      rest -= source.dataset.count
    }
    preconditionFailure("a sample behind the last split")
  }

  private func label(_ place: Place) -> Int {
    source.splits[place.split].dataset.label(of: place.sample)
  }

  private func duplicates(_ digests: [UInt8], without unread: Set<Int>) -> [Duplicates] {
    var groups: [[Int]] = []
    digests.withUnsafeBytes { digests in
      func order(_ first: UInt32, _ second: UInt32) -> Int {
        guard let base = digests.baseAddress else { return 0 }
        let size = Self.digestSize
        return Int(memcmp(base + Int(first) * size, base + Int(second) * size, size))
      }
      var numbers = (0..<UInt32(digests.count / Self.digestSize)).filter {
        !unread.contains(Int($0))
      }
      numbers.sort { first, second in
        let order = order(first, second)
        return order == 0 ? first < second : order < 0
      }
      var start = 0
      for end in 1..<max(1, numbers.count + 1) {
        if end < numbers.count, order(numbers[start], numbers[end]) == 0 { continue }
        if end - start > 1 { groups.append(numbers[start..<end].map { Int($0) }) }
        start = end
      }
    }
    return groups.sorted { $0[0] < $1[0] }.map { group in
      let places = group.map(place)
      return Duplicates(
        places: places, crossesSplits: places.contains { $0.split != places[0].split },
        labelsDiffer: places.contains { label($0) != label(places[0]) })
    }
  }
}

/// What threads have found in one split.
private final class Tally: Sendable {
  struct State {
    var split = DatasetVerification.Split()
    var done = 0
    var damage: [DatasetVerification.Damage] = []
    /// 32 bytes a sample.
    var digests: [UInt8]
    /// Samples without a digest.
    var unread: Set<Int> = []
    /// How many reasons are kept: of the first samples, whichever thread comes to them first.
    var reasons: Int
    var keptReasons = 0

    mutating func add(_ damaged: DatasetVerification.Damage) {
      damage.append(damaged)
      keptReasons += 1
      // Now and then, so that sorting costs little beside decoding.
      if keptReasons >= 2 * reasons + 1_000 { dropReasons() }
    }

    /// Brings the damage in order and drops the reasons beyond those that are kept.
    mutating func dropReasons() {
      damage.sort { $0.place.sample < $1.place.sample }
      for index in damage.indices.dropFirst(reasons) { damage[index].reason = "" }
      keptReasons = min(reasons, damage.count)
    }
  }

  let state: Mutex<State>
  private let labels: @Sendable (Int) -> Int
  private let number: Int

  init(_ source: DataSource.Split, number: Int, reasons: Int) {
    let dataset = source.dataset
    labels = { dataset.label(of: $0) }
    self.number = number
    var state = State(
      digests: [UInt8](repeating: 0, count: dataset.count * 32), reasons: reasons)
    state.split.name = source.name
    state.split.samples = dataset.count
    state.split.perClass = [Int](repeating: 0, count: dataset.classes)
    self.state = Mutex(state)
  }

  func add(_ outcome: SampleCheck.Outcome, sample: Int) {
    let label = labels(sample)
    state.withLock { state in
      state.done += 1
      state.split.perClass[label] += 1
      state.split.bytes += outcome.bytes
      if let digest = outcome.digest {
        state.digests.replaceSubrange(sample * 32..<(sample + 1) * 32, with: digest)
      } else {
        state.unread.insert(sample)
      }
      switch outcome.result {
      case .good(let header): Self.add(header, sample, to: &state.split)
      case .damaged(let reason):
        state.split.damaged += 1
        state.add(.init(place: .init(split: number, sample: sample), reason: reason))
      }
    }
  }

  private static func add(
    _ header: SampleCheck.Header, _ sample: Int, to split: inout DatasetVerification.Split
  ) {
    let size = DatasetVerification.Size(
      width: header.width, height: header.height, sample: sample)
    // Of several the first: what is said does not depend on threads.
    func isBefore(_ old: DatasetVerification.Size?, _ precedes: (Int, Int) -> Bool) -> Bool {
      guard let old else { return true }
      return old.pixels == size.pixels
        ? size.sample < old.sample : precedes(size.pixels, old.pixels)
    }
    if isBefore(split.smallest, <) { split.smallest = size }
    if isBefore(split.largest, >) { split.largest = size }
    switch header.format {
    case .jpeg: split.jpegs += 1
    case .png: split.pngs += 1
    case nil: break
    }
    if header.isTurned { split.turned += 1 }
  }
}

/// Reads and decodes samples, one after the other. Belongs to one thread.
private final class SampleCheck {
  struct Header {
    var width: Int
    var height: Int
    /// nil for stored pixels.
    var format: ImageFormat?
    var isTurned = false
  }

  struct Outcome {
    enum Result {
      case good(Header)
      case damaged(String)
    }
    var result: Result
    /// SHA-256 of what is stored; nil where it cannot be read.
    var digest: [UInt8]?
    var bytes = 0
  }

  private let dataset: any Dataset
  private let stored = ByteBuffer()
  private let decoder = ImageDecoder()
  private let image = PixelBuffer()

  init(_ dataset: any Dataset) { self.dataset = dataset }

  /// - Throws: where the system lends no memory or fails to read.
  func outcome(of sample: Int) throws(DataError) -> Outcome {
    do throws(DataError) {
      try dataset.read(sample, into: stored)
    } catch  where error.kind == .io {
      throw error
    } catch {
      return Outcome(result: .damaged(withoutName(error.message, sample)))
    }
    let bytes = UnsafeRawBufferPointer(stored.all)
    var digest = SHA256Digest()
    digest.update(bytes)
    var outcome = Outcome(
      result: .damaged(""), digest: digest.finishBytes(), bytes: bytes.count)
    if case .pixels(let height, let width, _) = dataset.form {
      outcome.result = .good(Header(width: width, height: height))
      return outcome
    }
    do throws(ImageError) {
      let header = try decoder.header(of: bytes)
      try decoder.decode(bytes, channels: 3, into: image)
      outcome.result = .good(
        Header(
          width: header.width, height: header.height, format: header.format,
          isTurned: header.orientation != 1))
    } catch {
      guard error.kind != .memory else {
        throw DataError(.io, "\(dataset.name(of: sample)): \(error)")
      }
      outcome.result = .damaged(error.message)
    }
    return outcome
  }

  /// A message of the reader begins with the name, which is shown beside the reason anyway.
  private func withoutName(_ message: String, _ sample: Int) -> String {
    let start = dataset.name(of: sample) + ": "
    return message.hasPrefix(start) ? String(message.dropFirst(start.count)) : message
  }
}
