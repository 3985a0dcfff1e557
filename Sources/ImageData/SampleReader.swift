import Images
import RunPlanning
import Tensors

/// Reads, decodes and transforms samples one after the other, with scratch for one image. Belongs to
/// one thread.
package final class SampleReader {
  /// Samples behind a damaged one that may stand in where its shard has none.
  private static let neighbours = 16

  package let dataset: any Dataset
  package let transform: SampleTransform
  private let stored = ByteBuffer()
  private let decoder = ImageDecoder(limits: ImageLimits())
  private let resampler = Resampler()
  /// The image as decoded, and turned where its EXIF data says so.
  private let decoded = PixelBuffer()
  private let turned = PixelBuffer()
  /// The image at the network's size, and room for its random operations.
  private var image = PixelBuffer()
  private var spare = PixelBuffer()
  /// Where time is to be measured.
  package var times: StageTimes?

  package init(dataset: any Dataset, transform: SampleTransform) {
    self.dataset = dataset
    self.transform = transform
  }

  /// Writes the samples' values, Float32 NHWC, one after the other; returns their labels.
  package func read(
    _ samples: some Collection<Int>, epoch: Int, into pixels: UnsafeMutablePointer<Float>
  ) throws(DataError) -> [Int32] {
    var labels: [Int32] = []
    labels.reserveCapacity(samples.count)
    let elements = transform.size(epoch: epoch).elements
    for sample in samples {
      try read(sample, epoch: epoch, into: pixels + labels.count * elements)
      labels.append(Int32(dataset.label(of: sample)))
    }
    return labels
  }

  /// Reads a sample into its place in a batch. Where damaged ones may be replaced, the next good one
  /// of the shard stands in, or of the data set where the shard has none, and what was wrong is
  /// returned.
  func read(
    _ place: BatchBuffer.Place, damaged: RunConfig.Damaged
  ) throws(DataError) -> DataError? {
    do throws(DataError) {
      try read(place.sample, into: place)
      return nil
    } catch {
      guard Self.isReplaced(error, damaged) else { throw error }
      try replace(place, damaged)
      return error
    }
  }

  private static func isReplaced(_ error: DataError, _ damaged: RunConfig.Damaged) -> Bool {
    damaged == .replace && error.kind == .malformed
  }

  private func read(_ sample: Int, into place: BatchBuffer.Place) throws(DataError) {
    try read(sample, epoch: place.epoch, into: place.pixels)
    place.label.pointee = Int32(dataset.label(of: sample))
  }

  private func replace(
    _ place: BatchBuffer.Place, _ damaged: RunConfig.Damaged
  ) throws(DataError) {
    let (shard, count) = (place.shardSamples, dataset.count)
    let others = shard.indices.dropFirst().map { shard[(place.position + $0) % shard.count] }
    let behind = (1...Self.neighbours).map { (place.sample + $0) % count }
    var last: DataError?
    for sample in others + behind {
      do throws(DataError) {
        return try read(sample, into: place)
      } catch {
        guard Self.isReplaced(error, damaged) else { throw error }
        last = error
      }
    }
    if let last { throw last }
  }

  /// Writes one sample's values, Float32 HWC, at the epoch's resolution.
  package func read(
    _ sample: Int, epoch: Int, into pixels: UnsafeMutablePointer<Float>
  ) throws(DataError) {
    _ = try makeImage(sample, epoch: epoch)
    transform.normalisation.apply(to: image, into: pixels)
    if let erasing = transform.erasing {
      var random = transform.random(.erasing, sample: sample, epoch: epoch)
      erasing.apply(to: pixels, size: transform.size(epoch: epoch), &random)
    }
    times?.end(.normalise)
  }

  /// The bytes that the network sees of one sample, before normalisation: [height][width][channels];
  /// valid until the next call.
  package func makeImage(_ sample: Int, epoch: Int) throws(DataError) -> PixelBuffer {
    times?.begin()
    try dataset.read(sample, into: stored)
    times?.end(.read)
    let flip = transform.isFlipped(sample: sample, epoch: epoch)
    switch dataset.form {
    case .pixels(let height, let width, let channels):
      if transform.crop == .padded {
        pad(height: height, width: width, sample: sample, epoch: epoch, flip: flip)
        times?.end(.resize)
      } else {
        decoded.reshape(height: height, width: width, channels: channels)
        decoded.base.update(
          from: stored.all.assumingMemoryBound(to: UInt8.self).baseAddress ?? decoded.base,
          count: decoded.count)
        resize(decoded, sample, epoch: epoch, flip: flip)
      }
    case .encoded:
      do throws(ImageError) {
        try decode(sample, epoch: epoch, flip: flip)
      } catch {
        throw DataError(
          error.kind == .memory ? .io : .malformed, "\(dataset.name(of: sample)): \(error)")
      }
    }
    if let augmentation = transform.augmentation {
      var random = transform.random(.augmentation, sample: sample, epoch: epoch)
      augmentation.apply(to: &image, scratch: &spare, using: &random)
      times?.end(.augment)
    }
    return image
  }

  /// Memory that the reader keeps between samples; what the libraries take for an image is theirs.
  package var residentBytes: Int {
    [decoded, turned, image, spare].reduce(stored.residentBytes + resampler.residentBytes) {
      $0 + $1.residentBytes
    }
  }
}

