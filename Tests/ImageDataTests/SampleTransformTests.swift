import ImageData
import RunPlanning
import Testing

@Suite struct SampleTransformTests {
  /// One sample through a transform, as values.
  private func apply(
    _ transform: SampleTransform, _ pixels: [UInt8], sample: Int = 0, epoch: Int = 0
  ) -> [Float] {
    var values = [Float](repeating: .nan, count: transform.elementsPerSample)
    values.withUnsafeMutableBufferPointer { target in
      pixels.withUnsafeBufferPointer { source in
        guard let target = target.baseAddress, let source = source.baseAddress else { return }
        transform.apply(source, sample: sample, epoch: epoch, into: target)
      }
    }
    return values
  }

  /// Byte values as they are: mean 0 and deviation 1/255.
  private func plain(
    _ height: Int, _ width: Int, channels: Int = 1, resolution: Int = 0, cropPadding: Int = 0,
    horizontalFlip: Bool = false, seed: UInt64 = 3
  ) throws -> SampleTransform {
    try SampleTransform(
      channels: channels, sourceHeight: height, sourceWidth: width, resolution: resolution,
      mean: Array(repeating: 0, count: channels),
      standardDeviation: Array(repeating: 1 / 255, count: channels), cropPadding: cropPadding,
      horizontalFlip: horizontalFlip, seed: seed)
  }

  @Test func normalisesPerChannel() throws {
    let transform = try SampleTransform(
      channels: 3, sourceHeight: 1, sourceWidth: 2, mean: [0.5, 0.25, 0],
      standardDeviation: [0.5, 0.25, 2])
    let values = apply(transform, [0, 255, 51, 255, 0, 102])
    let expected: [Float] = [-1, 3, 0.1, 1, -1, 0.2]
    #expect(zip(values, expected).allSatisfy { abs($0 - $1) < 1e-7 }, "\(values)")
  }

  @Test func centresSmallerImagesOnZeroPixels() throws {
    let transform = try SampleTransform(
      channels: 1, sourceHeight: 2, sourceWidth: 1, resolution: 4, mean: [0.5],
      standardDeviation: [0.5])
    #expect((transform.height, transform.width) == (4, 4))
    let z: Float = -1
    #expect(
      apply(transform, [255, 255]) == [
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
    let transform = try plain(
      height, width, resolution: resolution, cropPadding: padding, horizontalFlip: true)
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
      let values = apply(transform, image, sample: sample).map { $0.rounded() }
      try #require(windows[values] != nil, "sample \(sample): \(values)")
      windows[values, default: 0] += 1
    }
    #expect(windows.count == 50)
    // 40 each on average; two windows may look alike only at the corners.
    #expect(windows.values.allSatisfy { $0 >= 10 }, "\(windows.values.sorted())")
  }

  @Test func paddingBeyondTheImage() throws {
    let transform = try plain(2, 3, channels: 3, resolution: 4, cropPadding: 9)
    let image = [UInt8](repeating: 7, count: 18)
    let sums = (0..<500).map { sample in
      apply(transform, image, sample: sample).reduce(0, +).rounded()
    }
    #expect(sums.contains(0) && sums.contains(126))
    #expect(sums.allSatisfy { $0 >= 0 && $0 <= 126 })
  }

  @Test func drawsDependOnSeedEpochAndSampleAlone() throws {
    let image = (0..<64).map { UInt8($0) }
    let transform = try plain(8, 8, cropPadding: 2, horizontalFlip: true)
    let forwards = (0..<20).map { apply(transform, image, sample: $0, epoch: 4) }
    let backwards = (0..<20).reversed().map { apply(transform, image, sample: $0, epoch: 4) }
    #expect(forwards == backwards.reversed())
    #expect(forwards != (0..<20).map { apply(transform, image, sample: $0, epoch: 5) })
    let other = try plain(8, 8, cropPadding: 2, horizontalFlip: true, seed: 4)
    #expect(forwards != (0..<20).map { apply(other, image, sample: $0, epoch: 4) })
  }

  @Test func flipIsEven() throws {
    let transform = try plain(1, 2, horizontalFlip: true)
    let flipped = (0..<4000).filter { apply(transform, [1, 2], sample: $0)[0].rounded() == 2 }
    // 2,000 with a standard deviation of 32.
    #expect(abs(flipped.count - 2000) < 160)
  }

  @Test func deterministicFormDrawsNothing() throws {
    let image = (0..<64).map { UInt8($0) }
    let transform = try plain(8, 8, cropPadding: 2, horizontalFlip: true).deterministic
    #expect(apply(transform, image, sample: 11).map { UInt8($0.rounded()) } == image)
  }

  @Test func refusesWhatDoesNotFit() throws {
    func refusal(
      channels: Int = 1, resolution: Int = 0, mean: [Double] = [0.5], deviation: [Double] = [0.5],
      padding: Int = 0
    ) throws -> DataError {
      try #require(throws: DataError.self) {
        try SampleTransform(
          channels: channels, sourceHeight: 28, sourceWidth: 28, resolution: resolution,
          mean: mean, standardDeviation: deviation, cropPadding: padding)
      }
    }
    let refusals = try [
      refusal(channels: 3), refusal(resolution: 27), refusal(mean: [.nan]),
      refusal(deviation: [0]), refusal(deviation: [-1]), refusal(deviation: [.infinity]),
      refusal(padding: -1), refusal(padding: .max),
    ]
    #expect(refusals.allSatisfy { $0.kind == .configuration && $0.message.hasPrefix("data.") })
  }
}
