/// CIFAR-10 and CIFAR-100 in their binary version, held in memory.
///
/// A record is one label byte (CIFAR-100: the coarse label, then the fine one, which is used) and
/// 3072 bytes, 32 x 32 of each of red, green and blue.
/// Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
package struct CIFARDataset: Dataset {
  package enum Kind: Sendable, Equatable {
    case ten
    case hundred

    var classes: Int { self == .ten ? 10 : 100 }
    var labelBytes: Int { self == .ten ? 1 : 2 }
    var recordBytes: Int { labelBytes + CIFARDataset.imageBytes }
    package var trainFiles: [String] {
      self == .ten ? (1...5).map { "data_batch_\($0).bin" } : ["train.bin"]
    }
    package var testFiles: [String] { self == .ten ? ["test_batch.bin"] : ["test.bin"] }
    package var directory: String { self == .ten ? "cifar-10-batches-bin" : "cifar-100-binary" }
    /// One name a line, as the archives have it.
    package var namesFile: String {
      self == .ten ? "batches.meta.txt" : "fine_label_names.txt"
    }
    var name: String { self == .ten ? "CIFAR-10" : "CIFAR-100" }
  }

  private static let side = 32
  private static let imageBytes = 3 * side * side

  package let count: Int
  package let classes: Int
  package let classNames: [String]
  package let form = StoredForm.pixels(height: side, width: side, channels: 3)
  package let fingerprint: String
  private let names: [(first: Int, path: String)]
  private let pixels: [UInt8]
  private let labels: [UInt8]

  /// Opens and validates all files of a split, plain or gzipped. `names`: the file of the classes'
  /// names; nil where there is none.
  package init(kind: Kind, files: [String], names namesFile: String? = nil) throws(DataError) {
    if let namesFile {
      classNames = try ClassNames.read(path: namesFile)
      guard classNames.count == kind.classes else {
        throw DataError(
          .malformed,
          "\(namesFile): names \(classNames.count) classes, \(kind.name) has \(kind.classes)")
      }
    } else {
      classNames = []
    }
    var (pixels, labels) = ([UInt8](), [UInt8]())
    var names: [(first: Int, path: String)] = []
    for path in files {
      names.append((labels.count, path))
      try Self.append(kind, path, &pixels, &labels)
    }
    (count, classes, self.names) = (labels.count, kind.classes, names)
    (self.pixels, self.labels) = (pixels, labels)
    fingerprint =
      "\(kind.name) \(labels.count), images \(checksum(of: pixels[...])), labels \(checksum(of: labels[...]))"
  }

  private static func append(
    _ kind: Kind, _ path: String, _ pixels: inout [UInt8], _ labels: inout [UInt8]
  ) throws(DataError) {
    let stream = try ByteStream(path: path)
    var record = 0
    while true {
      let bytes = try stream.read(kind.recordBytes)
      if bytes.isEmpty { break }
      guard bytes.count == kind.recordBytes else {
        throw DataError(
          .malformed,
          "\(path): record \(record) has \(bytes.count) of \(kind.recordBytes) bytes: not a file of "
            + "\(kind.name) in its binary version, or cut short")
      }
      let label = bytes[kind.labelBytes - 1]
      guard label < kind.classes else {
        throw DataError(
          .malformed,
          "\(path): label \(label) of record \(record) is not below \(kind.classes), the classes of "
            + kind.name)
      }
      labels.append(label)
      let plane = side * side
      for pixel in 0..<plane {
        for channel in 0..<3 { pixels.append(bytes[kind.labelBytes + channel * plane + pixel]) }
      }
      record += 1
    }
    guard record > 0 else { throw DataError(.malformed, "\(path): is empty") }
  }

  package var residentBytes: Int { pixels.count + labels.count }

  package func label(of sample: Int) -> Int { Int(labels[sample]) }

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    precondition(sample >= 0 && sample < count, "sample outside its dataset")
    bytes.reserve(Self.imageBytes)
    pixels.withUnsafeBytes { all in
      bytes.all.copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: all[sample * Self.imageBytes..<(sample + 1) * Self.imageBytes]))
    }
  }

  package func name(of sample: Int) -> String {
    let file = names.last { $0.first <= sample } ?? (0, "CIFAR")
    let last = file.path.split(separator: "/").last.map(String.init) ?? file.path
    return "\(last)[\(sample - file.first)]"
  }
}
