import RunPlanning
import Tensors
import Testing

@testable import ImageData

@Suite struct MixingTests {
  private let size = SampleTransform.Size(height: 6, width: 8, channels: 3)

  private func mixing(mixup: Double = 0, cutmix: Double = 0) throws -> ImageMixing {
    var config = RunConfig()
    (config.training.mixupAlpha, config.training.cutmixAlpha) = (mixup, cutmix)
    config.training.seed = 5
    return try #require(ImageMixing(config))
  }

  /// Images whose values are all their number.
  private func mixed(
    _ mixing: ImageMixing, count: Int, epoch: Int = 0, draw: Int
  ) -> (images: [[Float]], mixture: LabelMixture?) {
    var values = (0..<count).flatMap { [Float](repeating: Float($0), count: size.elements) }
    let mixture = values.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap {
        mixing.apply(
          to: $0, labels: (0..<Int32(count)).map { $0 }, size: size, epoch: epoch, draw: draw)
      }
    }
    let images = (0..<count).map {
      Array(values[$0 * size.elements..<($0 + 1) * size.elements])
    }
    return (images, mixture)
  }

  @Test func nothingIsMixedUnlessAsked() {
    #expect(ImageMixing(RunConfig()) == nil)
  }

  @Test func mixupIsTheWeightedSumWithThePartner() throws {
    let mixing = try mixing(mixup: 0.4)
    for draw in 0..<50 {
      let (images, mixture) = mixed(mixing, count: 7, draw: draw)
      let found = try #require(mixture)
      #expect(found.labels.sorted() == Array(0..<7))
      for (number, image) in images.enumerated() {
        let expected =
          found.ownShare * Double(number) + (1 - found.ownShare) * Double(found.labels[number])
        #expect(image.allSatisfy { abs(Double($0) - expected) < 1e-5 })
      }
    }
  }

  @Test func cutmixPastesTheShareThatItSays() throws {
    let mixing = try mixing(cutmix: 1)
    var pasted = 0
    for draw in 0..<50 {
      let (images, mixture) = mixed(mixing, count: 5, draw: draw)
      let found = try #require(mixture)
      for (number, image) in images.enumerated() where found.labels[number] != Int32(number) {
        let own = image.filter { $0 == Float(number) }.count
        let other = image.filter { $0 == Float(found.labels[number]) }.count
        #expect(own + other == size.elements)
        #expect(abs(Double(own) / Double(size.elements) - found.ownShare) < 1e-12)
        pasted += other
      }
    }
    #expect(pasted > 1000)
  }

  @Test func drawsDependOnShardAndEpochAlone() throws {
    let mixing = try mixing(mixup: 0.2, cutmix: 1)
    let first = mixed(mixing, count: 6, epoch: 2, draw: 9)
    let again = mixed(mixing, count: 6, epoch: 2, draw: 9)
    #expect(first.images == again.images && first.mixture == again.mixture)
    #expect(mixed(mixing, count: 6, epoch: 3, draw: 9).mixture != first.mixture)
    #expect(mixed(mixing, count: 6, epoch: 2, draw: 10).mixture != first.mixture)
    #expect(mixed(mixing, count: 1, draw: 0).mixture == nil)
  }

  /// Mean 1/2 and variance 1/(4(2α + 1)).
  @Test(arguments: [0.2, 1, 4]) func betaHasItsMoments(alpha: Double) {
    var random = CounterRandom(seed: 1, epoch: 0, sample: 0, purpose: .test)
    let values = (0..<20_000).map { _ in random.beta(alpha) }
    let mean = values.reduce(0, +) / 20_000
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
    #expect(abs(mean - 0.5) < 0.01)
    #expect(abs(variance * 4 * (2 * alpha + 1) - 1) < 0.03)
  }

  @Test func erasingSetsRectanglesToTheMean() {
    let erasing = RandomErasing(probability: 0.5)
    var (erased, largest) = (0, 0)
    let large = SampleTransform.Size(height: 32, width: 32, channels: 3)
    for sample in 0..<400 {
      var random = CounterRandom(seed: 1, epoch: 0, sample: sample, purpose: .erasing)
      var values = [Float](repeating: 1, count: large.elements)
      values.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress { erasing.apply(to: base, size: large, &random) }
      }
      let zeros = values.filter { $0 == 0 }.count / 3
      if zeros > 0 { erased += 1 }
      largest = max(largest, zeros)
      #expect(zeros == 0 || zeros >= 10)
    }
    // 200 with a standard deviation of 10; areas of 2 to 33 %.
    #expect(abs(erased - 200) < 50)
    #expect((200...400).contains(largest))
  }
}
