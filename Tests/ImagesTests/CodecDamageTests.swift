import Foundation
import Images
import Testing

/// Damaged files are refused or decoded; nothing else happens.
@Suite(.timeLimit(.minutes(10))) struct CodecDamageTests {
  static let seeds = [
    "420-69x50.jpg", "422-progressive-69x50.jpg", "grey-64x48.jpg", "cmyk-adobe.jpg",
    "420-restart-blocks.jpg", "exif-two-values.jpg", "filters.png", "rgba-16-19x11-interlaced.png",
    "palette-4-19x11.png",
  ]

  /// Decodes whole, a part, and reduced; every error is one of a damaged file.
  private func survive(
    _ bytes: [UInt8], with decoder: ImageDecoder, _ comment: @autoclosure () -> String
  ) -> Int {
    var failures = 0
    let part = PixelRegion(top: 3, left: 2, height: 5, width: 4)
    for (region, scale) in [(nil, 1), (part, 1), (part, 2)] as [(PixelRegion?, Int)] {
      do throws(ImageError) {
        let header = try decoder.header(of: bytes)
        let image = try decoder.decode(bytes, channels: 3, region: region, scale: scale)
        if region == nil {
          #expect(image.height == header.height && image.width == header.width, "\(comment())")
        }
      } catch {
        failures += 1
        #expect(!error.message.isEmpty && error.kind != .memory, "\(comment()): \(error)")
      }
    }
    return failures
  }

  @Test(arguments: seeds, [ImageDecoder.Damage.refuse, .tolerate])
  func cutShortIsDamaged(_ name: String, damage: ImageDecoder.Damage) throws {
    let whole = try CodecFixture.file(name)
    let decoder = ImageDecoder(damage: damage)
    for sixteenths in 0..<16 {
      let cut = Array(whole.prefix(whole.count * sixteenths / 16))
      let error = try #require(throws: ImageError.self, "\(name) to \(sixteenths)/16") {
        try decoder.decode(cut)
      }
      if sixteenths > 0 {
        #expect(error == ImageError(.damaged, "is cut short"), "\(name) to \(sixteenths)/16")
      }
    }
    guard name.hasSuffix("jpg") else { return }
    // Even without nothing but the end marker, as Pillow has it.
    for cut in 1...2 {
      #expect(throws: ImageError.self) { try decoder.decode(Array(whole.dropLast(cut))) }
    }
  }

  /// What a region needs is there or the region is refused; what it does not need may be missing.
  @Test(arguments: ["420-69x50.jpg", "444-progressive-69x50.jpg", "filters.png"])
  func cutShortIsDamagedInRegions(_ name: String) throws {
    let whole = try CodecFixture.file(name)
    let decoder = ImageDecoder()
    let expected = try decoder.decode(whole)
    var decoded = 0
    for count in Swift.stride(from: whole.count - 1, to: 8, by: -7) {
      for top in [0, 12, expected.height - 8] {
        let region = PixelRegion(top: top, left: 4, height: 8, width: 30)
        do throws(ImageError) {
          let part = try decoder.decode(Array(whole.prefix(count)), region: region)
          #expect(part.differences(from: expected, at: region) == 0, "\(name): \(count) bytes")
          decoded += 1
        } catch {
          #expect(error.kind == .damaged, "\(name) to \(count) bytes: \(error)")
        }
      }
    }
    #expect((decoded > 0) == !name.contains("progressive"))
  }

  @Test(arguments: seeds)
  func flippedBitsAreSurvived(_ name: String) throws {
    let whole = try CodecFixture.file(name)
    let decoders = [ImageDecoder(), ImageDecoder(damage: .tolerate)]
    var random = CodecFixture.SplitMix(state: 41)
    var failures = 0
    for round in 0..<300 {
      var bytes = whole
      let place = Int.random(in: 0..<bytes.count, using: &random)
      bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      failures += survive(
        bytes, with: decoders[round % 2], "\(name): a bit of byte \(place), round \(round)")
    }
    #expect(failures > 0)
  }

  /// Where the library would go on with a warning, the policy decides.
  @Test func warningsAreRefusedOrKept() throws {
    var bytes = try CodecFixture.file("420-69x50.jpg")
    let sound = try ImageDecoder().decode(bytes).pixels
    // More than the library's bit buffer swallows.
    bytes.insert(contentsOf: [UInt8](repeating: 0x12, count: 40), at: bytes.count - 2)
    let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
    #expect(error.kind == .damaged && error.message.contains("extraneous"), "\(error)")
    let tolerant = ImageDecoder(damage: .tolerate)
    #expect(try tolerant.decode(bytes).pixels == sound)
    #expect(tolerant.complaint?.contains("extraneous") == true)
    _ = try tolerant.decode(try CodecFixture.file("grey-8x8.jpg"))
    #expect(tolerant.complaint == nil)
  }

  /// A progressive file that ends properly, but scans too early.
  @Test func missingScansAreDamage() throws {
    let whole = try CodecFixture.file("420-progressive-69x50.jpg")
    var scans: [Int] = []
    while let next = whole.place(of: 0xda, from: (scans.last ?? 0) + 2) { scans.append(next) }
    #expect(scans.count > 5)
    for scan in scans.dropFirst() {
      // Behind the data of the scan before, in front of its own tables.
      let tables = whole[..<scan].lastIndex(of: 0xc4).map { $0 - 1 } ?? scan
      let previous = scans.last { $0 < scan } ?? 0
      let bytes = whole[..<(tables > previous ? tables : scan)] + [0xff, 0xd9]
      let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(Array(bytes)) }
      #expect(error.kind == .damaged, "\(error)")
      let tolerant = ImageDecoder(damage: .tolerate)
      #expect(try tolerant.decode(Array(bytes)).width == 69)
      #expect(tolerant.complaint == error.message)
    }
  }

  @Test func paletteEntriesThatAreMissing() throws {
    var bytes = try CodecFixture.file("palette-8-19x11.png")
    // A PLTE of one entry, with its checksum; libpng reads the rest of the chunk as another.
    let start = try #require(
      bytes.indices.first { bytes[$0...].starts(with: "PLTE".utf8) })
    let one: [UInt8] = [0, 0, 0, 3] + Array("PLTE".utf8) + [0, 0, 0, 0x32, 0x8f, 0x4d, 0x10]
    let length = Int(bytes[start - 2]) << 8 + Int(bytes[start - 1])
    bytes.replaceSubrange((start - 4)..<(start + 8 + length), with: one)
    let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
    #expect(error.kind == .damaged, "\(error)")
  }
}
