import CZlib
import Glibc

/// An IDX file's header: element type and sizes.
///
/// Format: two zero bytes, a type code, the number of dimensions, each dimension as a big-endian
/// UInt32, then the elements, the last dimension varying fastest (LeCun, Cortes, Burges: "The MNIST
/// database of handwritten digits").
struct IDXHeader: Equatable {
  var dimensions: [Int]
  /// Bytes behind the header.
  var elementCount: Int

  /// What a file is expected to hold.
  enum Content: Int {
    case labels = 1
    case images = 3
  }

  /// Reads and validates the header; what it promises is bounded by what the file can hold.
  static func read(
    from stream: ByteStream, expecting content: Content
  ) throws(DataError) -> IDXHeader {
    let magic = try bytes(4, of: stream, field: "magic number")
    try validate(magic: magic, path: stream.path, expecting: content)
    var dimensions: [Int] = []
    var elements = 1
    for index in 0..<content.rawValue {
      let bytes = try bytes(4, of: stream, field: "dimension \(index)")
      let size = bytes.reduce(0) { $0 << 8 | Int($1) }
      guard size > 0 else {
        throw DataError(.malformed, "\(stream.path): dimension \(index) is 0: it holds nothing")
      }
      let (product, overflow) = elements.multipliedReportingOverflow(by: size)
      dimensions.append(size)
      elements = overflow ? Int.max : product
    }
    let header = IDXHeader(dimensions: dimensions, elementCount: elements)
    try header.validateSize(stream)
    return header
  }

  private static func bytes(
    _ count: Int, of stream: ByteStream, field: String
  ) throws(DataError) -> [UInt8] {
    let bytes = try stream.read(count)
    guard bytes.count == count else {
      throw DataError(.malformed, "\(stream.path): ends inside the header (\(field))")
    }
    return bytes
  }

  private static func validate(
    magic: [UInt8], path: String, expecting content: Content
  ) throws(DataError) {
    if magic[0] == 0x1f, magic[1] == 0x8b {
      throw DataError(.malformed, "\(path): compressed twice; gunzip it once")
    }
    guard magic[0] == 0, magic[1] == 0 else {
      let found = magic.map { hex(UInt32($0), digits: 2) }.joined(separator: " ")
      throw DataError(
        .malformed, "\(path): magic number is \(found), an IDX file begins with 00 00 08")
    }
    guard magic[2] == 0x08 else {
      throw DataError(
        .malformed,
        "\(path): type code is 0x\(hex(UInt32(magic[2]), digits: 2)), only 0x08 (unsigned bytes) is read"
      )
    }
    guard Int(magic[3]) == content.rawValue else {
      let hint =
        switch Content(rawValue: Int(magic[3])) {
        case .labels: "; is this the labels' file?"
        case .images: "; is this the images' file?"
        case nil: ""
        }
      throw DataError(
        .malformed,
        "\(path): dimension count is \(magic[3]), \(content) have \(content.rawValue)\(hint)")
    }
  }

  private func validateSize(_ stream: ByteStream) throws(DataError) {
    let sizes = dimensions.map(String.init).joined(separator: " x ")
    let headerSize = 4 + 4 * dimensions.count
    guard elementCount <= stream.largestContent - headerSize else {
      throw DataError(
        .malformed,
        "\(stream.path): dimensions \(sizes) promise more than its \(stream.storedSize) bytes can hold"
      )
    }
    let memory = sysconf(CInt(_SC_PHYS_PAGES)) * sysconf(CInt(_SC_PAGESIZE))
    guard elementCount <= memory else {
      throw DataError(
        .malformed, "\(stream.path): dimensions \(sizes) need more memory than this machine has")
    }
  }
}

/// Grey images and labels of an IDX pair, held in memory.
package struct IDXDataset: Dataset {
  package let count: Int
  package let classes: Int
  package let form: StoredForm
  package let fingerprint: String

  private let height: Int
  private let width: Int
  private let imagesName: String
  private let pixels: [UInt8]
  private let labels: [UInt8]

  /// Opens a pair of files, plain or gzipped, and validates all of both.
  ///
  /// - Parameters:
  ///   - images: path of an IDX file of unsigned bytes, [samples, height, width].
  ///   - labels: path of an IDX file of unsigned bytes, [samples].
  ///   - classes: labels must be below this.
  ///   - limit: use only the first so many samples; 0 uses all.
  package init(
    images: String, labels: String, classes: Int, limit: Int = 0
  ) throws(DataError) {
    let labelStream = try ByteStream(path: labels)
    let labelHeader = try IDXHeader.read(from: labelStream, expecting: .labels)
    let imageStream = try ByteStream(path: images)
    let imageHeader = try IDXHeader.read(from: imageStream, expecting: .images)
    let found = imageHeader.dimensions[0]
    guard labelHeader.dimensions[0] == found else {
      throw DataError(
        .malformed,
        "\(labels): dimension 0 is \(labelHeader.dimensions[0]) labels, but \(images) has \(found) images"
      )
    }
    let allLabels = try Self.content(of: labelStream, labelHeader)
    try Self.validate(allLabels, below: classes, path: labels)

    count = limit > 0 ? min(limit, found) : found
    height = imageHeader.dimensions[1]
    width = imageHeader.dimensions[2]
    form = .pixels(height: height, width: width, channels: 1)
    imagesName = images.split(separator: "/").last.map(String.init) ?? images
    pixels = try Self.content(of: imageStream, imageHeader)
    self.labels = Array(allLabels[..<count])
    self.classes = Int(self.labels.max() ?? 0) + 1
    fingerprint =
      "idx \(count) x \(height) x \(width), images \(checksum(of: pixels[..<(count * height * width)])),"
      + " labels \(checksum(of: self.labels[...]))"
  }

  package func label(of sample: Int) -> Int { Int(labels[sample]) }

  package var residentBytes: Int { pixels.count + labels.count }

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    let size = height * width
    precondition(sample >= 0 && sample < count, "sample outside its dataset")
    bytes.reserve(size)
    pixels.withUnsafeBytes {
      bytes.all.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[sample * size..<(sample + 1) * size]))
    }
  }

  package func name(of sample: Int) -> String { "\(imagesName)[\(sample)]" }
}

extension IDXDataset {
  /// All elements, of which there must be exactly as many as the header says.
  private static func content(
    of stream: ByteStream, _ header: IDXHeader
  ) throws(DataError) -> [UInt8] {
    let expected = header.elementCount
    let content = try stream.read(expected)
    guard content.count == expected else {
      throw DataError(
        .malformed,
        "\(stream.path): data are short: \(content.count) bytes, the header's dimensions say \(expected)"
      )
    }
    guard try stream.isAtEnd() else {
      throw DataError(
        .malformed,
        "\(stream.path): surplus data behind the \(expected) bytes that the header's dimensions say"
      )
    }
    return content
  }

  private static func validate(
    _ labels: [UInt8], below classes: Int, path: String
  ) throws(DataError) {
    guard let sample = labels.firstIndex(where: { Int($0) >= classes }) else { return }
    throw DataError(
      .malformed,
      "\(path): label \(labels[sample]) of sample \(sample) is not below model.classes \(classes)")
  }
}

/// CRC-32 as hexadecimal digits.
func checksum(of bytes: ArraySlice<UInt8>) -> String {
  let value = bytes.withUnsafeBufferPointer { crc32_z(0, $0.baseAddress, $0.count) }
  return hex(UInt32(truncatingIfNeeded: value), digits: 8)
}

/// Lower-case hexadecimal with leading zeros.
func hex(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
