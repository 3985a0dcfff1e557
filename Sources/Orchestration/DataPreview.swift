import ImageData
import Reporting
import RunPlanning

/// `repvgg data show`: some samples of a configuration's data as the network sees them.
package struct DataPreview {
  /// Images on a sheet, and its pixels.
  package static let largestCount = 1000
  package static let largestSheet = 100_000_000

  /// Which samples, and how they are laid out; nil takes what stands behind it.
  package struct Request: Sendable {
    /// Training images through the training transform, else test images as they are evaluated.
    package var isTraining = true
    /// The first ones that training takes in the epoch, or of the test images.
    package var samples: [Int]?
    /// 16.
    package var count: Int?
    /// Counted from 0.
    package var epoch = 0
    /// Each sample in so many epochs from `epoch` on, one after the other.
    package var repeats = 1
    /// `repeats`, or as many as make a square.
    package var columns: Int?
    package var zoom = 1

    package init() {}
  }

  package struct Outcome {
    /// `training images`, `test images`.
    package var subject: String
    /// Sample by sample, and of each epoch by epoch.
    package var images: [SeenSample]
    /// By label; empty where the data have none.
    package var classNames: [String]
    package var sheet: ContactSheet
    /// One line each: what the data set left out, and what stands for damaged images.
    package var notes: [String]

    /// `3 dress`, or `3` where classes have no names.
    package func name(ofClass label: Int) -> String {
      classNames.indices.contains(label) ? "\(label) \(classNames[label])" : "\(label)"
    }

    /// `0.37 of 3 dress`.
    package func text(of mixture: (label: Int, ownShare: Double)) -> String {
      "\(Quantity.fixed(1 - mixture.ownShare, decimals: 2)) of \(name(ofClass: mixture.label))"
    }
  }

  private let config: RunConfig
  private let request: Request

  /// Reads the configuration; looks at no data.
  package init(configuration: String, overrides: [String], _ request: Request) throws {
    config = try RunConfig.load(path: configuration, overrides: overrides)
    self.request = request
    guard request.isTraining || request.epoch == 0 && request.repeats == 1 else {
      throw JobFailure(
        .usage,
        "test images are the same in every epoch; leave --epoch and --repeat out, or take --split train"
      )
    }
  }

  /// Of the configuration.
  package var name: String { config.name }

  package func run() throws -> Outcome {
    let (train, test) = try Datasets.open(config: config)
    let dataset = request.isTraining ? train : test
    let whole = try SampleTransform(config: config, form: dataset.form)
    let transform = request.isTraining ? whole : whole.deterministic
    guard transform.channels == 1 || transform.channels == 3 else {
      throw JobFailure(
        .configuration,
        "data.channels is \(transform.channels); only images of 1 or 3 channels can be shown")
    }
    let training = config.training
    let plan = ShardPlan(
      sampleCount: dataset.count, globalBatch: training.globalBatch, shards: training.shards,
      seed: training.seed, shuffle: training.shuffle)
    let preview = SamplePreview(
      dataset: dataset, transform: transform, plan: request.isTraining ? plan : nil,
      damaged: config.data.damaged)
    let samples = request.samples ?? preview.first(request.count ?? 16, epoch: request.epoch)
    let subject = request.isTraining ? "training images" : "test images"
    if let stranger = samples.first(where: { $0 < 0 || $0 >= dataset.count }) {
      throw JobFailure(
        .usage, "--samples \(stranger): the \(subject) are 0 to \(dataset.count - 1)")
    }
    let sheet = ContactSheet(columns: columns(samples.count), zoom: request.zoom)
    let count = samples.count * request.repeats
    try requireRoom(count: count, on: sheet, transform)
    try requireMemory(of: plan, transform)

    let epochs = try (0..<request.repeats).map {
      try preview.see(samples, epoch: request.epoch + $0)
    }
    let images = samples.indices.flatMap { index in epochs.map { $0[index] } }
    return Outcome(
      subject: subject, images: images, classNames: dataset.classNames, sheet: sheet,
      notes: dataset.notes + preview.replaced.map { "\($0); another image takes its place" })
  }

  private func columns(_ samples: Int) -> Int {
    if let columns = request.columns { return columns }
    if request.repeats > 1 { return request.repeats }
    return (1...max(1, samples)).first { $0 * $0 >= samples } ?? 1
  }

  private func requireRoom(
    count: Int, on sheet: ContactSheet, _ transform: SampleTransform
  ) throws {
    guard count <= Self.largestCount else {
      throw JobFailure(
        .usage,
        "\(count) images are asked for and a sheet takes at most \(Self.largestCount); give a lower "
          + "--count or --repeat")
    }
    let sizes = (0..<request.repeats).map { transform.size(epoch: request.epoch + $0) }
    let largest = sizes.max { $0.height < $1.height } ?? transform.size(epoch: 0)
    let (height, width) = sheet.size(count: count, image: largest)
    guard height * width <= Self.largestSheet else {
      throw JobFailure(
        .usage,
        "a sheet of \(width) x \(height) pixels is asked for and at most \(Self.largestSheet) pixels "
          + "are drawn; give a lower --count, --repeat or --zoom")
    }
  }

  /// A shard is read as a whole where its images are mixed.
  private func requireMemory(of plan: ShardPlan, _ transform: SampleTransform) throws {
    guard request.isTraining else { return }
    let images = plan.largestCount(shard: 0)
    let bytes = images * transform.elementsPerSample * MemoryLayout<Float>.stride
    guard bytes > Machine.physicalMemory else { return }
    throw JobFailure(
      .configuration,
      "training.global_batch \(plan.globalBatch) in \(plan.shards) shards: a shard of \(images) images "
        + "needs more memory than the machine has; set a smaller batch or more training.shards")
  }
}
