import Glibc
import RunPlanning
import Tensors

/// Mixes the images of a shard with each other: mixup or cutmix, in one share for the whole shard.
///
/// Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al.,
/// "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV
/// 2019. Partners are of the same shard, so that what is mixed does not depend on the ranks.
struct ImageMixing: Sendable {
  let mixupAlpha: Double
  let cutmixAlpha: Double
  let seed: UInt64

  /// nil where nothing is mixed.
  init?(_ config: RunConfig) {
    let training = config.training
    guard training.mixupAlpha > 0 || training.cutmixAlpha > 0 else { return nil }
    (mixupAlpha, cutmixAlpha) = (training.mixupAlpha, training.cutmixAlpha)
    seed = training.seed
  }

  /// Mixes `labels.count` images in their place.
  ///
  /// - Parameters:
  ///   - pixels: Float32 NHWC, normalised.
  ///   - draw: number of the shard within its epoch.
  /// - Returns: nil where there is nothing to mix with.
  func apply(
    to pixels: UnsafeMutablePointer<Float>, labels: [Int32], size: SampleTransform.Size, epoch: Int,
    draw: Int
  ) -> LabelMixture? {
    guard labels.count > 1 else { return nil }
    var random = CounterRandom(seed: seed, epoch: epoch, sample: draw, purpose: .mixing)
    let isCutmix =
      mixupAlpha > 0 && cutmixAlpha > 0 ? random.next(below: 2) == 1 : cutmixAlpha > 0
    let alpha = isCutmix ? cutmixAlpha : mixupAlpha
    var share = random.beta(alpha)
    let partners = random.permutation(labels.count).map { Int($0) }
    if isCutmix {
      let box = Self.box(share: share, size: size, &random)
      share = 1 - Double(box.rows.count * box.columns.count) / Double(size.height * size.width)
      forEachCycle(pixels, partners, size) { image, partner in
        for row in box.rows {
          let start = (row * size.width + box.columns.lowerBound) * size.channels
          (image + start).update(
            from: partner + start, count: box.columns.count * size.channels)
        }
      }
    } else {
      let (own, other) = (Float(share), Float(1 - share))
      forEachCycle(pixels, partners, size) { image, partner in
        for index in 0..<size.elements {
          image[index] = own * image[index] + other * partner[index]
        }
      }
    }
    return LabelMixture(labels: partners.map { labels[$0] }, ownShare: share)
  }

  /// A rectangle of 1 − `share` of the area around a random point, cut off at the edges.
  private static func box(
    share: Double, size: SampleTransform.Size, _ random: inout CounterRandom
  ) -> (rows: Range<Int>, columns: Range<Int>) {
    let cut = (1 - share).squareRoot()
    func range(_ length: Int) -> Range<Int> {
      let half = Int(Double(length) * cut) / 2
      let centre = random.next(below: length)
      return max(0, centre - half)..<min(length, centre + half)
    }
    let rows = range(size.height)
    return (rows, range(size.width))
  }

  /// Calls `body` with every image and its partner as that was before anything was mixed: along the
  /// cycles of the permutation, of each of which one image is kept aside.
  private func forEachCycle(
    _ pixels: UnsafeMutablePointer<Float>, _ partners: [Int], _ size: SampleTransform.Size,
    _ body: (_ image: UnsafeMutablePointer<Float>, _ partner: UnsafePointer<Float>) -> Void
  ) {
    let kept = UnsafeMutablePointer<Float>.allocate(capacity: size.elements)
    defer { kept.deallocate() }
    var isDone = [Bool](repeating: false, count: partners.count)
    for first in partners.indices where !isDone[first] {
      kept.update(from: pixels + first * size.elements, count: size.elements)
      var image = first
      while true {
        isDone[image] = true
        let partner = partners[image]
        let source =
          partner == first ? UnsafePointer(kept) : UnsafePointer(pixels + partner * size.elements)
        body(pixels + image * size.elements, source)
        if partner == first { break }
        image = partner
      }
    }
  }
}

/// Sets a random rectangle of a normalised image to zero, the mean.
///
/// Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020. Area 0.02 to 0.33 of the image,
/// ratio 0.3 to 3.3, at most ten tries and zeros are torchvision's; the paper goes up to 0.4, tries until
/// a rectangle fits, and prefers random values.
struct RandomErasing: Sendable {
  let probability: Double

  func apply(
    to pixels: UnsafeMutablePointer<Float>, size: SampleTransform.Size,
    _ random: inout CounterRandom
  ) {
    guard random.uniformDouble() < probability else { return }
    let area = Double(size.height * size.width)
    let (least, most) = (log(0.3), log(3.3))
    for _ in 0..<10 {
      let target = area * (0.02 + random.uniformDouble() * (0.33 - 0.02))
      let ratio = exp(least + random.uniformDouble() * (most - least))
      let height = Int((target * ratio).squareRoot().rounded(.toNearestOrEven))
      let width = Int((target / ratio).squareRoot().rounded(.toNearestOrEven))
      guard height > 0, width > 0, height < size.height, width < size.width else { continue }
      let top = random.next(below: size.height - height + 1)
      let left = random.next(below: size.width - width + 1)
      for row in top..<top + height {
        (pixels + (row * size.width + left) * size.channels).update(
          repeating: 0, count: width * size.channels)
      }
      return
    }
  }
}

extension CounterRandom {
  /// A number from Beta(α, α).
  mutating func beta(_ alpha: Double) -> Double {
    let (first, second) = (gamma(alpha), gamma(alpha))
    // Both can vanish for a tiny α: the distribution is then all at 0 and 1.
    guard first + second > 0 else { return Double(next(below: 2)) }
    return first / (first + second)
  }

  /// A number from Gamma(α, 1).
  ///
  /// Source: Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", ACM TOMS 26, 2000.
  private mutating func gamma(_ alpha: Double) -> Double {
    // Below 1 by that of α + 1.
    let boost = alpha < 1 ? pow(1 - uniformDouble(), 1 / alpha) : 1
    let d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = normal()
      let root = 1 + c * x
      guard root > 0 else { continue }
      let v = root * root * root
      let u = 1 - uniformDouble()
      if log(u) < 0.5 * x * x + d - d * v + d * log(v) { return boost * d * v }
    }
  }
}
