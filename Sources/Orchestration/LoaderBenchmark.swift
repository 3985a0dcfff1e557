import Collectives
import Glibc
import ImageData
import RunPlanning
import Training

/// `repvgg bench loader`: images through the loader of a training, as fast as it gives them.
package struct LoaderBenchmark {
  package struct Settings: Sendable {
    /// What `Datasets.openImages` opens.
    package var path: String
    package var resolution = 224
    /// Of each rank.
    package var threads = 1
    /// Images of a rank's batch.
    package var batch = 32
    /// Images of a rank to measure, at least.
    package var images = 1000
    package var decode = RunConfig.Decode.exact
    package var augmentation = RunConfig.Augmentation.none

    package init(path: String) { self.path = path }
  }

  /// Times are those of the slowest rank, memory that of the largest.
  package struct Report: Sendable {
    package var samples: Int
    package var classes: Int
    /// Of all ranks.
    package var images: Int
    package var imagesPerSecond: Double
    /// Of the processors that one image took, all threads of rank 0.
    package var processorSecondsPerImage: Double
    /// From the start until the data set is open, and until the first batch is there.
    package var secondsToOpen: Double
    package var secondsToFirstBatch: Double
    /// Shares of a sample's time in one thread alone, rank 0's.
    package var shares: [(stage: StageTimes.Stage, share: Double)]
    package var stagedImages: Int
    package var peakResidentBytes: Int
    /// Before the data set was opened.
    package var firstResidentBytes: Int
    package var plannedBytes: Int
  }

  private let settings: Settings
  private let communicator: any Communicator

  package init(_ settings: Settings, communicator: any Communicator) {
    self.settings = settings
    self.communicator = communicator
  }

  package func run() throws -> Report {
    let firstResident = Machine.peakResidentBytes
    try communicator.barrier()
    let start = monotonicSeconds()
    let dataset = try Agreement.all(communicator) { try Datasets.openImages(at: settings.path) }
    let opened = monotonicSeconds() - start
    let transform = try Agreement.all(communicator) { try makeTransform(dataset) }
    let plan = ShardPlan(
      sampleCount: dataset.count, globalBatch: settings.batch * communicator.size,
      shards: communicator.size, seed: 1, shuffle: true)
    let loader = try Agreement.all(communicator) {
      try BatchLoader(
        dataset: dataset, plan: plan, ownedShards: communicator.rank..<communicator.rank + 1,
        transform: transform, depth: RunConfig().data.prefetch, threads: settings.threads,
        epochs: Int(UInt16.max))
    }
    defer { loader.stop() }
    _ = try Agreement.all(communicator) { try loader.next() }
    let firstBatch = monotonicSeconds() - start
    try communicator.barrier()
    let measured = try Agreement.all(communicator) { try drain(loader) }
    loader.stop()
    let peak = Machine.peakResidentBytes
    let (times, staged) = try Agreement.all(communicator) {
      try stage(dataset, transform, plan.order(epoch: 0))
    }
    let slowest = try maximum([opened, firstBatch, measured.seconds, Double(peak)])
    let images = try sum(measured.images)
    return Report(
      samples: dataset.count, classes: dataset.classes, images: images,
      imagesPerSecond: Double(images) / slowest[2],
      processorSecondsPerImage: measured.processorSeconds / Double(measured.images),
      secondsToOpen: slowest[0], secondsToFirstBatch: slowest[1],
      shares: StageTimes.Stage.allCases.map {
        ($0, (times.seconds[$0] ?? 0) / max(times.total, 1e-12))
      },
      stagedImages: staged, peakResidentBytes: Int(slowest[3]),
      firstResidentBytes: firstResident,
      plannedBytes: try plannedBytes(dataset, transform))
  }

  /// The loader's part of a plan's memory.
  private func plannedBytes(_ dataset: any Dataset, _ transform: SampleTransform) throws -> Int {
    let batches = RunConfig().data.prefetch + 1
    let beside = LoaderMemory(
      data: DataSummary(train: dataset, test: dataset, config: try configuration()),
      threads: settings.threads, height: transform.height, width: transform.width,
      channels: transform.channels)
    return batches * settings.batch * transform.elementsPerSample * 4 + beside.total
  }

  /// As a configuration of encoded images would have it.
  private func configuration() throws -> RunConfig {
    try RunConfig.decode(
      text: "{}", file: "bench loader",
      overrides: [
        "data.format=folder", "data.resolution=\(settings.resolution)",
        "data.horizontal_flip=true", "data.decode=\(settings.decode.rawValue)",
        "data.augmentation=\(settings.augmentation.rawValue)",
      ])
  }

  private func makeTransform(_ dataset: any Dataset) throws -> SampleTransform {
    try SampleTransform(config: configuration(), form: dataset.form)
  }

  /// Takes batches until there are images enough. One of them was begun before.
  private func drain(
    _ loader: BatchLoader
  ) throws -> (images: Int, seconds: Double, processorSeconds: Double) {
    let (start, processorStart) = (monotonicSeconds(), Self.processorSeconds)
    var images = 0
    while images < settings.images, let batch = try loader.next() {
      images += batch.shards.reduce(0) { $0 + $1.count }
    }
    return (images, monotonicSeconds() - start, Self.processorSeconds - processorStart)
  }

  /// Some samples in this thread, timed by stages.
  private func stage(
    _ dataset: any Dataset, _ transform: SampleTransform, _ order: EpochOrder
  ) throws -> (StageTimes, Int) {
    let reader = SampleReader(dataset: dataset, transform: transform)
    var values = [Float](repeating: 0, count: transform.elementsPerSample)
    let samples = order.samples(step: 0, shard: communicator.rank)
    let times = StageTimes()
    let rounds = max(1, min(settings.images, 256) / max(samples.count, 1))
    try values.withUnsafeMutableBufferPointer { values in
      guard let target = values.baseAddress else { return }
      for round in 0...rounds {
        // The first round touches memory for the first time.
        reader.times = round == 0 ? nil : times
        for sample in samples { try reader.read(sample, epoch: round, into: target) }
      }
    }
    return (times, rounds * samples.count)
  }

  private func maximum(_ values: [Double]) throws -> [Double] {
    // Bit patterns of non-negative numbers are ordered like the numbers.
    var patterns = values.map { Int64(bitPattern: max(0, $0).bitPattern) }
    try patterns.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    return patterns.map { Double(bitPattern: UInt64(bitPattern: $0)) }
  }

  private func sum(_ count: Int) throws -> Int {
    var counts = [Double(count)]
    try counts.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    return Int(counts[0])
  }

  private static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
