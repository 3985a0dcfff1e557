import Images
import RunPlanning
import Tensors

/// What becomes of a decoded image on its way to the network: a crop, perhaps resized, a flip,
/// random operations, normalisation, erasing.
///
/// Draws depend on seed, epoch and sample alone, so that the same sample of the same epoch is the
/// same pixels on any rank and thread, in any order.
package struct SampleTransform: Sendable {
  /// Height, width and channels of what the network sees.
  package struct Size: Sendable, Equatable {
    package var height: Int
    package var width: Int
    package var channels: Int
    package var elements: Int { height * width * channels }

    package init(height: Int, width: Int, channels: Int) {
      (self.height, self.width, self.channels) = (height, width, channels)
    }
  }

  package let channels: Int
  /// At the largest resolution of the run.
  package let height: Int
  package let width: Int
  let crop: RunConfig.Crop
  let cropPadding: Int
  let cropArea: RandomResizedCrop
  /// Shorter side of a test image before its centre is cut out, at the largest resolution.
  let evaluationSide: Int
  let horizontalFlip: Bool
  let augmentation: AugmentationPolicy?
  let erasing: RandomErasing?
  let mixing: ImageMixing?
  let exifOrientation: Bool
  let decode: RunConfig.Decode
  /// First epoch and resolution, ascending; empty where it stays the same.
  private let resolutions: [(epoch: Int, side: Int)]
  let seed: UInt64
  /// Without anything random.
  let isDeterministic: Bool
  let normalisation: Normalisation

  /// The training transform of a configuration for images of `form`.
  ///
  /// Where stored pixels are not resized, smaller images are centred on zero pixels and larger ones
  /// refused.
  package init(config: RunConfig, form: StoredForm) throws(DataError) {
    let data = config.data
    switch form {
    case .encoded:
      channels = data.channels
      (height, width) = (data.resolution, data.resolution)
    case .pixels(let sourceHeight, let sourceWidth, let sourceChannels):
      channels = sourceChannels
      (height, width) =
        data.resolution == 0 ? (sourceHeight, sourceWidth) : (data.resolution, data.resolution)
      guard data.crop == .randomResized || sourceHeight <= height && sourceWidth <= width else {
        throw DataError(
          .configuration,
          "data.resolution \(data.resolution) is below the images' \(sourceHeight) x \(sourceWidth), "
            + "which are not scaled down; set it to \(max(sourceHeight, sourceWidth)) or more, to 0, "
            + "or set data.crop=random_resized")
      }
    }
    (crop, cropPadding, seed) = (data.crop, data.cropPadding, config.training.seed)
    cropArea = RandomResizedCrop(
      scale: data.cropScale[0]...data.cropScale[1], ratio: data.cropRatio[0]...data.cropRatio[1])
    evaluationSide =
      data.evaluationResize > 0
      ? data.evaluationResize
      : form == .encoded ? data.standardEvaluationSide : max(height, width)
    (horizontalFlip, exifOrientation) = (data.horizontalFlip, data.exifOrientation)
    augmentation = Self.policy(data)
    erasing = data.randomErasing > 0 ? RandomErasing(probability: data.randomErasing) : nil
    mixing = ImageMixing(config)
    resolutions = data.resolutions.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    decode = data.decode
    isDeterministic = false
    normalisation = try Self.normalisation(data, channels: channels)
  }

  private static func policy(_ data: RunConfig.Data) -> AugmentationPolicy? {
    switch data.augmentation {
    case .none: nil
    case .autoAugmentImageNet: .imageNet
    case .autoAugmentCIFAR10: .cifar10
    case .randAugment:
      .randAugment(operations: data.randAugmentOperations, magnitude: data.randAugmentMagnitude)
    case .trivialAugment: .trivialAugmentWide()
    }
  }

  private static func normalisation(
    _ data: RunConfig.Data, channels: Int
  ) throws(DataError) -> Normalisation {
    let (mean, deviation) = (data.mean, data.standardDeviation)
    guard mean.count == channels, deviation.count == channels else {
      throw DataError(
        .configuration,
        "data.mean has \(mean.count) and data.standard_deviation \(deviation.count) values, "
          + "but images have \(channels) channels; give one value a channel")
    }
    guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw DataError(
        .configuration, "data.mean must be finite and data.standard_deviation above 0")
    }
    return Normalisation(mean: mean, deviation: deviation)
  }

  /// The transform of evaluation for encoded images, by its values alone: resized by the shorter side
  /// to `side`, the centre cut out, normalised; as `deterministic` of a configuration with the same
  /// values.
  ///
  /// `mean` and `deviation`: one a channel, of which there are 1 or 3; of pixels scaled to 0…1.
  package init(
    evaluating size: Size, side: Int, mean: [Double], deviation: [Double]
  ) throws(DataError) {
    var data = RunConfig.Data()
    (data.mean, data.standardDeviation) = (mean, deviation)
    (channels, height, width) = (size.channels, size.height, size.width)
    (crop, cropPadding, evaluationSide) = (.randomResized, 0, side)
    cropArea = RandomResizedCrop(scale: 1...1, ratio: 1...1)
    (exifOrientation, decode) = (false, .exact)
    (horizontalFlip, augmentation, erasing, mixing) = (false, nil, nil, nil)
    (resolutions, seed, isDeterministic) = ([], 0, true)
    normalisation = try Self.normalisation(data, channels: channels)
  }

  private init(deterministic other: SampleTransform) {
    (channels, height, width) = (other.channels, other.height, other.width)
    (crop, cropPadding, cropArea) = (other.crop, 0, other.cropArea)
    (evaluationSide, exifOrientation, decode) =
      (other.evaluationSide, other.exifOrientation, other.decode)
    (horizontalFlip, augmentation, erasing, mixing) = (false, nil, nil, nil)
    (resolutions, seed, isDeterministic) = ([], other.seed, true)
    normalisation = other.normalisation
  }

  /// The same sizes and normalisation without anything random, for evaluation: images that training
  /// resizes are resized by their shorter side and their centre is cut out.
  package var deterministic: SampleTransform { SampleTransform(deterministic: self) }

  /// Of every sample of an epoch.
  package func size(epoch: Int) -> Size {
    if let side = resolutions.last(where: { $0.epoch <= epoch })?.side {
      return Size(height: side, width: side, channels: channels)
    }
    return Size(height: height, width: width, channels: channels)
  }

  /// What each byte becomes, [256][channels].
  package var valuesOfBytes: [Float] {
    (0..<256).flatMap { byte in
      (0..<channels).map { normalisation.value(of: UInt8(byte), channel: $0) }
    }
  }

  /// Float32 values of one transformed sample at the largest resolution.
  package var elementsPerSample: Int { height * width * channels }

  func random(
    _ purpose: CounterRandom.Purpose, sample: Int, epoch: Int
  ) -> CounterRandom {
    CounterRandom(seed: seed, epoch: epoch, sample: sample, purpose: purpose)
  }

  /// Row and column of a padded source's first pixel in the output, with the random crop's move.
  func paddedOrigin(
    sourceHeight: Int, sourceWidth: Int, sample: Int, epoch: Int
  ) -> (top: Int, left: Int) {
    var top = -((height - sourceHeight) / 2)
    var left = -((width - sourceWidth) / 2)
    if cropPadding > 0 {
      var random = random(.crop, sample: sample, epoch: epoch)
      top += random.next(below: 2 * cropPadding + 1) - cropPadding
      left += random.next(below: 2 * cropPadding + 1) - cropPadding
    }
    return (top, left)
  }

  func isFlipped(sample: Int, epoch: Int) -> Bool {
    guard horizontalFlip else { return false }
    var random = random(.flip, sample: sample, epoch: epoch)
    return random.next(below: 2) == 1
  }
}

extension CounterRandom: RandomNumbers {}
