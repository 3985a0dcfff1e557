import Tensors

/// Images made from a seed: one smooth random pattern a class, shown at half its contrast under
/// noise. For benchmarks and tests; a small network learns it in a few dozen steps.
///
/// Integer arithmetic throughout, so that the same seed gives the same bytes on every CPU.
package struct SyntheticDataset: Dataset {
  /// Which samples: both splits show the same patterns under other noise.
  package enum Split: Int, Sendable { case train = 1, test = 2 }

  package let count: Int
  private let channels: Int
  private let height: Int
  private let width: Int
  private let split: Split
  private let seed: UInt64
  private let classCount: Int
  /// Coarse random grids whose interpolations are the patterns, [class, row, column, channel].
  private let grids: [UInt8]

  private static let gridSide = 4
  /// Epoch number under which grids are drawn; the splits' raw values follow it.
  private static let gridDraw = 0

  package init(
    count: Int, classes: Int, channels: Int, height: Int, width: Int, seed: UInt64,
    split: Split = .train
  ) throws(DataError) {
    guard count > 0, (1...65536).contains(classes), (1...16).contains(channels),
      (1...4096).contains(height), (1...4096).contains(width)
    else {
      throw DataError(
        .configuration,
        "synthetic data of \(count) images, \(height) x \(width) x \(channels), \(classes) classes: "
          + "numbers must be positive, sides at most 4096, channels 16, classes 65536")
    }
    (self.count, self.channels, self.height, self.width) = (count, channels, height, width)
    (self.seed, self.split) = (seed, split)
    classCount = classes
    grids = (0..<classes).flatMap { label in
      var random = CounterRandom(
        seed: seed, epoch: Self.gridDraw, sample: label, purpose: .synthetic)
      return (0..<Self.gridSide * Self.gridSide * channels).map { _ in
        UInt8(random.next() >> 24)
      }
    }
  }

  package var form: StoredForm { .pixels(height: height, width: width, channels: channels) }

  package var classes: Int { min(classCount, count) }

  package var fingerprint: String {
    "synthetic \(split) \(count) x \(height) x \(width) x \(channels), \(classCount) classes, seed \(seed)"
  }

  package func label(of sample: Int) -> Int { sample % classCount }

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    precondition(sample >= 0 && sample < count, "sample outside its dataset")
    bytes.reserve(height * width * channels)
    let pixels = bytes.all.assumingMemoryBound(to: UInt8.self)
    var noise = CounterRandom(
      seed: seed, epoch: split.rawValue, sample: sample, purpose: .synthetic)
    let nodes = Self.gridSide * channels
    let grid = label(of: sample) * Self.gridSide * nodes
    withUnsafeTemporaryAllocation(of: Int.self, capacity: nodes) { line in
      var index = 0
      var draws: UInt32 = 0
      for row in 0..<height {
        let (top, down) = Self.cell(row, of: height)
        for node in 0..<nodes {
          let upper = Int(grids[grid + top * nodes + node])
          let lower = Int(grids[grid + (top + 1) * nodes + node])
          line[node] = upper * (65536 - down) + lower * down
        }
        for column in 0..<width {
          let (left, across) = Self.cell(column, of: width)
          for node in left * channels..<(left + 1) * channels {
            let pattern = (line[node] * (65536 - across) + line[node + channels] * across) >> 32
            draws = index % 4 == 0 ? noise.next() : draws >> 8
            pixels[index] = UInt8((pattern + Int(draws & 0xff)) / 2)
            index += 1
          }
        }
      }
    }
  }

  package func name(of sample: Int) -> String { "synthetic \(split)[\(sample)]" }

  /// The grid node before a pixel and the way to the next one, 0…65536 (16.16 fixed point).
  private static func cell(_ pixel: Int, of size: Int) -> (before: Int, way: Int) {
    let position = pixel * (gridSide - 1) * 65536 / max(1, size - 1)
    let before = min(position >> 16, gridSide - 2)
    return (before, position - (before << 16))
  }
}
