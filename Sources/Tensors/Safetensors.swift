extension NamedTensors {
  /// Reads a safetensors file: Float32, Float64 and Int64 as themselves, Float16 and BFloat16
  /// widened to Float32, every other type as raw bytes. Names are in the header's order.
  ///
  /// - Throws: `.missing`, `.permission`, `.io`, or `.damaged` naming tensor or header byte.
  package static func readSafetensors(path: String) throws(TensorFileError) -> NamedTensors {
    try readSafetensors(InputFile(path: path))
  }

  static func readSafetensors(_ file: borrowing InputFile) throws(TensorFileError) -> NamedTensors {
    let header = try file.safetensorsHeader()
    try file.requireMemory(for: header.dataBytes)
    let start = 8 + header.headerBytes
    return try read(header) { offset, destination throws(TensorFileError) in
      try file.read(at: start + offset, into: destination)
    }
  }

  /// Reads the bytes of a safetensors file; `path` names them in errors.
  package init(safetensors bytes: [UInt8], path: String) throws(TensorFileError) {
    let length = try Safetensors.Header.length(
      prefix: Array(bytes.prefix(8)), fileBytes: bytes.count, path: path)
    let start = 8 + length
    let header = try Safetensors.Header(
      json: Array(bytes[8..<start]), dataBytes: bytes.count - start, path: path)
    self = try Self.read(header) { offset, destination throws(TensorFileError) in
      bytes.withUnsafeBytes { source in
        destination.copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: source[(start + offset)...].prefix(destination.count))
        )
      }
    }
  }

  /// Copies bytes of the values, from an offset behind the header, into the destination.
  private typealias Copy = (Int, UnsafeMutableRawBufferPointer) throws(TensorFileError) -> Void

  private static func read(_ header: Safetensors.Header, _ copy: Copy) throws(TensorFileError)
    -> NamedTensors
  {
    var result = NamedTensors()
    result.metadata = header.metadata
    for entry in header.tensors {
      let bytes = entry.byteRange
      let values: Tensor.Values
      switch ElementType(rawValue: entry.elementType) {
      case .float32: values = .float32(try elements(bytes, of: Float.self, copy))
      case .float64: values = .float64(try elements(bytes, of: Double.self, copy))
      case .int64: values = .int64(try elements(bytes, of: Int64.self, copy))
      case .float16:
        let halves = try elements(bytes, of: UInt16.self, copy)
        values = .float32(halves.map { Float(Float16(bitPattern: $0)) })
      case .bfloat16:
        let halves = try elements(bytes, of: UInt16.self, copy)
        values = .float32(halves.map { Float(bitPattern: UInt32($0) << 16) })
      default:
        values = .raw(
          elementType: entry.elementType, bytes: try elements(bytes, of: UInt8.self, copy))
      }
      result[entry.name] = Tensor(shape: entry.shape, values: values)
    }
    return result
  }

  /// `Element` is a number of the machine, for which every bit pattern is a value.
  private static func elements<Element: BitwiseCopyable>(
    _ bytes: Range<Int>, of type: Element.Type, _ copy: Copy
  ) throws(TensorFileError) -> [Element] {
    let count = bytes.count / MemoryLayout<Element>.stride
    var failure: TensorFileError?
    let elements = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      guard count > 0 else { return }
      let destination = UnsafeMutableRawBufferPointer(
        start: buffer.baseAddress, count: bytes.count)
      if let start = destination.baseAddress { Arena.prepareToFill(start, bytes.count) }
      do throws(TensorFileError) {
        try copy(bytes.lowerBound, destination)
        initialized = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return elements
  }
}

extension NamedTensors {
  /// The safetensors file of these tensors; the same bytes whatever the order of addition.
  ///
  /// Wide elements come first and names are in byte order among those of one width: so every
  /// tensor is aligned to its elements, which PyTorch's loader needs, as no padding is allowed
  /// between tensors.
  package func safetensorsBytes() -> [UInt8] {
    let laidOut = sortedNames.compactMap { name in self[name].map { (name: name, tensor: $0) } }
      .enumerated()
      .sorted {
        ($1.element.tensor.elementBits, $0.offset) < ($0.element.tensor.elementBits, $1.offset)
      }
      .map(\.element)
    var header = "{"
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        .map { "\(jsonString($0.key)):\(jsonString($0.value))" }
      header += "\"__metadata__\":{\(pairs.joined(separator: ","))}"
    }
    var dataBytes = 0
    for (name, tensor) in laidOut {
      precondition(name != "__metadata__", "a tensor may not be called __metadata__")
      let end = dataBytes + tensor.withBytes(\.count)
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      header += header.utf8.count > 1 ? "," : ""
      header += "\(jsonString(name)):{\"dtype\":\"\(tensor.elementType)\",\"shape\":[\(shape)],"
      header += "\"data_offsets\":[\(dataBytes),\(end)]}"
      dataBytes = end
    }
    header += "}"
    header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    return Self.assemble(header: Array(header.utf8), laidOut.map(\.tensor), dataBytes: dataBytes)
  }

  private static func assemble(header: [UInt8], _ tensors: [Tensor], dataBytes: Int) -> [UInt8] {
    let total = 8 + header.count + dataBytes
    return [UInt8](unsafeUninitializedCapacity: total) { buffer, initialized in
      let file = UnsafeMutableRawBufferPointer(buffer)
      func append(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: file[initialized...]).copyMemory(from: bytes)
        initialized += bytes.count
      }
      withUnsafeBytes(of: UInt64(header.count).littleEndian, append)
      header.withUnsafeBytes(append)
      for tensor in tensors { tensor.withBytes(append) }
    }
  }
}

extension Tensor {
  /// Bits of one element.
  fileprivate var elementBits: Int { ElementType(rawValue: elementType)?.bits ?? 0 }
}

/// `text` as a JSON string; everything above the control characters stays as it is.
private func jsonString(_ text: String) -> String {
  var json = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": json += "\\\""
    case "\\": json += "\\\\"
    case _ where scalar.value < 0x20:
      let digits = String(scalar.value, radix: 16)
      json += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: json.unicodeScalars.append(scalar)
    }
  }
  return json + "\""
}

extension Safetensors {
  /// What the file at `path` holds, without reading values: names, types, shapes, places.
  ///
  /// - Throws: as `NamedTensors.readSafetensors`.
  package static func header(path: String) throws(TensorFileError) -> Header {
    try InputFile(path: path).safetensorsHeader()
  }
}
