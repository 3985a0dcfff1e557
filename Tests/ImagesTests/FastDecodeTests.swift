import Foundation
import Images
import Testing

/// Decoding for speed: near the exact pixels, the same each time, of the same sizes.
@Suite struct FastDecodeTests {
  private struct Error {
    var mean: Double
    var signalToNoise: Double

    init(_ one: PixelBuffer, _ other: PixelBuffer) {
      var (sum, squares) = (0, 0)
      for index in 0..<one.count {
        let difference = Int(one.base[index]) - Int(other.base[index])
        sum += abs(difference)
        squares += difference * difference
      }
      mean = Double(sum) / Double(one.count)
      signalToNoise = 10 * log10(255 * 255 * Double(one.count) / Double(max(squares, 1)))
    }
  }

  /// Slow waves of colour with some noise, as photographs have.
  private func picture(height: Int, width: Int) -> PixelBuffer {
    let image = PixelBuffer()
    image.reshape(height: height, width: width, channels: 3)
    var random = CodecFixture.SplitMix(state: 5)
    for y in 0..<height {
      for x in 0..<width {
        let noise = Double(random.next() % 13) - 6
        for channel in 0..<3 {
          let phase = Double(x * (channel + 1) + y * (3 - channel)) / 40
          image.base[(y * width + x) * 3 + channel] = UInt8(127 + 110 * sin(phase) + noise)
        }
      }
    }
    return image
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)], [false, true])
  func isNearTheExact(sampling: (Int, Int), isProgressive: Bool) throws {
    var settings = JPEGSettings()
    (settings.horizontalSubsampling, settings.verticalSubsampling) = sampling
    settings.isProgressive = isProgressive
    let decoder = ImageDecoder()
    for (height, width) in [(90, 203), (67, 131), (17, 9), (1, 1)] {
      let bytes = try settings.encode(picture(height: height, width: width))
      for channels in [1, 3] {
        let exact = try decoder.decode(bytes, channels: channels)
        let fast = try decoder.decode(bytes, channels: channels, fidelity: .fast)
        #expect((fast.height, fast.width) == (exact.height, exact.width))
        let error = Error(fast, exact)
        #expect(error.mean < 3 && error.signalToNoise > 34, "\(error), \(width) x \(height)")
      }
    }
  }

  /// Whatever part is asked for, and after whatever other image, a pixel is the same.
  @Test(arguments: CodecRegionTests.cases, [1, 2])
  func isThatPartOfTheWhole(_ form: CodecRegionTests.Case, scale: Int) throws {
    var random = CodecFixture.SplitMix(state: UInt64(form.horizontal * 10 + form.vertical))
    let decoder = ImageDecoder()
    for (height, width) in [(90, 203), (67, 131), (49, 97)] {
      var settings = JPEGSettings()
      settings.horizontalSubsampling = form.horizontal
      settings.verticalSubsampling = form.vertical
      settings.isProgressive = form.isProgressive
      let bytes = try settings.encode(picture(height: height, width: width))
      let whole = try decoder.decode(bytes, scale: scale, fidelity: .fast)
      for region in CodecRegionTests.regions(
        height: whole.height, width: whole.width, random: &random)
      {
        let part = try decoder.decode(bytes, region: region, scale: scale, fidelity: .fast)
        let count = part.differences(from: whole, at: region)
        #expect(count == 0, "\(form.testDescription) \(width)x\(height) / \(scale): \(region)")
      }
    }
  }

  /// Files of other kinds are decoded as well.
  @Test func goldenFilesAreNearTheirPixels() throws {
    let decoder = ImageDecoder()
    for expected in CodecFixture.expectations {
      let bytes = try CodecFixture.file(expected.name)
      let exact = try decoder.decode(bytes)
      let fast = try decoder.decode(bytes, fidelity: .fast)
      #expect((fast.height, fast.width) == (exact.height, exact.width))
      if expected.name.hasSuffix(".png") { #expect(fast.pixels == exact.pixels) }
    }
  }
}
