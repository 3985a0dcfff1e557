import Images
import RunPlanning
import Tensors
import Testing

@testable import ImageData

/// What is shown is what the loader gives, and a sheet holds it pixel by pixel.
@Suite struct SamplePreviewTests {
  private func config(
    channels: Int, _ change: (inout RunConfig) -> Void = { _ in }
  ) -> RunConfig {
    var config = RunConfig()
    config.data.channels = channels
    config.data.mean = Array([0.485, 0.456, 0.406][..<channels])
    config.data.standardDeviation = Array([0.229, 0.224, 0.225][..<channels])
    (config.training.globalBatch, config.training.shards) = (12, 4)
    config.training.seed = 7
    change(&config)
    return config
  }

  private func synthetic(_ count: Int, channels: Int) throws -> SyntheticDataset {
    try SyntheticDataset(
      count: count, classes: 3, channels: channels, height: 9, width: 11, seed: 1)
  }

  private func plan(_ config: RunConfig, _ count: Int) -> ShardPlan {
    ShardPlan(
      sampleCount: count, globalBatch: config.training.globalBatch,
      shards: config.training.shards, seed: config.training.seed, shuffle: true)
  }

  @Test(arguments: [1, 3]) func storedBytesComeBack(channels: Int) throws {
    let (config, dataset) = (config(channels: channels), try synthetic(30, channels: channels))
    let transform = try SampleTransform(config: config, form: dataset.form)
    for plan in [plan(config, 30), nil] {
      let preview = SamplePreview(
        dataset: dataset, transform: plan == nil ? transform.deterministic : transform, plan: plan)
      let samples = [29, 0, 7, 7]
      let seen = try preview.see(samples, epoch: 0)
      #expect(seen.map(\.sample) == samples)
      let stored = ByteBuffer()
      for one in seen {
        try dataset.read(one.sample, into: stored)
        #expect(one.bytes == Array(stored.all))
        #expect(one.label == one.sample % 3 && one.mixture == nil)
        #expect(one.name == dataset.name(of: one.sample))
      }
    }
  }

  @Test func everyByteComesBack() throws {
    let transform = try SampleTransform(
      config: config(channels: 3), form: .pixels(height: 16, width: 16, channels: 3))
    let values = (0..<768).map {
      transform.normalisation.value(of: UInt8($0 / 3), channel: $0 % 3)
    }
    let bytes = transform.bytes(of: values, count: 768)
    #expect(bytes == (0..<768).map { UInt8($0 / 3) })
  }

  /// Everything random at once, every sample of an epoch whose last step is short.
  @Test(arguments: [1, 3]) func whatIsShownIsWhatTheLoaderGives(channels: Int) throws {
    let config = config(channels: channels) {
      $0.data.horizontalFlip = true
      $0.data.crop = .randomResized
      $0.data.resolution = 13
      $0.data.augmentation = .randAugment
      $0.data.randomErasing = 0.5
      ($0.training.mixupAlpha, $0.training.cutmixAlpha) = (0.4, 1)
    }
    let (count, epoch) = (29, 3)
    let dataset = try synthetic(count, channels: channels)
    let transform = try SampleTransform(config: config, form: dataset.form)
    let plan = plan(config, count)
    let preview = SamplePreview(dataset: dataset, transform: transform, plan: plan)
    let samples = preview.first(count, epoch: epoch)
    #expect(samples.sorted() == Array(0..<count))
    let seen = try preview.see(samples, epoch: epoch)

    let loader = try BatchLoader(
      dataset: dataset, plan: plan, ownedShards: 0..<4, transform: transform, depth: 1, threads: 2,
      startEpoch: epoch, epochs: epoch + 1)
    defer { loader.stop() }
    var (position, mixed) = (0, 0)
    while let batch = try loader.next() {
      for shard in batch.shards {
        for (index, sample) in shard.samples.enumerated() {
          let one = seen[position]
          position += 1
          #expect(one.sample == sample && one.label == Int(shard.labels[index]))
          #expect(one.mixture?.label == shard.mixture.map { Int($0.labels[index]) })
          #expect(one.mixture?.ownShare == shard.mixture?.ownShare)
          mixed += one.mixture == nil ? 0 : 1
          #expect(one.size == SampleTransform.Size(height: 13, width: 13, channels: channels))
          let values = shard.pixels + index * one.size.elements
          let expected = (0..<one.size.elements).map { element in
            let channel = element % channels
            let value =
              Double(values[element]) * config.data.standardDeviation[channel]
              + config.data.mean[channel]
            return (value * 255).rounded()
          }
          #expect(one.bytes.map(Double.init) == expected)
        }
      }
    }
    #expect(position == count && mixed >= 24)
  }

  @Test func placesAreThoseOfThePlan() {
    let plan = plan(config(channels: 1), 29)
    let order = plan.order(epoch: 1)
    let places = order.places(of: Set(0..<29))
    #expect(places.count == 29)
    for (sample, place) in places {
      #expect(order.samples(step: place.step, shard: place.shard).contains(sample))
    }
    #expect(order.places(of: [4]).count == 1 && order.first(100).count == 29)
  }

