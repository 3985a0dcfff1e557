import Glibc
import ImageData
import RunPlanning
import Synchronization
import Testing

/// A small dataset that fails at one sample, counts what it decodes, and can hold its decoder up.
private struct ProbeDataset: Dataset {
  let count: Int
  var failing = -1
  var damaged: Set<Int> = []
  let classes = 10
  let form = StoredForm.pixels(height: 4, width: 4, channels: 1)
  let fingerprint = "probe"
  let decoded = Counter()

  final class Counter: Sendable {
    let value = Atomic(0)
  }

  func label(of sample: Int) -> Int { sample % 10 }

  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    bytes.reserve(16)
    let pixels = bytes.all
    if sample == failing || damaged.contains(sample) {
      throw DataError(.malformed, "\(name(of: sample)): damaged")
    }
    for index in 0..<16 { pixels[index] = UInt8(truncatingIfNeeded: sample &* 31 &+ index) }
    decoded.value.add(1, ordering: .relaxed)
  }

  func name(of sample: Int) -> String { "probe[\(sample)]" }
}

/// What a batch said, kept beyond its buffers' life.
private struct Record: Equatable {
  var epoch: Int
  var step: Int
  var shard: Int
  var samples: [Int]
  var labels: [Int32]
  var pixels: [Float]
}

