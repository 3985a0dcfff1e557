import Foundation
import Testing

@testable import Images

/// What golden cases cannot show of operations.
@Suite struct OperationTests {
  /// A narrow image asks for a result of millions of columns, of which few are wanted.
  @Test(.timeLimit(.minutes(1))) func narrowImagesCostNoMore() {
    let (resampler, target) = (Resampler(), PixelBuffer())
    for (height, width) in [(1, 30_000), (30_000, 1)] {
      let image = GoldenImage(
        kind: "noise", channels: 3, height: height, width: width, seed: 1
      ).pixels()
      resampler.resizeShorterSide(image, to: 4096, croppingCentreTo: 224, 224, into: target)
      #expect(target.count == 224 * 224 * 3)
    }
  }

  @Test func keepsItsMemoryBetweenImages() {
    let resampler = Resampler()
    let image = GoldenImage(kind: "noise", channels: 3, height: 40, width: 50, seed: 2).pixels()
    let target = PixelBuffer()
    resampler.resize(image, height: 30, width: 20, into: target)
    let (first, expected) = (target.base, crc32(pixels(of: target)))
    resampler.resize(image, height: 20, width: 30, into: target)
    resampler.resize(image, height: 30, width: 20, into: target)
    #expect(target.base == first)
    #expect(crc32(pixels(of: target)) == expected)
  }

  /// What lies around a region, behind an image and in old memory never reaches a result.
  @Test func surroundingsDoNotCount() {
    let resampler = Resampler()
    let image = GoldenImage(kind: "noise", channels: 3, height: 12, width: 14, seed: 3).pixels()
    let region = PixelRegion(top: 3, left: 4, height: 5, width: 6)
    var sums: Set<UInt32> = []
    for filler in [UInt8(0), 255] {
      for row in 0..<image.height {
        for byte in 0..<image.stride {
          let isInside = (3..<8).contains(row) && (12..<30).contains(byte)
          if !isInside { image.base[row * image.stride + byte] = filler }
        }
      }
      (image.base + image.count).update(repeating: filler, count: PixelBuffer.slack)
      for (height, width) in [(5, 9), (9, 6), (3, 2), (9, 9), (2, 6), (5, 3)] {
        let target = PixelBuffer()
        target.reshape(height: 20, width: 20, channels: 3)
        target.base.update(repeating: ~filler, count: target.count + PixelBuffer.slack)
        resampler.resize(image, region: region, height: height, width: width, into: target)
        sums.insert(crc32(pixels(of: target)))
      }
    }
    #expect(sums.count == 6)
  }

  /// Python rounds in decimal digits.
  @Test func roundsToFifteenDigits() throws {
    var stream = GoldenStream(seed: 4)
    for round in 0..<2000 {
      // Also halves of the last digit, which are exact from 2⁻¹⁵ and 15 digits on.
      let value =
        round % 2 == 0
        ? 2 * stream.uniformDouble() - 1 : Double(stream.next(below: 1 << 15)) * 0x1p-16
      let expected = try #require(Double(String(format: "%.15f", value)))
      #expect(roundedTo15Digits(value) == expected, "\(value)")
    }
  }

  @Test func aPolicyIsAFunctionOfItsStream() {
    let policies = [
      AugmentationPolicy.imageNet, .randAugment(operations: 4), .trivialAugmentWide(),
    ]
    for policy in policies {
      var all: Set<String> = []
      for seed in 0..<50 {
        func draw() -> [ImageOperation] {
          var (stream, operations) = (GoldenStream(seed: seed), [ImageOperation]())
          policy.draw(height: 40, width: 30, using: &stream) { operations.append($0) }
          return operations
        }
        let operations = draw()
        #expect(operations == draw())
        all.insert("\(operations)")
      }
      #expect(all.count > 10)
    }
  }

  private func pixels(of buffer: PixelBuffer) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: buffer.base, count: buffer.count)
  }
}
