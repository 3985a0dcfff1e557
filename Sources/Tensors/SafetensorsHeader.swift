/// The safetensors format: eight bytes little-endian header length, a JSON header, then the
/// tensors' bytes without a gap.
///
/// Source: https://github.com/huggingface/safetensors, "Format".
package enum Safetensors {
  /// Longest header accepted, as in the reference implementation.
  package static let maximumHeaderBytes = 100_000_000
  /// Most tensors accepted: a hundred times the largest network here, and a bound on memory.
  package static let maximumTensors = 100_000
  /// Most dimensions accepted, as in NumPy and PyTorch.
  package static let maximumDimensions = 64

  /// What a file says about its tensors, checked against its size, without their values.
  package struct Header: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
      package var name: String
      /// `F32`, `I64`, …
      package var elementType: String
      package var shape: [Int]
      /// Bytes of the values, counted from the end of the header.
      package var byteRange: Range<Int>
    }

    /// In the header's order.
    package var tensors: [Entry] = []
    package var metadata: [String: String] = [:]
    /// Bytes of the JSON header, padding included.
    package var headerBytes = 0
    /// Bytes of all values: the file is 8 + `headerBytes` + `dataBytes` long.
    package var dataBytes = 0
  }
}

/// Every element type of the format, by the name that files use.
enum ElementType: String, CaseIterable {
  case boolean = "BOOL"
  case float4 = "F4"
  case float6e2m3 = "F6_E2M3"
  case float6e3m2 = "F6_E3M2"
  case float8e4m3 = "F8_E4M3"
  case float8e5m2 = "F8_E5M2"
  case float8e8m0 = "F8_E8M0"
  case float8e4m3fnuz = "F8_E4M3FNUZ"
  case float8e5m2fnuz = "F8_E5M2FNUZ"
  case unsigned8 = "U8"
  case int8 = "I8"
  case int16 = "I16"
  case unsigned16 = "U16"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int32 = "I32"
  case unsigned32 = "U32"
  case float32 = "F32"
  case complex64 = "C64"
  case float64 = "F64"
  case int64 = "I64"
  case unsigned64 = "U64"

  var bits: Int {
    switch self {
    case .float4: 4
    case .float6e2m3, .float6e3m2: 6
    case .boolean, .float8e4m3, .float8e5m2, .float8e8m0, .float8e4m3fnuz, .float8e5m2fnuz,
      .unsigned8, .int8:
      8
    case .int16, .unsigned16, .float16, .bfloat16: 16
    case .int32, .unsigned32, .float32: 32
    case .complex64, .float64, .int64, .unsigned64: 64
    }
  }
}

extension Safetensors.Header {
  /// Parses and checks the JSON header of a file that carries `dataBytes` after it.
  ///
  /// - Throws: `.damaged` with the tensor's name or the header's byte.
  package init(json: [UInt8], dataBytes: Int, path: String) throws(TensorFileError) {
    var parser = SafetensorsHeaderParser(json, path: path)
    try parser.parse()
    tensors = parser.tensors
    metadata = parser.metadata
    headerBytes = json.count
    self.dataBytes = dataBytes
    for entry in tensors { try Self.checkSize(entry, path: path) }
    try checkLayout(path: path)
  }

  /// The length of the header from a file's first eight bytes.
  static func length(prefix: [UInt8], fileBytes: Int, path: String) throws(TensorFileError) -> Int {
    guard prefix.count == 8 else {
      throw TensorFileError(
        .damaged, path: path,
        "\(fileBytes) bytes are too short for a safetensors file; is it truncated?")
    }
    let declared = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard declared <= UInt64(Safetensors.maximumHeaderBytes) else {
      throw TensorFileError(
        .damaged, path: path,
        "header length \(declared) is above \(Safetensors.maximumHeaderBytes); "
          + "is this a safetensors file?")
    }
    let length = Int(declared)
    guard length <= fileBytes - 8 else {
      throw TensorFileError(
        .damaged, path: path,
        "header length \(length) goes beyond the file's \(fileBytes) bytes; is it truncated?")
    }
    guard length >= 2 else {
      throw TensorFileError(.damaged, path: path, "header length \(length) holds no JSON object")
    }
    return length
  }

  /// Holds a tensor's shape and element type against its bytes.
  private static func checkSize(_ entry: Entry, path: String) throws(TensorFileError) {
    func damaged(_ problem: String) -> TensorFileError {
      TensorFileError(.damaged, path: path, "tensor \(quoted(entry.name)): \(problem)")
    }
    guard let type = ElementType(rawValue: entry.elementType) else {
      throw damaged("unknown element type \(quoted(entry.elementType))")
    }
    // Zeros are left out of the product, so that no order of multiplication overflows later.
    var product = 1
    for size in entry.shape where size > 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      guard !overflow else { throw damaged("the product of shape \(entry.shape) overflows") }
      product = next
    }
    let count = entry.shape.contains(0) ? 0 : product
    let (bits, overflow) = count.multipliedReportingOverflow(by: type.bits)
    guard !overflow else { throw damaged("the size of shape \(entry.shape) overflows") }
    guard bits % 8 == 0 else {
      throw damaged("\(count) elements of \(entry.elementType) do not fill whole bytes")
    }
    guard bits / 8 == entry.byteRange.count else {
      throw damaged(
        "shape \(entry.shape) of \(entry.elementType) takes \(bits / 8) bytes, "
          + "data_offsets hold \(entry.byteRange.count)")
    }
  }

  /// Tensors cover the data from its first to its last byte without hole or overlap.
  private func checkLayout(path: String) throws(TensorFileError) {
    let byOffset = tensors.sorted {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var end = 0
    for entry in byOffset {
      let range = entry.byteRange
      guard range.upperBound <= dataBytes else {
        throw TensorFileError(
          .damaged, path: path,
          "tensor \(quoted(entry.name)) ends at data byte \(range.upperBound) of \(dataBytes); "
            + "is the file truncated?")
      }
      guard range.lowerBound == end else {
        let fault = range.lowerBound < end ? "overlaps the tensor before it" : "follows a hole"
        throw TensorFileError(
          .damaged, path: path,
          "tensor \(quoted(entry.name)) \(fault): begins at data byte \(range.lowerBound), "
            + "expected \(end)")
      }
      end = range.upperBound
    }
    guard end == dataBytes else {
      throw TensorFileError(
        .damaged, path: path, "\(dataBytes - end) bytes after the last tensor belong to none")
    }
  }
}

/// `text` in quotes on one line: control characters escaped, cut after 100 characters.
func quoted(_ text: String) -> String {
  var line = "\""
  for (index, scalar) in text.unicodeScalars.enumerated() {
    if index == 100 { return line + "…\"" }
    let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
    let isLineBreak = scalar.value == 0x2028 || scalar.value == 0x2029
    line += isControl || isLineBreak ? scalar.escaped(asASCII: true) : String(scalar)
  }
  return line + "\""
}