@Suite(.timeLimit(.minutes(1))) struct BatchLoaderTests {
  private func loader(
    _ dataset: ProbeDataset, globalBatch: Int = 32, owned: Range<Int> = 0..<8, depth: Int = 2,
    threads: Int = 1, replacing: RunConfig.Damaged = .fail, startEpoch: Int = 0, startStep: Int = 0,
    epochs: Int = 2
  ) throws -> BatchLoader {
    let plan = ShardPlan(
      sampleCount: dataset.count, globalBatch: globalBatch, shards: 8, seed: 6, shuffle: true)
    let transform = try SampleTransform(
      height: 4, width: 4, resolution: 6, mean: [0.3], deviation: [0.4], seed: 6
    ) { ($0.cropPadding, $0.horizontalFlip) = (2, true) }
    return try BatchLoader(
      dataset: dataset, plan: plan, ownedShards: owned, transform: transform, depth: depth,
      threads: threads, damaged: replacing, startEpoch: startEpoch, startStep: startStep,
      epochs: epochs)
  }

  private func records(
    _ loader: BatchLoader, atMost limit: Int = .max, elements: (_ epoch: Int) -> Int = { _ in 36 }
  ) throws -> [Record] {
    var records: [Record] = []
    var count = 0
    while count < limit, let batch = try loader.next() {
      count += 1
      for shard in batch.shards {
        #expect(UInt(bitPattern: shard.pixels) % 64 == 0)
        let pixels = UnsafeBufferPointer(
          start: shard.pixels, count: shard.count * elements(batch.epoch))
        records.append(
          Record(
            epoch: batch.epoch, step: batch.step, shard: shard.shard, samples: shard.samples,
            labels: shard.labels, pixels: Array(pixels)))
      }
    }
    return records
  }

  @Test(arguments: [1, 31, 32, 33, 37, 100]) func everySampleOnceAnEpoch(count: Int) throws {
    let records = try records(loader(ProbeDataset(count: count)))
    for epoch in 0..<2 {
      let samples = records.filter { $0.epoch == epoch }.flatMap(\.samples)
      #expect(samples.sorted() == Array(0..<count))
    }
    #expect(records.count == 2 * 8 * ((count + 31) / 32))
    for record in records { #expect(record.labels == record.samples.map { Int32($0 % 10) }) }
  }

  @Test(arguments: 1...8) func worldSizeChangesNothing(ranks: Int) throws {
    let dataset = ProbeDataset(count: 77)
    let expected = try records(loader(dataset))
    let together = try (0..<ranks).flatMap { rank in
      try records(loader(dataset, owned: EvenCut(8, into: ranks)[rank]))
    }
    let sorted = together.sorted { ($0.epoch, $0.step, $0.shard) < ($1.epoch, $1.step, $1.shard) }
    #expect(sorted == expected)
  }

  /// Samples fewer than ranks, than shards, than a batch, and with every remainder from 0 to 8.
  @Test(arguments: 1...8) func everyRemainder(ranks: Int) throws {
    for count in Array(1...18) + [24, 25, 31, 32, 33, 40, 41, 47] {
      let dataset = ProbeDataset(count: count)
      let parts = try (0..<ranks).map { rank in
        try records(
          loader(dataset, globalBatch: 16, owned: EvenCut(8, into: ranks)[rank], depth: 1))
      }
      for epoch in 0..<2 {
        let samples = parts.joined().filter { $0.epoch == epoch }.flatMap(\.samples)
        #expect(samples.sorted() == Array(0..<count), "\(count) samples on \(ranks) ranks")
      }
      // Every rank takes part in every step, with or without samples.
      let steps = 2 * ((count + 15) / 16)
      for (rank, part) in parts.enumerated() {
        #expect(part.count == steps * EvenCut(8, into: ranks)[rank].count)
      }
    }
  }

  @Test(arguments: [1, 2, 5, 40]) func depthChangesNothing(depth: Int) throws {
    let dataset = ProbeDataset(count: 77)
    #expect(try records(loader(dataset, depth: depth)) == records(loader(dataset, depth: 3)))
  }

  @Test(arguments: [2, 3, 8]) func threadsChangeNothing(threads: Int) throws {
    let dataset = ProbeDataset(count: 777)
    #expect(
      try records(loader(dataset, globalBatch: 256, threads: threads))
        == records(loader(dataset, globalBatch: 256)))
  }

  @Test func damagedSamplesAreReplacedAndNamed() throws {
    var dataset = ProbeDataset(count: 96)
    dataset.damaged = [5, 6, 70]
    let loader = try loader(dataset, threads: 3, replacing: .replace, epochs: 1)
    var named: [String] = []
    while let batch = try loader.next() {
      named += batch.replaced.map(\.message)
      for shard in batch.shards {
        let bad = shard.samples.indices.filter { dataset.damaged.contains(shard.samples[$0]) }
        for index in bad {
          // The next good sample of the shard, its label and its pixels.
          let order = (1..<shard.count).map { shard.samples[(index + $0) % shard.count] }
          let good = try #require(order.first { !dataset.damaged.contains($0) })
          let place = try #require(shard.samples.firstIndex(of: good))
          #expect(shard.labels[index] == Int32(good % 10))
          for value in 0..<36 {
            #expect(shard.pixels[index * 36 + value] == shard.pixels[place * 36 + value])
          }
        }
      }
    }
    #expect(named.sorted() == ["probe[5]: damaged", "probe[6]: damaged", "probe[70]: damaged"])
  }

  @Test func resumeGivesWhatWouldHaveCome() throws {
    let dataset = ProbeDataset(count: 77)
    let all = try records(loader(dataset, epochs: 3))
    for done in 0...9 {
      let resumed = try records(
        loader(dataset, startEpoch: done / 3, startStep: done % 3, epochs: 3))
      #expect(resumed == Array(all[(8 * done)...]))
    }
    // The step behind an epoch's last one is the next epoch's first.
    let seam = try records(loader(dataset, startEpoch: 0, startStep: 3, epochs: 3))
    #expect(seam == Array(all[24...]))
    #expect(try records(loader(dataset, startEpoch: 5, epochs: 3)).isEmpty)
  }

  /// Batches of the next epoch are prepared while the last ones of this epoch are in use.
  @Test(arguments: [1, 3]) func epochsMayDifferInSize(threads: Int) throws {
    let dataset = ProbeDataset(count: 77)
    let plan = ShardPlan(
      sampleCount: 77, globalBatch: 32, shards: 8, seed: 6, shuffle: true)
    func transform(mixup: Double) throws -> SampleTransform {
      var config = RunConfig()
      (config.data.crop, config.data.resolution) = (.randomResized, 7)
      config.data.resolutions = [0: 3, 1: 7, 2: 5, 3: 7]
      (config.training.seed, config.training.mixupAlpha) = (6, mixup)
      return try SampleTransform(config: config, form: dataset.form)
    }
    func records(
      _ transform: SampleTransform, owned: Range<Int> = 0..<8, depth: Int = 4, done: Int = 0
    ) throws -> [Record] {
      let loader = try BatchLoader(
        dataset: dataset, plan: plan, ownedShards: owned, transform: transform, depth: depth,
        threads: threads, startEpoch: done / 3, startStep: done % 3, epochs: 4)
      return try self.records(loader) { transform.size(epoch: $0).elements }
    }
    let plain = try transform(mixup: 0)
    for record in try records(plain) {
      let side = [3, 7, 5, 7][record.epoch]
      #expect(record.pixels.count == record.samples.count * side * side)
      let expected = try record.samples.flatMap {
        try values(plain, dataset, sample: $0, epoch: record.epoch)
      }
      #expect(record.pixels == expected)
    }
    let mixed = try transform(mixup: 0.5)
    let all = try records(mixed)
    #expect(try all != records(plain))
    for done in [1, 2, 3, 5, 7] {
      #expect(try records(mixed, depth: 1, done: done) == Array(all[(8 * done)...]))
    }
    let half = try records(mixed, owned: 4..<8)
    #expect(half == all.filter { $0.shard >= 4 })
  }

  @Test func stopsAtOnceAndTwice() throws {
    let loader = try loader(ProbeDataset(count: 1000), epochs: 1_000_000)
    _ = try records(loader, atMost: 3)
    loader.stop()
    #expect(try loader.next() == nil)
    loader.stop()
  }

  /// What the thread held is gone with it.
  @Test func deinitEndsTheThread() throws {
    weak var counter: ProbeDataset.Counter?
    func use() throws {
      let dataset = ProbeDataset(count: 1000)
      counter = dataset.decoded
      let loader = try loader(dataset, epochs: 1_000_000)
      #expect(try records(loader, atMost: 2).count == 16)
      #expect(counter != nil)
    }
    for _ in 0..<20 {
      try use()
      #expect(counter == nil)
    }
  }

  @Test func runsAheadByItsDepthAndNoFurther() throws {
    let dataset = ProbeDataset(count: 320)
    let loader = try loader(dataset, depth: 2, epochs: 100)
    _ = try #require(try loader.next())
    // One batch in use and two ready: wait until they are, then see that no fourth one came.
    while dataset.decoded.value.load(ordering: .relaxed) < 96 { usleep(500) }
    _ = try #require(try loader.next())
    loader.stop()
    #expect(dataset.decoded.value.load(ordering: .relaxed) <= 128)
  }

  @Test func failureComesInItsTurnAndStays() throws {
    var dataset = ProbeDataset(count: 96)
    let order = ShardPlan(
      sampleCount: 96, globalBatch: 32, shards: 8, seed: 6, shuffle: true
    ).samples(epoch: 0, step: 2)
    dataset.failing = order[3][1]
    let loader = try loader(dataset)
    for step in 0..<2 { #expect(try loader.next()?.step == step) }
    for _ in 0..<2 {
      let error = try #require(throws: DataError.self) { try loader.next() }
      #expect(error.message == "probe[\(dataset.failing)]: damaged")
    }
  }

  @Test func noShardsNoSamples() throws {
    let batch = try #require(try loader(ProbeDataset(count: 40), owned: 8..<8).next())
    #expect(batch.shards.isEmpty)
  }

  @Test func evaluationReadsInOrder() throws {
    let dataset = ProbeDataset(count: 10)
    let transform = try SampleTransform(height: 4, width: 4)
    let reader = SampleReader(dataset: dataset, transform: transform)
    var values = [Float](repeating: 0, count: 3 * 16)
    let labels = try values.withUnsafeMutableBufferPointer { buffer in
      try reader.read(7..<10, epoch: 0, into: #require(buffer.baseAddress))
    }
    #expect(labels == [7, 8, 9])
    #expect(values[16].rounded() == 248 && values[47].rounded() == Float((9 * 31 + 15) & 255))
  }
}
