extension RunConfig {
  package enum DataFormat: String, Sendable, Codable, CaseIterable {
    case idx, cifar10, cifar100, folder, tar, synthetic

    /// Whether images are encoded files of any size.
    package var isEncoded: Bool { self == .folder || self == .tar }
  }

  /// How a training image is brought to the network's size.
  package enum Crop: String, Sendable, Codable, CaseIterable {
    /// Padded with zeros, and cut out at a random place where `cropPadding` allows it.
    case padded
    /// A random part of random shape, resized (Szegedy et al., "Going Deeper with Convolutions",
    /// CVPR 2015, section 6).
    case randomResized = "random_resized"
  }

  package enum Augmentation: String, Sendable, Codable, CaseIterable {
    case none
    case autoAugmentImageNet = "autoaugment_imagenet"
    case autoAugmentCIFAR10 = "autoaugment_cifar10"
    case randAugment = "randaugment"
    case trivialAugment = "trivialaugment"
  }

  package enum Decode: String, Sendable, Codable, CaseIterable { case exact, fast }

  /// What happens at a training image that cannot be decoded.
  package enum Damaged: String, Sendable, Codable, CaseIterable { case fail, replace }

  package struct Data: Sendable, Equatable, Codable {
    package var format = DataFormat.idx
    /// Directory with the four files under their standard names (`train-images-idx3-ubyte`, with
    /// or without `.gz`, …); empty when each file is named.
    package var directory = ""
    package var trainImages = ""
    package var trainLabels = ""
    package var testImages = ""
    package var testLabels = ""
    /// File with names of images that are left out, one a line.
    package var exclude = ""
    /// Pixels of a side that the network sees; 0 takes the data's own size (IDX).
    package var resolution = 0
    /// First epoch (from 0) → resolution from then on; empty: `resolution` throughout.
    package var resolutions: [Int: Int] = [:]
    /// Channels of an image: 1 for IDX images, 1 or 3 for others.
    package var channels = 1
    /// Per channel, of pixels scaled to 0…1.
    package var mean: [Double] = [0.5]
    package var standardDeviation: [Double] = [0.5]
    package var decode = Decode.exact
    /// Turn images as their EXIF data says.
    package var exifOrientation = false
    package var damaged = Damaged.fail
    package var crop = Crop.padded
    /// Pixels of zero padding around an image from which a random crop of its size is taken; 0: off.
    package var cropPadding = 0
    /// Of `randomResized`: share of the image's area, and width over height, from … to.
    package var cropScale = [0.08, 1]
    package var cropRatio = [0.75, 4.0 / 3]
    /// Shorter side to which test images are resized before the centre is cut out; 0: by
    /// `standardEvaluationSide`.
    package var evaluationResize = 0
    package var horizontalFlip = false
    package var augmentation = Augmentation.none
    package var randAugmentOperations = 2
    package var randAugmentMagnitude = 9
    /// Probability with which a part of a training image is erased.
    package var randomErasing = 0.0
    /// Batches that the loader keeps ready ahead of the step.
    package var prefetch = 2
    /// Threads of a rank that read and decode ahead of the step.
    package var threads = 1
    /// Use only the first n training / test samples; 0 uses all. Also the size of synthetic data.
    package var trainLimit = 0
    package var testLimit = 0
    package init() {}
  }
}

extension RunConfig.Data {
  /// Test images are resized so that the network sees the middle 224 of 256 pixels: the protocol of
  /// the published figures.
  package var standardEvaluationSide: Int { (resolution * 256 + 112) / 224 }
}
