import Images

/// Writes samples into archives, one after the other. Belongs to one thread.
final class ArchiveWriter {
  private let jpegQuality: Int?
  private let stored = ByteBuffer()
  private let image = PixelBuffer()
  private static let zeros = [UInt8](repeating: 0, count: TarHeader.block)

  init(jpegQuality: Int?) { self.jpegQuality = jpegQuality }

  /// Appends a sample's image and label; returns the bytes of the image.
  func append(
    _ plan: PackPlan, _ position: Int, to file: PendingFile
  ) throws(DataError) -> Int {
    let sample = plan.sample(at: position)
    let names = plan.names(of: sample)
    try plan.dataset.read(sample, into: stored)
    let ending = names.ending.isEmpty ? Self.ending(of: stored) : names.ending
    if case .pixels(let height, let width, let channels) = plan.dataset.form {
      image.reshape(height: height, width: width, channels: channels)
      image.base.update(
        from: stored.all.assumingMemoryBound(to: UInt8.self).baseAddress ?? image.base,
        count: image.count)
      do throws(ImageError) {
        stored.replace(by: try encoded())
      } catch {
        throw DataError(.malformed, "\(plan.dataset.name(of: sample)): \(error)")
      }
    }
    // Readers number the bytes of an image by 32 bits, and none may be empty.
    guard stored.count > 0, stored.count <= UInt32.max else {
      throw DataError(
        .malformed, "\(plan.dataset.name(of: sample)): has \(stored.count) bytes; remove it")
    }
    try append(names.member(ending), UnsafeRawBufferPointer(stored.all), to: file)
    try names.label.withUnsafeBufferPointer { label throws(DataError) in
      try append(names.member("cls".utf8), UnsafeRawBufferPointer(label), to: file)
    }
    return stored.count
  }

  private func append(
    _ name: [UInt8], _ content: UnsafeRawBufferPointer, to file: PendingFile
  ) throws(DataError) {
    try file.append(TarHeader.blocks(name: name, size: content.count))
    try file.append(content)
    try file.append(Array(Self.zeros.prefix(TarHeader.padding(content.count))))
  }

  private func encoded() throws(ImageError) -> [UInt8] {
    guard let jpegQuality else { return try image.encodedPNG() }
    var settings = JPEGSettings()
    settings.quality = jpegQuality
    // Small images have no pixels to spare.
    (settings.horizontalSubsampling, settings.verticalSubsampling) = (1, 1)
    return try settings.encode(image)
  }

  /// By its first bytes; what is neither stays for the reader to name.
  private static func ending(of bytes: ByteBuffer) -> [UInt8] {
    Array(bytes.all.first == 0x89 ? "png".utf8 : "jpg".utf8)
  }
}

extension ByteBuffer {
  fileprivate func replace(by bytes: [UInt8]) {
    reserve(bytes.count)
    bytes.withUnsafeBytes { all.copyMemory(from: $0) }
  }
}