  @Test func anotherImageStandsForADamagedOne() throws {
    let config = config(channels: 1) {
      $0.data.format = .folder
      $0.data.resolution = 8
      $0.data.crop = .randomResized
    }
    let transform = try SampleTransform(config: config, form: .encoded)
    let plan = plan(config, 12)
    let picture = PixelBuffer()
    picture.reshape(height: 8, width: 8, channels: 1)
    picture.base.update(repeating: 77, count: picture.count)
    let dataset = OneDamaged(bytes: try picture.encodedPNG(), damaged: 5)
    let strict = SamplePreview(dataset: dataset, transform: transform, plan: plan)
    #expect(throws: DataError.self) { try strict.see([5], epoch: 0) }
    #expect(try strict.see([4], epoch: 0)[0].bytes.allSatisfy { $0 == 77 })
    let lenient = SamplePreview(
      dataset: dataset, transform: transform, plan: plan, damaged: .replace)
    let seen = try lenient.see([5], epoch: 0)[0]
    #expect(seen.sample == 5 && seen.label != 5 && seen.bytes.allSatisfy { $0 == 77 })
    #expect(lenient.replaced.count == 1 && lenient.replaced[0].message.hasPrefix("picture 5: "))
  }
}

/// Twelve files, one of which is no image.
private struct OneDamaged: Dataset {
  var bytes: [UInt8]
  var damaged: Int
  let count = 12
  let classes = 12
  let form = StoredForm.encoded
  let fingerprint = "one damaged"

  func label(of sample: Int) -> Int { sample }
  func name(of sample: Int) -> String { "picture \(sample)" }
  func read(_ sample: Int, into target: ByteBuffer) throws(DataError) {
    let content = sample == damaged ? [1, 2, 3] : bytes
    target.reserve(content.count)
    content.withUnsafeBytes { target.all.copyMemory(from: $0) }
  }
}

@Suite struct ContactSheetTests {
  private func image(_ value: UInt8, _ height: Int, _ width: Int, channels: Int) -> SeenSample {
    let size = SampleTransform.Size(height: height, width: width, channels: channels)
    return SeenSample(
      sample: 0, name: "", epoch: 0, label: 0, mixture: nil, size: size,
      bytes: (0..<size.elements).map { value &+ UInt8(truncatingIfNeeded: $0) })
  }

  private func decoded(_ png: [UInt8], channels: Int) throws -> PixelBuffer {
    let pixels = PixelBuffer()
    try png.withUnsafeBytes { try ImageDecoder().decode($0, channels: channels, into: pixels) }
    return pixels
  }

  @Test(arguments: [(1, 1), (3, 1), (1, 3), (3, 2)])
  func everyPixelIsInItsPlace(channels: Int, zoom: Int) throws {
    // The fourth is smaller, as in an epoch of another resolution.
    let images = (0..<5).map {
      $0 == 3
        ? image(9, 2, 3, channels: channels)
        : image(UInt8(40 * $0), 5, 7, channels: channels)
    }
    let sheet = ContactSheet(columns: 2, zoom: zoom)
    let png = try sheet.png(images)
    let pixels = try decoded(png, channels: channels)
    let gap = ContactSheet.gap
    #expect((pixels.height, pixels.width) == sheet.size(count: 5, image: images[0].size))
    #expect((pixels.height, pixels.width) == (15 * zoom + 2 * gap, 14 * zoom + gap))
    var expected = [UInt8](repeating: 255, count: pixels.count)
    for (index, image) in images.enumerated() {
      let (top, left) = (index / 2 * (5 * zoom + gap), index % 2 * (7 * zoom + gap))
      for y in 0..<image.size.height * zoom {
        for x in 0..<image.size.width * zoom {
          for channel in 0..<channels {
            expected[((top + y) * pixels.width + left + x) * channels + channel] =
              image.bytes[(y / zoom * image.size.width + x / zoom) * channels + channel]
          }
        }
      }
    }
    #expect((0..<pixels.count).allSatisfy { pixels.base[$0] == expected[$0] })
    #expect(try sheet.png(images) == png)
  }

  @Test func fewerImagesThanColumns() {
    let size = SampleTransform.Size(height: 5, width: 7, channels: 1)
    #expect(ContactSheet(columns: 9).size(count: 2, image: size) == (5, 14 + ContactSheet.gap))
  }

  @Test func aSheetIsRecognised() throws {
    let png = try ContactSheet(columns: 1).png([image(0, 40, 40, channels: 3)])
    #expect(ContactSheet.isOwn(Array(png.prefix(100))))
    let other = PixelBuffer()
    other.reshape(height: 40, width: 40, channels: 3)
    #expect(try !ContactSheet.isOwn(other.encodedPNG()))
    for length in [0, 7, 33, 60] { #expect(!ContactSheet.isOwn(Array(png.prefix(length)))) }
  }
}
