import Foundation
import Images
import Testing

/// What asks for too much, or is of a kind that is not read, is refused before it costs anything.
@Suite struct CodecLimitTests {
  /// The error, after it was seen several times to cost less than 100 ms of this thread's time and
  /// 64 MB of the process, the best of five, as other tests run beside.
  private func refusal(
    of bytes: [UInt8], _ damage: ImageDecoder.Damage = .refuse,
    limits: ImageLimits = ImageLimits()
  ) throws -> ImageError {
    var (seconds, growth) = (Double.infinity, Int.max)
    var found: ImageError?
    for _ in 0..<5 {
      let decoder = ImageDecoder(limits: limits, damage: damage)
      let (start, memory) = (Self.seconds(), try Self.residentBytes())
      found = try #require(throws: ImageError.self) { try decoder.decode(bytes) }
      seconds = min(seconds, Self.seconds() - start)
      growth = min(growth, try Self.residentBytes() - memory)
    }
    #expect(seconds < 0.1 && growth < 64 << 20, "\(seconds) s, \(growth) bytes")
    return try #require(found)
  }

  private static func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private static func residentBytes() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
      .split(separator: " ")
    return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(getpagesize())
  }

  @Test(arguments: ["420-69x50.jpg", "420-progressive-69x50.jpg", "cmyk-adobe.jpg"])
  func hugeSidesAreRefused(_ name: String) throws {
    let bytes = try CodecFixture.file(name)
    for (height, width) in [(65500, 65500), (65535, 65535), (1, 65535), (65500, 1), (30000, 30000)]
    {
      let error = try refusal(of: bytes.withSides(height: height, width: width))
      #expect(error.kind == .tooLarge, "\(width)x\(height): \(error)")
      let header = try #require(throws: ImageError.self) {
        try ImageDecoder().header(of: bytes.withSides(height: height, width: width))
      }
      #expect(header == error)
    }
    // Within the limits, but more than the file can hold.
    let lying = try refusal(of: bytes.withSides(height: 9000, width: 9000))
    #expect(lying.kind == .damaged && lying.message.contains("promises"), "\(lying)")
    var limits = ImageLimits()
    limits.largestSide = 49
    #expect(try refusal(of: bytes, limits: limits).kind == .tooLarge)
    limits.largestSide = 69
    limits.largestPixelCount = 50 * 41 - 1
    #expect(try refusal(of: bytes, limits: limits).kind == .tooLarge)
  }

  /// A small file must not ask for much either where a block has no least size.
  @Test(arguments: [false, true]) func arithmeticCodingPromisesNoMore(isProgressive: Bool) throws {
    var settings = JPEGSettings()
    (settings.isArithmetic, settings.isProgressive) = (true, isProgressive)
    let bytes = try settings.encode(CodecFixture.picture(height: 61, width: 83, channels: 3))
    let error = try refusal(of: bytes.withSides(height: 9000, width: 9000))
    #expect(error.kind == .damaged && error.message.contains("promises"), "\(error)")
  }

  @Test func heightsThatComeLaterAreRefused() throws {
    let bytes = try CodecFixture.file("420-69x50.jpg").withSides(height: 0, width: 69)
    let error = try refusal(of: bytes)
    #expect(error.kind == .unsupported && error.message.contains("height"), "\(error)")
  }

  @Test func hugePNGsAreRefused() throws {
    let bytes = try CodecFixture.file("filters.png")
    for side: UInt32 in [0x7fff_ffff, 0xffff_ffff, 65500, 30001] {
      for place in [16, 20] {
        var patched = bytes
        withUnsafeBytes(of: side.bigEndian) {
          patched.replaceSubrange(place..<(place + 4), with: $0)
        }
        #expect(try refusal(of: patched).kind == .tooLarge)
      }
    }
    // 20000 x 4000 pixels of 1x1's data: a sound header, whose checksum is right.
    var lying = bytes
    lying.replaceSubrange(16..<33, with: Self.header(width: 20000, height: 4000))
    let error = try refusal(of: lying)
    #expect(error.kind == .damaged && error.message.contains("promises"), "\(error)")
  }

  /// The 13 bytes of IHDR for 8-bit RGB and their checksum.
  private static func header(width: UInt32, height: UInt32) -> [UInt8] {
    let sides = [width, height].flatMap { side in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: side >> $0) }
    }
    let content = sides + [8, 2, 0, 0, 0]
    let image = PixelBuffer()
    image.reshape(height: 1, width: 17, channels: 1)
    image.base.update(from: Array("IHDR".utf8) + content, count: 17)
    let checksum = UInt32(CodecFixture.checksum(image), radix: 16) ?? 0
    return content + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: checksum >> $0) }
  }

  @Test(arguments: ["text", "profile"])
  func chunksThatInflateArePassedOver(_ name: String) throws {
    let bytes = try CodecFixture.file("\(name).png", in: "hostile")
    #expect(try ImageDecoder().decode(bytes).pixels == [1, 2, 3])
  }

  @Test func pixelsBehindTheLastAreDamage() throws {
    let bytes = try CodecFixture.file("pixels.png", in: "hostile")
    #expect(try refusal(of: bytes) == ImageError(.damaged, "has data behind its last pixel"))
  }

  /// The last scan of a sound file, over and over.
  @Test func endlessScansAreRefused() throws {
    let whole = try CodecFixture.file("420-progressive-69x50.jpg")
    var last = 0
    while let next = whole.place(of: 0xda, from: last + 2) { last = next }
    let scan = whole[last..<(whole.count - 2)]
    let bytes = whole.dropLast(2) + repeatElement(scan, count: 3000).joined() + [0xff, 0xd9]
    let tolerated = try refusal(of: Array(bytes), .tolerate)
    #expect(tolerated == ImageError(.tooLarge, "has more than 100 scans"))
    // A scan that refines what is complete is a warning already.
    #expect(try refusal(of: Array(bytes)).kind == .damaged)

    var limits = ImageLimits()
    limits.largestScanCount = 5
    #expect(try refusal(of: whole, limits: limits).message == "has more than 5 scans")
    limits.largestScanCount = 10
    #expect(try ImageDecoder(limits: limits).decode(whole).width == 69)
  }

  @Test(arguments: [UInt8(0xe1), 0xe2, 0xef, 0xfe])
  func giantSegmentsArePassedOver(_ marker: UInt8) throws {
    let whole = try CodecFixture.file("420-69x50.jpg")
    let segment = [0xff, marker, 0xff, 0xff] + [UInt8](repeating: 0x41, count: 65533)
    let bytes = whole.inserting(Array(repeatElement(segment, count: 300).joined()))
    let decoder = ImageDecoder()
    let memory = try Self.residentBytes()
    #expect(try decoder.header(of: bytes).width == 69)
    #expect(try decoder.decode(bytes).pixels == decoder.decode(whole).pixels)
    // The copies that this test makes are 20 MB each.
    #expect(try Self.residentBytes() - memory < 256 << 20)
  }

  @Test(arguments: [ImageDecoder.Damage.refuse, .tolerate])
  func endlessRestartMarkersEnd(_ damage: ImageDecoder.Damage) throws {
    let whole = try CodecFixture.file("420-restart-blocks.jpg")
    let scan = try #require(whole.place(of: 0xda))
    let data = scan + 2 + Int(whole[scan + 3])
    for markers in [[0xff, 0xd0], [0xff, 0xd1, 0xff, 0xd0], [0xff, 0xff]] as [[UInt8]] {
      let endless = Array(repeatElement(markers, count: 500_000).joined())
      let start = Self.seconds()
      _ = try? ImageDecoder(damage: damage).decode(whole[..<data] + endless + whole[data...])
      #expect(Self.seconds() - start < 1)
    }
    let endless = Array(repeatElement([0xff, 0xd3] as [UInt8], count: 500_000).joined())
    #expect(try refusal(of: Array(whole[..<data]) + endless).kind == .damaged)
  }

  @Test func kindsThatAreNotReadAreNamed() throws {
    let sound = try CodecFixture.file("grey-64x48.jpg")
    let frame = try #require(sound.place(of: 0xc0))
    func patched(_ offset: Int, _ value: UInt8) -> [UInt8] {
      var bytes = sound
      bytes[frame + offset] = value
      return bytes
    }
    let cases: [([UInt8], String)] = [
      (patched(4, 12), "is a JPEG of 12 bits a sample; only 8 are read"),
      (patched(1, 0xc3), "is a lossless JPEG (SOF type 0xc3), which is not read"),
      (patched(1, 0xcb), "is a lossless JPEG (SOF type 0xcb), which is not read"),
      (patched(1, 0xc5), "is a hierarchical JPEG (SOF type 0xc5), which is not read"),
    ]
    for (bytes, message) in cases {
      #expect(try refusal(of: bytes) == ImageError(.unsupported, message))
    }
    let deep = try CodecFixture.file("grey-16.png", in: "hostile")
    let error = try refusal(of: deep)
    #expect(error.kind == .unsupported && error.message.contains("16-bit grey"), "\(error)")
    let two = try CodecFixture.file("two-components.jpg", in: "hostile")
    #expect(
      try refusal(of: two)
        == ImageError(.unsupported, "is a JPEG of 2 components; 1, 3 and 4 are read"))
  }

  @Test func otherFormatsAreNamed() throws {
    let cases: [([UInt8], String)] = [
      ([], "empty"),
      (Array("GIF89a".utf8) + [1, 0, 1, 0], "a GIF image"),
      (Array("RIFF".utf8) + [9, 0, 0, 0] + Array("WEBPVP8 ".utf8), "a WebP image"),
      (Array("BM".utf8) + [9, 9, 0, 0], "a BMP image"),
      ([0x49, 0x49, 0x2a, 0, 8, 0, 0, 0], "a TIFF image"),
      ([0x4d, 0x4d, 0, 0x2a, 0, 0, 0, 8], "a TIFF image"),
      (Array("\n <!DOCTYPE html><html>".utf8), "an HTML or XML page"),
      (Array("see https://example.org\n".utf8), "text"),
      ([0, 0, 0, 32] + Array("ftypavif".utf8), "an AVIF image"),
      ([UInt8](repeating: 0, count: 4096), "zeros"),
      ([0xff, 0xd8], "of an unknown format"),
      ([0x89, 0x50, 0x4e], "of an unknown format"),
      ([7], "of an unknown format"),
    ]
    for (bytes, name) in cases {
      let expected = ImageError(.unsupported, "is \(name), not JPEG or PNG")
      #expect(throws: expected) { try ImageDecoder().header(of: bytes) }
      #expect(throws: expected) { try ImageDecoder().decode(bytes) }
    }
  }
}
