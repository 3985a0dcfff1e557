import RunPlanning
import Tensors

/// From stored bytes to what the network sees: zero padding to the resolution, random crop and
/// flip, normalisation.
///
/// Draws depend on seed, epoch and sample alone, so that the same sample of the same epoch is the
/// same pixels on any rank and thread, in any order.
package struct SampleTransform: Sendable {
  package let channels: Int
  /// Pixels that `apply` reads.
  package let sourceHeight: Int
  package let sourceWidth: Int
  /// Pixels that `apply` writes.
  package let height: Int
  package let width: Int
  package let cropPadding: Int
  package let horizontalFlip: Bool
  package let seed: UInt64

  /// Normalised value of every byte, [channel, 256].
  private let normalised: [Float]

  /// - Parameters:
  ///   - resolution: side of the square output; smaller images are centred on zero pixels, larger
  ///     ones refused; 0 keeps the source's size.
  ///   - mean, standardDeviation: per channel, of pixels scaled to 0…1.
  ///   - cropPadding: zero pixels around the image from which a crop of its size is taken at random
  ///     (as torchvision's `RandomCrop(size, padding)`); 0 takes the image itself.
  ///   - horizontalFlip: mirror every other sample, at random.
  package init(
    channels: Int, sourceHeight: Int, sourceWidth: Int, resolution: Int = 0, mean: [Double],
    standardDeviation: [Double], cropPadding: Int = 0, horizontalFlip: Bool = false,
    seed: UInt64 = 0
  ) throws(DataError) {
    guard mean.count == channels, standardDeviation.count == channels else {
      throw DataError(
        .configuration,
        "data.mean has \(mean.count) and data.standard_deviation \(standardDeviation.count) values, "
          + "but images have \(channels) channels; give one value a channel")
    }
    guard mean.allSatisfy(\.isFinite), standardDeviation.allSatisfy({ $0.isFinite && $0 > 0 })
    else {
      throw DataError(
        .configuration, "data.mean must be finite and data.standard_deviation above 0")
    }
    guard resolution == 0 || (sourceHeight <= resolution && sourceWidth <= resolution) else {
      throw DataError(
        .configuration,
        "data.resolution \(resolution) is below the images' \(sourceHeight) x \(sourceWidth), "
          + "which are not scaled down; set it to \(max(sourceHeight, sourceWidth)) or more, or to 0"
      )
    }
    guard (0...65535).contains(cropPadding) else {
      throw DataError(.configuration, "data.crop_padding \(cropPadding) is not within 0…65535")
    }
    self.channels = channels
    (self.sourceHeight, self.sourceWidth) = (sourceHeight, sourceWidth)
    height = resolution == 0 ? sourceHeight : resolution
    width = resolution == 0 ? sourceWidth : resolution
    (self.cropPadding, self.horizontalFlip, self.seed) = (cropPadding, horizontalFlip, seed)
    normalised = (0..<channels).flatMap { channel in
      // In Float64, rounded once.
      (0..<256).map { Float((Double($0) / 255 - mean[channel]) / standardDeviation[channel]) }
    }
  }

  /// The training transform of a configuration for images of `dataset`.
  package init(config: RunConfig, dataset: any Dataset) throws(DataError) {
    try self.init(
      channels: dataset.channels, sourceHeight: dataset.height, sourceWidth: dataset.width,
      resolution: config.data.resolution, mean: config.data.mean,
      standardDeviation: config.data.standardDeviation, cropPadding: config.data.cropPadding,
      horizontalFlip: config.data.horizontalFlip, seed: config.training.seed)
  }

  private init(_ other: SampleTransform, cropPadding: Int, horizontalFlip: Bool) {
    (channels, seed, normalised) = (other.channels, other.seed, other.normalised)
    (sourceHeight, sourceWidth) = (other.sourceHeight, other.sourceWidth)
    (height, width) = (other.height, other.width)
    (self.cropPadding, self.horizontalFlip) = (cropPadding, horizontalFlip)
  }

  /// The same sizes and normalisation without anything random, for evaluation.
  package var deterministic: SampleTransform {
    SampleTransform(self, cropPadding: 0, horizontalFlip: false)
  }

  /// Float32 values of one transformed sample.
  package var elementsPerSample: Int { height * width * channels }

  /// Writes `elementsPerSample` values, HWC, from `sourceHeight * sourceWidth * channels` bytes.
  package func apply(
    _ pixels: UnsafePointer<UInt8>, sample: Int, epoch: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    let (top, left, flip) = draw(sample: sample, epoch: epoch)
    normalised.withUnsafeBufferPointer { table in
      guard let table = table.baseAddress else { return }
      for row in 0..<height {
        let line = target + row * width * channels
        let sourceRow = row + top
        guard sourceRow >= 0, sourceRow < sourceHeight else {
          fillZeroPixels(0..<width, of: line, table)
          continue
        }
        let source = pixels + sourceRow * sourceWidth * channels
        // Columns of the output, before a flip, that lie inside the source.
        let first = min(width, max(0, -left))
        let inside = first..<max(first, min(width, sourceWidth - left))
        if flip {
          fillZeroPixels(0..<width - inside.upperBound, of: line, table)
          fillZeroPixels(width - inside.lowerBound..<width, of: line, table)
        } else {
          fillZeroPixels(0..<inside.lowerBound, of: line, table)
          fillZeroPixels(inside.upperBound..<width, of: line, table)
        }
        for column in inside {
          let pixel = source + (column + left) * channels
          let value = line + (flip ? width - 1 - column : column) * channels
          for channel in 0..<channels {
            value[channel] = table[channel << 8 | Int(pixel[channel])]
          }
        }
      }
    }
  }

  /// Source row and column of the output's first pixel, and whether it is mirrored afterwards.
  private func draw(sample: Int, epoch: Int) -> (top: Int, left: Int, flip: Bool) {
    var top = -((height - sourceHeight) / 2)
    var left = -((width - sourceWidth) / 2)
    if cropPadding > 0 {
      var random = CounterRandom(seed: seed, epoch: epoch, sample: sample, purpose: .crop)
      top += random.next(below: 2 * cropPadding + 1) - cropPadding
      left += random.next(below: 2 * cropPadding + 1) - cropPadding
    }
    guard horizontalFlip else { return (top, left, false) }
    var random = CounterRandom(seed: seed, epoch: epoch, sample: sample, purpose: .flip)
    return (top, left, random.next(below: 2) == 1)
  }

  /// Padding is zero before normalisation.
  private func fillZeroPixels(
    _ columns: Range<Int>, of line: UnsafeMutablePointer<Float>, _ table: UnsafePointer<Float>
  ) {
    for column in columns {
      for channel in 0..<channels { line[column * channels + channel] = table[channel << 8] }
    }
  }
}
