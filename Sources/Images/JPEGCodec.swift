import CJPEG

/// libjpeg-turbo's decoder and its scratch. `open`, then `decode` at most once, then `close`.
final class JPEGDecoder {
  private var handle: OpaquePointer?
  private let damage: ImageDecoder.Damage
  private var blocks: Int64 = 0

  init(damage: ImageDecoder.Damage) { self.damage = damage }

  deinit { cjpeg_decoder_free(handle) }

  /// Reads the header, which is within the limits afterwards. `bytes` must stay until `close`.
  func open(
    _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
  ) throws(ImageError) -> ImageHeader {
    let handle = try usableHandle()
    var header = cjpeg_header()
    let code = cjpeg_decoder_begin(
      handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &header)
    try check(code)
    let (width, height) = (Int(header.width), Int(header.height))
    try limits.check(width: width, height: height)
    // A block of Huffman codes takes a bit at least, so that a small file cannot ask for much memory.
    // Arithmetic coding has no least size; no picture takes as little as is allowed here.
    let blocksPerByte: Int64 = header.is_arithmetic != 0 ? 128 : 8
    guard header.blocks <= Int64(bytes.count) * blocksPerByte else {
      throw ImageError(
        .damaged,
        "promises \(width) x \(height) pixels, more than its \(bytes.count) bytes can hold")
    }
    blocks = header.blocks
    let colour: ImageHeader.Colour =
      switch header.components {
      case 1: .grey
      case 3: .rgb
      default: .cmyk
      }
    return ImageHeader(format: .jpeg, width: width, height: height, colour: colour, orientation: 1)
  }

  /// Decodes a region of the reduced image into a target of its shape; returns the first warning.
  func decode(
    _ region: PixelRegion, scale: Int, fidelity: ImageDecoder.Fidelity, limits: ImageLimits,
    into target: PixelBuffer
  ) throws(ImageError) -> String? {
    var request = cjpeg_request(
      scale: CInt(scale), is_fast: fidelity == .fast ? 1 : 0, channels: CInt(target.channels),
      top: CInt(region.top), left: CInt(region.left), height: CInt(region.height),
      width: CInt(region.width),
      // 64 coefficients of two bytes each; twice that, for blocks added to complete units.
      memory_limit: blocks * 256 + 1 << 24,
      scan_limit: CInt(clamping: limits.largestScanCount))
    try check(cjpeg_decoder_decode(handle, &request, target.base))
    return cjpeg_decoder_warnings(handle) > 0 ? message : nil
  }

  func close() {
    if let handle { cjpeg_decoder_end(handle) }
  }

  private func usableHandle() throws(ImageError) -> OpaquePointer {
    if let handle { return handle }
    guard let handle = cjpeg_decoder_new() else {
      throw ImageError(.memory, "no memory is left for decoding")
    }
    cjpeg_decoder_refuse_warnings(handle, damage == .refuse ? 1 : 0)
    self.handle = handle
    return handle
  }

  private var message: String { String(cString: cjpeg_decoder_message(handle)) }

  private func check(_ code: CInt) throws(ImageError) {
    guard Int(code) != CJPEG_OK else { return }
    throw ImageError(ImageError.Kind(jpeg: code), message)
  }
}

extension ImageError.Kind {
  fileprivate init(jpeg code: CInt) {
    switch Int(code) {
    case CJPEG_UNSUPPORTED: self = .unsupported
    case CJPEG_TOO_LARGE: self = .tooLarge
    case CJPEG_NO_MEMORY: self = .memory
    default: self = .damaged
    }
  }
}

/// How a JPEG is written.
package struct JPEGSettings: Sendable {
  /// 1...100, as libjpeg counts.
  package var quality = 90
  /// Luma samples for each of chroma, along rows and columns: 1, 1 is 4:4:4; 2, 2 is 4:2:0.
  package var horizontalSubsampling = 2
  package var verticalSubsampling = 2
  package var isProgressive = false
  package var isArithmetic = false
  /// Units between restart markers; 0 for none.
  package var restartInterval = 0

  package init() {}

  /// A JPEG file of an image of 1 or 3 channels; throws where a side exceeds 65500.
  package func encode(_ image: PixelBuffer) throws(ImageError) -> [UInt8] {
    precondition(image.channels == 1 || image.channels == 3, "images have 1 or 3 channels")
    var settings = cjpeg_settings(
      quality: CInt(quality), horizontal: CInt(horizontalSubsampling),
      vertical: CInt(verticalSubsampling), is_progressive: isProgressive ? 1 : 0,
      is_arithmetic: isArithmetic ? 1 : 0, restart_interval: CInt(restartInterval))
    var bytes: UnsafeMutablePointer<UInt8>?
    var count = 0
    var message = [CChar](repeating: 0, count: 200)
    let code = cjpeg_encode(
      image.base, CInt(image.height), CInt(image.width), CInt(image.channels), &settings, &bytes,
      &count, &message)
    guard Int(code) == CJPEG_OK, let bytes else {
      let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw ImageError(
        ImageError.Kind(jpeg: code), "cannot be written: \(String(decoding: text, as: UTF8.self))")
    }
    defer { cjpeg_bytes_free(bytes) }
    return Array(UnsafeBufferPointer(start: bytes, count: count))
  }
}