// MARK: - Geometry

extension SampleReader {
  /// Decodes what the crop needs and brings it to the network's size.
  private func decode(_ sample: Int, epoch: Int, flip: Bool) throws(ImageError) {
    let bytes = UnsafeRawBufferPointer(stored.all)
    let header = try decoder.header(of: bytes)
    let isTurned = transform.exifOrientation && header.orientation != 1
    guard !transform.isDeterministic, !isTurned else {
      try decoder.decode(
        bytes, channels: transform.channels, fidelity: fidelity, into: decoded)
      times?.end(.decode)
      if isTurned { applyOrientation(header.orientation, from: decoded, into: turned) }
      return resize(isTurned ? turned : decoded, sample, epoch: epoch, flip: flip)
    }
    let region = cropRegion(
      height: header.height, width: header.width, sample: sample, epoch: epoch)
    let size = transform.size(epoch: epoch)
    let scale = header.format == .jpeg ? reduction(of: region, to: size) : 1
    try decoder.decode(
      bytes, channels: transform.channels, region: region.reduced(by: scale), scale: scale,
      fidelity: fidelity, into: decoded)
    times?.end(.decode)
    resampler.resize(decoded, height: size.height, width: size.width, flipped: flip, into: image)
    times?.end(.resize)
  }

  /// Brings a whole image to the network's size: a random part of it, or for evaluation its centre.
  private func resize(_ source: PixelBuffer, _ sample: Int, epoch: Int, flip: Bool) {
    let size = transform.size(epoch: epoch)
    if transform.isDeterministic {
      resampler.resizeShorterSide(
        source, to: transform.evaluationSide, croppingCentreTo: size.height, size.width,
        into: image)
    } else {
      let region = cropRegion(
        height: source.height, width: source.width, sample: sample, epoch: epoch)
      resampler.resize(
        source, region: region, height: size.height, width: size.width, flipped: flip, into: image)
    }
    times?.end(.resize)
  }

  /// Evaluation is exact in either mode, as the published protocol has it.
  private var fidelity: ImageDecoder.Fidelity {
    transform.decode == .fast && !transform.isDeterministic ? .fast : .exact
  }

  /// By how much a region can be reduced while it is decoded, and still be resized downwards.
  private func reduction(of region: PixelRegion, to size: SampleTransform.Size) -> Int {
    guard transform.decode == .fast else { return 1 }
    return [8, 4, 2].first {
      region.height >= $0 * size.height && region.width >= $0 * size.width
    } ?? 1
  }

  private func cropRegion(height: Int, width: Int, sample: Int, epoch: Int) -> PixelRegion {
    var random = transform.random(.crop, sample: sample, epoch: epoch)
    return transform.cropArea.region(height: height, width: width, using: &random)
  }

  /// The stored pixels, moved and mirrored, on zeros.
  private func pad(height: Int, width: Int, sample: Int, epoch: Int, flip: Bool) {
    let channels = transform.channels
    image.reshape(height: transform.height, width: transform.width, channels: channels)
    guard let source = stored.all.assumingMemoryBound(to: UInt8.self).baseAddress else { return }
    let (top, left) = transform.paddedOrigin(
      sourceHeight: height, sourceWidth: width, sample: sample, epoch: epoch)
    // Columns of the output, before a flip, that lie inside the source.
    let first = min(image.width, max(0, -left))
    let inside = first..<max(first, min(image.width, width - left))
    for row in 0..<image.height {
      let line = image.base + row * image.stride
      line.update(repeating: 0, count: image.stride)
      let sourceRow = row + top
      guard sourceRow >= 0, sourceRow < height else { continue }
      let pixels = source + (sourceRow * width + inside.lowerBound + left) * channels
      guard flip else {
        (line + inside.lowerBound * channels).update(from: pixels, count: inside.count * channels)
        continue
      }
      for column in 0..<inside.count {
        let mirrored = line + (image.width - 1 - inside.lowerBound - column) * channels
        for channel in 0..<channels {
          mirrored[channel] = pixels[column * channels + channel]
        }
      }
    }
  }
}

extension PixelRegion {
  /// The pixels of the reduced image in which this region's lie.
  fileprivate func reduced(by scale: Int) -> PixelRegion {
    PixelRegion(
      top: top / scale, left: left / scale, height: (top + height - 1) / scale - top / scale + 1,
      width: (left + width - 1) / scale - left / scale + 1)
  }
}
