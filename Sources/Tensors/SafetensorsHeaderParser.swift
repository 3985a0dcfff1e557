/// Reads the subset of JSON that a safetensors header may be: one object of tensors, each an object
/// of three known fields, and one object of strings. The grammar has a fixed depth, so that no
/// input nests deeper than the code does.
struct SafetensorsHeaderParser {
  private(set) var tensors: [Safetensors.Header.Entry] = []
  private(set) var metadata: [String: String] = [:]

  private let json: [UInt8]
  private let path: String
  private var position = 0

  init(_ json: [UInt8], path: String) {
    self.json = json
    self.path = path
  }

  mutating func parse() throws(TensorFileError) {
    guard json.first == UInt8(ascii: "{") else {
      throw damaged("the header does not begin with '{'; is this a safetensors file?")
    }
    var names: Set<String> = []
    try parseObject { parser, key throws(TensorFileError) in
      guard names.insert(key).inserted else { throw parser.damaged("\(quoted(key)) twice") }
      if key == "__metadata__" {
        try parser.parseMetadata()
      } else {
        guard parser.tensors.count < Safetensors.maximumTensors else {
          throw parser.damaged("more than \(Safetensors.maximumTensors) tensors")
        }
        parser.tensors.append(try parser.parseTensor(name: key))
      }
    }
    skipSpace()
    guard position == json.count else { throw damaged("text after the header's object") }
  }

  private func damaged(_ problem: String) -> TensorFileError {
    TensorFileError(.damaged, path: path, "header byte \(position): \(problem)")
  }

  private mutating func parseMetadata() throws(TensorFileError) {
    try parseObject { parser, key throws(TensorFileError) in
      parser.skipSpace()
      guard parser.peek() == UInt8(ascii: "\"") else {
        throw parser.damaged("__metadata__ \(quoted(key)) is not a string")
      }
      let value = try parser.parseString()
      guard parser.metadata.updateValue(value, forKey: key) == nil else {
        throw parser.damaged("__metadata__ \(quoted(key)) twice")
      }
    }
  }

  private mutating func parseTensor(name: String) throws(TensorFileError)
    -> Safetensors.Header.Entry
  {
    var elementType: String?
    var shape: [Int]?
    var offsets: [Int]?
    try parseObject { parser, field throws(TensorFileError) in
      let repeated: Bool
      switch field {
      case "dtype":
        repeated = elementType != nil
        elementType = try parser.parseString()
      case "shape":
        repeated = shape != nil
        shape = try parser.parseIntegers(atMost: Safetensors.maximumDimensions)
      case "data_offsets":
        repeated = offsets != nil
        offsets = try parser.parseIntegers(atMost: 2)
      default: throw parser.damaged("tensor \(quoted(name)): unknown field \(quoted(field))")
      }
      guard !repeated else {
        throw parser.damaged("tensor \(quoted(name)): field \(quoted(field)) twice")
      }
    }
    guard let elementType, let shape, let offsets else {
      let field = elementType == nil ? "dtype" : shape == nil ? "shape" : "data_offsets"
      throw damaged("tensor \(quoted(name)): field \(field) is missing")
    }
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw damaged("tensor \(quoted(name)): data_offsets \(offsets) are not begin and end")
    }
    return Safetensors.Header.Entry(
      name: name, elementType: elementType, shape: shape, byteRange: offsets[0]..<offsets[1])
  }

  /// Parses `{"key": value, …}`, calling `value` behind each colon.
  private mutating func parseObject(
    _ value: (inout SafetensorsHeaderParser, String) throws(TensorFileError) -> Void
  ) throws(TensorFileError) {
    try expect("{")
    skipSpace()
    if accept("}") { return }
    repeat {
      let key = try parseString()
      try expect(":")
      try value(&self, key)
      skipSpace()
    } while accept(",")
    try expect("}")
  }

  private mutating func parseIntegers(atMost limit: Int) throws(TensorFileError) -> [Int] {
    try expect("[")
    skipSpace()
    if accept("]") { return [] }
    var integers: [Int] = []
    repeat {
      guard integers.count < limit else { throw damaged("more than \(limit) numbers in a list") }
      integers.append(try parseInteger())
      skipSpace()
    } while accept(",")
    try expect("]")
    return integers
  }

  /// A JSON number that is an integer of 0 or more and fits into `Int`.
  private mutating func parseInteger() throws(TensorFileError) -> Int {
    skipSpace()
    let start = position
    var value = 0
    while let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (next, carry) = tenfold.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
      guard !overflow, !carry else { throw damaged("the number does not fit into 63 bits") }
      value = next
      position += 1
    }
    let hasLeadingZero = position - start > 1 && json[start] == UInt8(ascii: "0")
    let continues = peek().map { ".eE+-".utf8.contains($0) } ?? false
    guard position > start, !hasLeadingZero, !continues else {
      throw damaged("expected a whole number of 0 or more")
    }
    return value
  }

  private func peek() -> UInt8? { position < json.count ? json[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  private mutating func accept(_ character: Character) -> Bool {
    guard let byte = peek(), byte == character.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Character) throws(TensorFileError) {
    skipSpace()
    guard accept(character) else {
      throw damaged(position < json.count ? "expected '\(character)'" : "the header ends too early")
    }
  }
}

extension SafetensorsHeaderParser {
  private mutating func parseString() throws(TensorFileError) -> String {
    try expect("\"")
    var bytes: [UInt8] = []
    var runStart = position
    while let byte = peek() {
      if byte == UInt8(ascii: "\"") {
        bytes += json[runStart..<position]
        guard let string = String(validating: bytes, as: UTF8.self) else {
          throw damaged("a string is not valid UTF-8")
        }
        position += 1
        return string
      }
      guard byte >= 0x20 else { throw damaged("a control character in a string") }
      if byte == UInt8(ascii: "\\") {
        bytes += json[runStart..<position]
        position += 1
        bytes += String(try parseEscape()).utf8
        runStart = position
      } else {
        position += 1
      }
    }
    throw damaged("a string does not end")
  }

  /// What follows a backslash.
  private mutating func parseEscape() throws(TensorFileError) -> Unicode.Scalar {
    guard let byte = peek() else { throw damaged("a string does not end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try parseUnicodeEscape()
    default: throw damaged("unknown escape in a string")
    }
  }

  /// Four hexadecimal digits, and the second half where they are the first of a surrogate pair.
  private mutating func parseUnicodeEscape() throws(TensorFileError) -> Unicode.Scalar {
    let first = try parseHexadecimal()
    guard (0xD800..<0xDC00).contains(first) else {
      guard let scalar = Unicode.Scalar(first) else { throw damaged("a lone surrogate escape") }
      return scalar
    }
    guard accept("\\"), accept("u") else { throw damaged("a lone surrogate escape") }
    let second = try parseHexadecimal()
    guard (0xDC00..<0xE000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw damaged("a lone surrogate escape") }
    return scalar
  }

  private mutating func parseHexadecimal() throws(TensorFileError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(),
        let digit = Character(Unicode.Scalar(byte)).hexDigitValue
      else { throw damaged("expected four hexadecimal digits") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
