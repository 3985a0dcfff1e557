import Images
import Testing

@Suite struct CodecEncoderTests {
  @Test(arguments: [1, 3])
  func pngKeepsEveryPixel(channels: Int) throws {
    for (height, width) in [(1, 1), (1, 40), (33, 1), (29, 50), (300, 400)] {
      let picture = CodecFixture.picture(height: height, width: width, channels: channels)
      let bytes = try picture.encodedPNG()
      let read = try ImageDecoder().decode(bytes, channels: channels)
      #expect(read.height == height && read.width == width)
      #expect(read.pixels == picture.pixels, "\(width)x\(height)")
    }
  }

  @Test(arguments: [1, 3])
  func jpegComesNearer(channels: Int) throws {
    let picture = CodecFixture.picture(height: 120, width: 160, channels: channels)
    var errors: [Int] = []
    var sizes: [Int] = []
    for quality in [30, 70, 95] {
      var settings = JPEGSettings()
      settings.quality = quality
      (settings.horizontalSubsampling, settings.verticalSubsampling) = (1, 1)
      let bytes = try settings.encode(picture)
      let read = try ImageDecoder().decode(bytes, channels: channels)
      errors.append(zip(read.pixels, picture.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) })
      sizes.append(bytes.count)
    }
    #expect(errors == errors.sorted(by: >) && sizes == sizes.sorted())
    #expect(errors[2] < picture.count * 4)
  }

  @Test func progressiveAndRestartedHoldTheSamePixels() throws {
    let picture = CodecFixture.picture(height: 75, width: 99, channels: 3)
    var settings = JPEGSettings()
    let plain = try ImageDecoder().decode(settings.encode(picture)).pixels
    settings.restartInterval = 2
    let restarted = try settings.encode(picture)
    #expect(restarted.place(of: 0xdd) != nil)
    #expect(try ImageDecoder().decode(restarted).pixels == plain)
    settings.isProgressive = true
    let progressive = try settings.encode(picture)
    #expect(progressive.place(of: 0xc2) != nil)
    #expect(try ImageDecoder().decode(progressive).pixels == plain)
  }

  @Test func jpegRefusesTooLongASide() throws {
    let strip = PixelBuffer()
    strip.reshape(height: 1, width: 65501, channels: 1)
    let error = try #require(throws: ImageError.self) { try JPEGSettings().encode(strip) }
    #expect(error.kind == .tooLarge && error.message.contains("65500"), "\(error)")
  }
}
