import Images
import Testing

/// Pixels, sizes and orientations are Pillow's, file by file (Golden/make_codecs.py).
@Suite struct CodecGoldenTests {
  @Test func allFilesAreThere() {
    #expect(CodecFixture.expectations.count >= 200)
  }

  @Test(arguments: CodecFixture.expectations)
  func decodesAsPillow(_ expected: CodecFixture.Expectation) throws {
    let bytes = try CodecFixture.file(expected.name)
    let decoder = ImageDecoder()
    let header = try decoder.header(of: bytes)
    #expect(header.width == expected.width && header.height == expected.height)
    #expect(header.orientation == expected.orientation)
    #expect(header.format == (expected.name.hasSuffix("png") ? .png : .jpeg))

    let rgb = try decoder.decode(bytes)
    #expect(rgb.width == expected.width && rgb.height == expected.height && rgb.channels == 3)
    #expect(CodecFixture.checksum(rgb) == expected.rgb, "convert(\"RGB\")")
    #expect(decoder.complaint == nil)

    let luma = try decoder.decode(bytes, channels: 1)
    #expect(luma.channels == 1)
    #expect(CodecFixture.checksum(luma) == expected.luma, "convert(\"L\")")

    let upright = PixelBuffer()
    applyOrientation(header.orientation, from: rgb, into: upright)
    #expect(CodecFixture.checksum(upright) == expected.upright, "exif_transpose")
    #expect((upright.height == rgb.width) == (header.orientation > 4) || rgb.height == rgb.width)
  }

  @Test func coloursAreNamed() throws {
    let expected: [(String, ImageHeader.Colour)] = [
      ("grey-8x8.jpg", .grey), ("420-8x8.jpg", .rgb), ("ycck-adobe.jpg", .cmyk),
      ("grey-8-3x9.png", .grey), ("grey-alpha-8-3x9.png", .greyAlpha), ("rgb-16-3x9.png", .rgb),
      ("palette-4-3x9.png", .palette), ("rgba-8-3x9.png", .rgba),
    ]
    for (name, colour) in expected {
      #expect(try ImageDecoder().header(of: CodecFixture.file(name)).colour == colour, "\(name)")
    }
  }

  /// The state of an image never reaches the next, whatever their order.
  @Test func oneDecoderReadsAllInAnyOrder() throws {
    let decoder = ImageDecoder()
    let target = PixelBuffer()
    var random = CodecFixture.SplitMix(state: 7)
    for expected in CodecFixture.expectations.shuffled(using: &random) {
      let bytes = try CodecFixture.file(expected.name)
      // A damaged one in between.
      _ = try? decoder.decode(Array(bytes.prefix(bytes.count * 2 / 3)))
      try bytes.withBytes { (bytes) throws(ImageError) in
        try decoder.decode(bytes, channels: 3, into: target)
      }
      #expect(CodecFixture.checksum(target) == expected.rgb, "\(expected.name)")
    }
  }

  /// A file without tables must not be decoded with those of the image before.
  @Test func tablesAreNotInherited() throws {
    let decoder = ImageDecoder()
    let whole = try CodecFixture.file("420-69x50.jpg")
    _ = try decoder.decode(whole)
    var bare = whole
    while let start = bare.place(of: 0xdb) {
      bare.removeSubrange(start..<(start + 2 + Int(bare[start + 2]) << 8 + Int(bare[start + 3])))
    }
    let error = try #require(throws: ImageError.self) { try decoder.decode(bare) }
    #expect(error.kind == .damaged && error.message.contains("Quantization table"), "\(error)")
  }

  @Test func arithmeticCodingGivesTheSamePixels() throws {
    let picture = CodecFixture.picture(height: 61, width: 83, channels: 3)
    var settings = JPEGSettings()
    let expected = try ImageDecoder().decode(settings.encode(picture)).pixels
    settings.isArithmetic = true
    let arithmetic = try settings.encode(picture)
    #expect(arithmetic.place(of: 0xc9) != nil)
    #expect(try ImageDecoder().decode(arithmetic).pixels == expected)
    settings.isProgressive = true
    #expect(try ImageDecoder().decode(settings.encode(picture)).pixels == expected)
  }
}
