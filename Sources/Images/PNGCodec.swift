import CPNG

/// libpng's decoder and its scratch. `open`, then `decode` at most once, then `close`.
final class PNGDecoder {
  /// Deflate cannot expand by more (RFC 1951: 258 bytes from two bits).
  private static let largestExpansion: Int64 = 1032

  private var handle: OpaquePointer?
  private let damage: ImageDecoder.Damage

  init(damage: ImageDecoder.Damage) { self.damage = damage }

  deinit { cpng_decoder_free(handle) }

  /// Reads the header, which is within the limits afterwards. `bytes` must stay until `close`.
  func open(
    _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
  ) throws(ImageError) -> ImageHeader {
    let handle = try usableHandle()
    var header = cpng_header()
    let code = cpng_decoder_begin(
      handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
      CInt(clamping: limits.largestSide), &header)
    try check(code)
    let (width, height) = (Int(header.width), Int(header.height))
    try limits.check(width: width, height: height)
    guard header.inflated <= Int64(bytes.count) * Self.largestExpansion else {
      throw ImageError(
        .damaged,
        "promises \(width) x \(height) pixels, more than its \(bytes.count) bytes can hold")
    }
    guard header.components != 1 || header.bit_depth < 16 else {
      // Pillow clips such samples at 255, which turns most pixels white.
      throw ImageError(
        .unsupported, "is a PNG of 16-bit grey, which is not read; convert it to 8 bits")
    }
    let colour: ImageHeader.Colour =
      switch header.components {
      case 1: header.is_palette != 0 ? .palette : .grey
      case 2: .greyAlpha
      case 3: .rgb
      default: .rgba
      }
    return ImageHeader(format: .png, width: width, height: height, colour: colour, orientation: 1)
  }

  /// Decodes a region into a target of its shape; returns the first warning.
  func decode(
    _ region: PixelRegion, into target: PixelBuffer
  ) throws(ImageError) -> String? {
    var request = cpng_request(
      channels: CInt(target.channels), top: CInt(region.top), left: CInt(region.left),
      height: CInt(region.height), width: CInt(region.width))
    try check(cpng_decoder_decode(handle, &request, target.base))
    return cpng_decoder_warnings(handle) > 0 ? message : nil
  }

  func close() {
    if let handle { cpng_decoder_end(handle) }
  }

  private func usableHandle() throws(ImageError) -> OpaquePointer {
    if let handle { return handle }
    guard let handle = cpng_decoder_new() else {
      throw ImageError(.memory, "no memory is left for decoding")
    }
    cpng_decoder_refuse_warnings(handle, damage == .refuse ? 1 : 0)
    self.handle = handle
    return handle
  }

  private var message: String { String(cString: cpng_decoder_message(handle)) }

  private func check(_ code: CInt) throws(ImageError) {
    guard Int(code) != CPNG_OK else { return }
    throw ImageError(ImageError.Kind(png: code), message)
  }
}

extension ImageError.Kind {
  fileprivate init(png code: CInt) {
    switch Int(code) {
    case CPNG_UNSUPPORTED: self = .unsupported
    case CPNG_TOO_LARGE: self = .tooLarge
    case CPNG_NO_MEMORY: self = .memory
    default: self = .damaged
    }
  }
}

extension PixelBuffer {
  /// A PNG file of an image of 1 or 3 channels.
  package func encodedPNG() throws(ImageError) -> [UInt8] {
    precondition(channels == 1 || channels == 3, "images have 1 or 3 channels")
    var bytes: UnsafeMutablePointer<UInt8>?
    var count = 0
    var message = [CChar](repeating: 0, count: 200)
    let code = cpng_encode(
      base, CInt(height), CInt(width), CInt(channels), &bytes, &count, &message)
    guard Int(code) == CPNG_OK, let bytes else {
      let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw ImageError(
        ImageError.Kind(png: code), "cannot be written: \(String(decoding: text, as: UTF8.self))")
    }
    defer { cpng_bytes_free(bytes) }
    return Array(UnsafeBufferPointer(start: bytes, count: count))
  }
}
