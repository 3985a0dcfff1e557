import Images
import Testing

/// A region is, bit for bit, that part of the whole.
@Suite struct CodecRegionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var horizontal: Int
    var vertical: Int
    var isProgressive: Bool
    var testDescription: String {
      "\(horizontal)x\(vertical)\(isProgressive ? " progressive" : "")"
    }
  }

  static let cases: [Case] = [
    (1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3),
  ].flatMap { sampling in
    [false, true].map {
      Case(horizontal: sampling.0, vertical: sampling.1, isProgressive: $0)
    }
  }

  /// Small and large regions anywhere, and all that touch a corner or an edge.
  static func regions(
    height: Int, width: Int, random: inout CodecFixture.SplitMix
  ) -> [PixelRegion] {
    var regions = [
      PixelRegion(top: 0, left: 0, height: height, width: width),
      PixelRegion(top: 0, left: 0, height: 1, width: 1),
      PixelRegion(top: height - 1, left: width - 1, height: 1, width: 1),
      PixelRegion(top: 0, left: width / 2, height: height, width: 1),
      PixelRegion(top: height / 2, left: 0, height: 1, width: width),
    ]
    for round in 0..<14 {
      let tallest = round % 2 == 0 ? height : min(height, 20)
      let widest = round % 2 == 0 ? width : min(width, 20)
      let (h, w) = (
        Int.random(in: 1...tallest, using: &random), Int.random(in: 1...widest, using: &random)
      )
      regions.append(
        PixelRegion(
          top: Int.random(in: 0...(height - h), using: &random),
          left: Int.random(in: 0...(width - w), using: &random), height: h, width: w))
    }
    return regions
  }

  @Test(arguments: cases, [1, 2, 4, 8])
  func isThatPartOfTheWhole(_ form: Case, scale: Int) throws {
    let seed = UInt64(form.horizontal * 10 + form.vertical)
    var random = CodecFixture.SplitMix(state: seed)
    let decoder = ImageDecoder()
    for (height, width) in [(90, 203), (67, 131), (49, 97)] {
      var settings = JPEGSettings()
      settings.horizontalSubsampling = form.horizontal
      settings.verticalSubsampling = form.vertical
      settings.isProgressive = form.isProgressive
      settings.restartInterval = width == 131 ? 3 : 0
      let bytes = try settings.encode(
        CodecFixture.picture(height: height, width: width, channels: 3, seed: seed))
      let whole = try decoder.decode(bytes, scale: scale)
      #expect(whole.height == (height + scale - 1) / scale)
      #expect(whole.width == (width + scale - 1) / scale)
      for region in Self.regions(height: whole.height, width: whole.width, random: &random) {
        let part = try decoder.decode(bytes, region: region, scale: scale)
        let count = part.differences(from: whole, at: region)
        #expect(count == 0, "\(form.testDescription) \(width)x\(height) / \(scale): \(region)")
      }
    }
  }

  @Test(arguments: [1, 3])
  func ofEveryGoldenFile(channels: Int) throws {
    var random = CodecFixture.SplitMix(state: 3)
    let decoder = ImageDecoder()
    for expected in CodecFixture.expectations {
      let bytes = try CodecFixture.file(expected.name)
      let whole = try decoder.decode(bytes, channels: channels)
      for region in Self.regions(height: whole.height, width: whole.width, random: &random) {
        let part = try decoder.decode(bytes, channels: channels, region: region)
        #expect(part.differences(from: whole, at: region) == 0, "\(expected.name): \(region)")
      }
    }
  }

  @Test(arguments: ["420-69x50.jpg", "filters.png"])
  func outsideOfTheImageIsRefused(_ name: String) throws {
    let bytes = try CodecFixture.file(name)
    let regions = [
      PixelRegion(top: -1, left: 0, height: 2, width: 2),
      PixelRegion(top: 0, left: 60, height: 5, width: 10),
      PixelRegion(top: 50, left: 0, height: 1, width: 1),
      PixelRegion(top: 0, left: 0, height: 0, width: 1),
      PixelRegion(top: 1, left: 0, height: Int.max, width: 1),
      PixelRegion(top: Int.max, left: 0, height: 1, width: 1),
      PixelRegion(top: 0, left: Int.min, height: 1, width: Int.max),
    ]
    for region in regions {
      let error = try #require(throws: ImageError.self) {
        try ImageDecoder().decode(bytes, region: region)
      }
      #expect(error.kind == .unsupported && error.message.contains("region"), "\(error)")
    }
  }

  @Test func reducedImagesShowTheSame() throws {
    let picture = PixelBuffer()
    picture.reshape(height: 64, width: 80, channels: 3)
    for i in 0..<picture.count { picture.base[i] = UInt8(i % 240 / 3 * 3) }
    let bytes = try JPEGSettings().encode(picture)
    let decoder = ImageDecoder()
    for scale in [2, 4, 8] {
      let reduced = try decoder.decode(bytes, scale: scale)
      for y in 0..<reduced.height {
        for x in 0..<reduced.width {
          // The middle of the pixels that it stands for, on a horizontal ramp of 3 a pixel.
          let expected = 3 * (x * scale) + 3 * (scale - 1) / 2
          let found = Int(reduced.base[(y * reduced.width + x) * 3])
          #expect(abs(found - expected) <= 12, "1/\(scale), row \(y), column \(x)")
        }
      }
    }
    let error = try #require(throws: ImageError.self) {
      try decoder.decode(picture.encodedPNG(), scale: 2)
    }
    #expect(error.kind == .unsupported)
  }
}
