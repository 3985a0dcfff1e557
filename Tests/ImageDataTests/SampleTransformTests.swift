import ImageData
import RunPlanning
import Testing

@Suite struct SampleTransformTests {
  /// One sample through a transform for 3 x 4 images, say, as values.
  private func apply(
    _ transform: SampleTransform, _ height: Int, _ width: Int, _ pixels: [UInt8], sample: Int = 0,
    epoch: Int = 0
  ) throws -> [Float] {
    try values(
      transform,
      OneImage(
        form: .pixels(height: height, width: width, channels: transform.channels), bytes: pixels),
      sample: sample, epoch: epoch)
  }

  @Test func normalisesPerChannel() throws {
    let transform = try SampleTransform(
      channels: 3, height: 1, width: 2, mean: [0.5, 0.25, 0], deviation: [0.5, 0.25, 2])
    let values = try apply(transform, 1, 2, [0, 255, 51, 255, 0, 102])
    let expected: [Float] = [-1, 3, 0.1, 1, -1, 0.2]
    #expect(zip(values, expected).allSatisfy { abs($0 - $1) < 1e-7 }, "\(values)")
  }

  @Test func centresSmallerImagesOnZeroPixels() throws {
    let transform = try SampleTransform(
      height: 2, width: 1, resolution: 4, mean: [0.5], deviation: [0.5])
    #expect((transform.height, transform.width) == (4, 4))
    let z: Float = -1
    #expect(
      try apply(transform, 2, 1, [255, 255]) == [
        z, z, z, z,
        z, 1, z, z,
        z, 1, z, z,
        z, z, z, z,
      ])
  }

  /// Every crop is one of the windows of the padded image, mirrored or not, and all of them come.
  @Test(arguments: [0, 5]) func cropsAndFlips(resolution: Int) throws {
    let (height, width, padding) = (3, 4, 2)
    let image = (1...UInt8(height * width)).map { $0 }
    let transform = try SampleTransform(
      height: height, width: width, resolution: resolution
    ) { ($0.cropPadding, $0.horizontalFlip) = (padding, true) }
    let (rows, columns) = (transform.height, transform.width)
    var windows: [[Float]: Int] = [:]
    for top in -padding...padding {
      for left in -padding...padding {
        for flip in [false, true] {
          let window = (0..<rows * columns).map { index -> Float in
            let column = flip ? columns - 1 - index % columns : index % columns
            let y = index / columns + top - (rows - height) / 2
            let x = column + left - (columns - width) / 2
            let inside = (0..<height).contains(y) && (0..<width).contains(x)
            return inside ? Float(image[y * width + x]) : 0
          }
          windows[window] = 0
        }
      }
    }
    for sample in 0..<2000 {
      let values = try apply(transform, height, width, image, sample: sample).map { $0.rounded() }
      try #require(windows[values] != nil, "sample \(sample): \(values)")
      windows[values, default: 0] += 1
    }
    #expect(windows.count == 50)
    // 40 each on average; two windows may look alike only at the corners.
    #expect(windows.values.allSatisfy { $0 >= 10 }, "\(windows.values.sorted())")
  }

  @Test func paddingBeyondTheImage() throws {
    let transform = try SampleTransform(channels: 3, height: 2, width: 3, resolution: 4) {
      $0.cropPadding = 9
    }
    let image = [UInt8](repeating: 7, count: 18)
    let sums = try (0..<500).map { sample in
      try apply(transform, 2, 3, image, sample: sample).reduce(0, +).rounded()
    }
    #expect(sums.contains(0) && sums.contains(126))
    #expect(sums.allSatisfy { $0 >= 0 && $0 <= 126 })
  }

  @Test func drawsDependOnSeedEpochAndSampleAlone() throws {
    let image = (0..<64).map { UInt8($0) }
    func make(seed: UInt64) throws -> SampleTransform {
      try SampleTransform(height: 8, width: 8, seed: seed) {
        ($0.cropPadding, $0.horizontalFlip) = (2, true)
      }
    }
    let transform = try make(seed: 3)
    func all(_ transform: SampleTransform, epoch: Int) throws -> [[Float]] {
      try (0..<20).map { try apply(transform, 8, 8, image, sample: $0, epoch: epoch) }
    }
    let forwards = try all(transform, epoch: 4)
    let backwards = try (0..<20).reversed().map {
      try apply(transform, 8, 8, image, sample: $0, epoch: 4)
    }
    #expect(forwards == backwards.reversed())
    #expect(try forwards != all(transform, epoch: 5))
    #expect(try forwards != all(make(seed: 4), epoch: 4))
  }

  @Test func flipIsEven() throws {
    let transform = try SampleTransform(height: 1, width: 2) { $0.horizontalFlip = true }
    let flipped = try (0..<4000).filter {
      try apply(transform, 1, 2, [1, 2], sample: $0)[0].rounded() == 2
    }
    // 2,000 with a standard deviation of 32.
    #expect(abs(flipped.count - 2000) < 160)
  }

  @Test func deterministicFormDrawsNothing() throws {
    let image = (0..<64).map { UInt8($0) }
    let transform = try SampleTransform(height: 8, width: 8) {
      ($0.cropPadding, $0.horizontalFlip) = (2, true)
    }.deterministic
    #expect(
      try apply(transform, 8, 8, image, sample: 11).map { UInt8($0.rounded()) } == image)
  }

  @Test func refusesWhatDoesNotFit() throws {
    func refusal(
      channels: Int = 1, resolution: Int = 0, mean: [Double] = [0.5], deviation: [Double] = [0.5]
    ) throws -> DataError {
      try #require(throws: DataError.self) {
        try SampleTransform(
          channels: channels, height: 28, width: 28, resolution: resolution, mean: mean,
          deviation: deviation)
      }
    }
    let refusals = try [
      refusal(channels: 3, mean: [0, 0]), refusal(resolution: 27), refusal(mean: [.nan]),
      refusal(deviation: [0]), refusal(deviation: [-1]), refusal(deviation: [.infinity]),
    ]
    #expect(refusals.allSatisfy { $0.kind == .configuration && $0.message.hasPrefix("data.") })
  }
}
