import Testing

@testable import Tensors

/// A file that must be refused, and what the error must say.
struct BadFile: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let says: String

  var testDescription: String { name }

  /// A file whose header is the given text.
  static func header(_ name: String, _ header: String, data: Int = 8, says: String) -> BadFile {
    BadFile(
      name: name, bytes: file(header: header, data: [UInt8](repeating: 1, count: data)), says: says)
  }

  /// A file with one tensor of these fields, as JSON.
  static func tensor(
    _ name: String, dtype: String = #""F32""#, shape: String = "[2]", offsets: String = "[0,8]",
    says: String
  ) -> BadFile {
    header(
      name, #"{"w":{"dtype":\#(dtype),"shape":\#(shape),"data_offsets":\#(offsets)}}"#, says: says)
  }

  static func length(_ name: String, _ length: UInt64, says: String) -> BadFile {
    BadFile(
      name: name, bytes: file(headerBytes: Array("{}      ".utf8), length: length), says: says)
  }
}

private let valid = #"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

private let badFiles: [BadFile] = [
  BadFile(name: "empty", bytes: [], says: "0 bytes are too short"),
  BadFile(name: "seven bytes", bytes: [2, 0, 0, 0, 0, 0, 0], says: "7 bytes are too short"),
  .length("length 0", 0, says: "holds no JSON object"),
  .length("length 1", 1, says: "holds no JSON object"),
  .length("length 7 of 8", 7, says: "1 bytes after the last tensor"),
  .length("length beyond the file", 9, says: "beyond the file's 16 bytes"),
  .length("length 100 MB + 1", 100_000_001, says: "above 100000000"),
  .length("length 2^63", 1 << 63, says: "header length 9223372036854775808 is above"),
  .length("length 2^64 - 1", .max, says: "header length 18446744073709551615 is above"),
  .header("not an object", #"[1,2]"#, says: "does not begin with '{'"),
  .header("space before", #" {}"#, says: "does not begin with '{'"),
  .header("unclosed", #"{"w":\#(valid)"#, says: "ends too early"),
  .header("text behind", #"{"w":\#(valid)}x"#, says: "text after"),
  .header("NUL padding", "{\"w\":\(valid)}\0", says: "text after"),
  .header("trailing comma", #"{"w":\#(valid),}"#, says: "expected '\"'"),
  .header("no colon", #"{"w" \#(valid)}"#, says: "expected ':'"),
  .header("number as key", #"{1:\#(valid)}"#, says: "expected '\"'"),
  .header("string unended", #"{"w"#, says: "a string does not end"),
  .header("string ends in escape", #"{"w\"#, says: "a string does not end"),
  .header("control character", "{\"w\n\":\(valid)}", says: "control character"),
  .header("unknown escape", #"{"\x":\#(valid)}"#, says: "unknown escape"),
  .header("bad hexadecimal", #"{"\u00g0":\#(valid)}"#, says: "hexadecimal"),
  .header("lone high surrogate", #"{"\ud800":\#(valid)}"#, says: "lone surrogate"),
  .header("lone low surrogate", #"{"\udc00":\#(valid)}"#, says: "lone surrogate"),
  .header("two high surrogates", #"{"\ud800\ud800":\#(valid)}"#, says: "lone surrogate"),
  BadFile(
    name: "invalid UTF-8",
    bytes: file(
      headerBytes: Array("{\"".utf8) + [0xC3, 0x28] + Array("\":\(valid)}".utf8),
      data: [UInt8](repeating: 0, count: 8)),
    says: "not valid UTF-8"),
  .header("tensor twice", #"{"w":\#(valid),"w":\#(valid)}"#, says: "\"w\" twice"),
  .header(
    "tensor twice by escape", #"{"w":\#(valid),"\u0077":\#(valid)}"#, says: "\"w\" twice"),
  .header(
    "field twice", #"{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
    says: "field \"dtype\" twice"),
  .header(
    "unknown field", #"{"w":{"dtype":"F32","shape":[2],"offsets":[0,8]}}"#,
    says: "unknown field \"offsets\""),
  .header("dtype missing", #"{"w":{"shape":[2],"data_offsets":[0,8]}}"#, says: "dtype is missing"),
  .header(
    "shape missing", #"{"w":{"dtype":"F32","data_offsets":[0,8]}}"#, says: "shape is missing"),
  .header(
    "offsets missing", #"{"w":{"dtype":"F32","shape":[2]}}"#, says: "data_offsets is missing"),
  .header("tensor null", #"{"w":null}"#, says: "expected '{'"),
  .header("tensor empty", #"{"w":{}}"#, says: "dtype is missing"),
  .tensor("unknown dtype", dtype: #""F33""#, says: "unknown element type \"F33\""),
  .tensor("dtype lower case", dtype: #""f32""#, says: "unknown element type"),
  .tensor("dtype number", dtype: "32", says: "expected '\"'"),
  .tensor("shape negative", shape: "[-2]", says: "whole number"),
  .tensor("shape fraction", shape: "[2.0]", says: "whole number"),
  .tensor("shape exponent", shape: "[2e0]", says: "whole number"),
  .tensor("shape string", shape: #"["2"]"#, says: "whole number"),
  .tensor("shape leading zero", shape: "[02]", says: "whole number"),
  .tensor("shape NaN", shape: "[NaN]", says: "whole number"),
  .tensor("shape scalar", shape: "2", says: "expected '['"),
  .tensor("shape null", shape: "null", says: "expected '['"),
  .tensor("shape nested", shape: "[[2]]", says: "whole number"),
  .tensor("shape 2^63", shape: "[9223372036854775808]", says: "63 bits"),
  .tensor("shape 10^400", shape: "[1\(String(repeating: "0", count: 400))]", says: "63 bits"),
  .tensor("shape product overflows", shape: "[4294967296,4294967296]", says: "overflows"),
  .tensor(
    "shape product overflows beside a zero", shape: "[4294967296,0,4294967296]", offsets: "[0,0]",
    says: "overflows"),
  .tensor("size overflows", shape: "[4611686018427387904]", says: "overflows"),
  .tensor(
    "65 dimensions", shape: "[\([String](repeating: "1", count: 65).joined(separator: ","))]",
    says: "more than 64 numbers"),
  .tensor("shape against offsets", shape: "[3]", says: "takes 12 bytes"),
  .tensor("half a byte", dtype: #""F4""#, shape: "[3]", offsets: "[0,1]", says: "whole bytes"),
  .tensor("offsets reversed", offsets: "[8,0]", says: "not begin and end"),
  .tensor("one offset", offsets: "[8]", says: "not begin and end"),
  .tensor("three offsets", offsets: "[0,8,8]", says: "more than 2 numbers"),
  .tensor("offset negative", offsets: "[-8,0]", says: "whole number"),
  .tensor("offset float", offsets: "[0,8.0]", says: "whole number"),
  .tensor("offset string", offsets: #"["0","8"]"#, says: "whole number"),
  .tensor("offset 2^64", offsets: "[0,18446744073709551616]", says: "63 bits"),
  .tensor("beyond the data", shape: "[4]", offsets: "[0,16]", says: "ends at data byte 16 of 8"),
  .tensor("hole at the start", shape: "[1]", offsets: "[4,8]", says: "follows a hole"),
  .tensor("bytes behind", shape: "[1]", offsets: "[0,4]", says: "4 bytes after the last tensor"),
  .header(
    "hole between",
    #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"#
      + #""b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}}"#, says: "follows a hole"),
  .header(
    "overlap",
    #"{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"#
      + #""b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#, says: "overlaps"),
  .header("the same bytes twice", #"{"a":\#(valid),"b":\#(valid)}"#, says: "overlaps"),
  .header("metadata number", #"{"__metadata__":{"a":1},"w":\#(valid)}"#, says: "not a string"),
  .header("metadata object", #"{"__metadata__":{"a":{}},"w":\#(valid)}"#, says: "not a string"),
  .header("metadata null", #"{"__metadata__":null,"w":\#(valid)}"#, says: "expected '{'"),
  .header("metadata list", #"{"__metadata__":[],"w":\#(valid)}"#, says: "expected '{'"),
  .header(
    "metadata key twice", #"{"__metadata__":{"a":"","a":""},"w":\#(valid)}"#, says: "\"a\" twice"),
  .header(
    "metadata twice", #"{"__metadata__":{},"__metadata__":{},"w":\#(valid)}"#, says: "twice"),
  .header(
    "deep JSON", String(repeating: #"{"a":"#, count: 100_000), says: "unknown field \"a\""),
  .header("deep list", #"{"a":"# + String(repeating: "[", count: 100_000), says: "expected '{'"),
]

@Suite struct DamagedSafetensorsTests {
  @Test(arguments: badFiles) func isRefusedByName(_ bad: BadFile) {
    let error = #expect(throws: TensorFileError.self) {
      try NamedTensors(safetensors: bad.bytes, path: "bad.safetensors")
    }
    #expect(error?.kind == .damaged)
    let description = error?.description ?? ""
    #expect(description.hasPrefix("bad.safetensors: "))
    #expect(description.contains(bad.says), "\(description)")
    #expect(!description.contains("\n") && description.utf8.count < 500)
  }

  /// The same check on disk, where the file's size comes from the file system.
  @Test func isRefusedOnDisk() throws {
    let directory = try TemporaryDirectory()
    for (index, bad) in badFiles.enumerated() {
      let path = try directory.write(bad.bytes, "\(index)")
      #expect(throws: TensorFileError.self, "\(bad.name)") {
        try NamedTensors.readSafetensors(path: path)
      }
    }
  }

  @Test func aNameDoesNotBreakTheLine() {
    let name = String(repeating: "\\n\\u2028x", count: 200)
    let error = #expect(throws: TensorFileError.self) {
      try NamedTensors(safetensors: file(header: "{\"\(name)\":{}}"), path: "bad")
    }
    let description = error?.description ?? ""
    #expect(!description.contains { $0.isNewline } && description.utf8.count < 1_500)
  }

  @Test func moreTensorsThanTheLimitAreRefused() {
    let tensors = (0...Safetensors.maximumTensors).map {
      #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
    }
    let bytes = file(header: "{\(tensors.joined(separator: ","))}")
    let error = #expect(throws: TensorFileError.self) {
      try NamedTensors(safetensors: bytes, path: "bad")
    }
    #expect(error?.message.contains("more than 100000 tensors") == true)
  }

  @Test func everyTruncationIsRefused() {
    let bytes = SafetensorsRoundTripTests.sample.safetensorsBytes()
    for count in 0..<bytes.count {
      #expect(throws: TensorFileError.self, "\(count) of \(bytes.count) bytes") {
        try NamedTensors(safetensors: Array(bytes[..<count]), path: "cut")
      }
    }
  }

  /// Mutants are read or refused: none may trap. What is read must make a file again.
  @Test(arguments: 0..<4) func mutantsAreReadOrRefused(_ round: Int) throws {
    let seeds = [
      SafetensorsRoundTripTests.sample.safetensorsBytes(),
      file(
        header: #"{"w":\#(valid),"x":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}"#,
        data: [UInt8](repeating: 3, count: 16)),
    ]
    var (read, refused) = (0, 0)
    for mutant in 0..<500 {
      var random = CounterRandom(seed: 57, epoch: round, sample: mutant, purpose: .test)
      var bytes = seeds[random.next(below: seeds.count)]
      for _ in 0...random.next(below: 4) { mutate(&bytes, &random) }
      do {
        let tensors = try NamedTensors(safetensors: bytes, path: "mutant")
        let again = try NamedTensors(safetensors: tensors.safetensorsBytes(), path: "again")
        #expect(again.sortedNames == tensors.sortedNames)
        read += 1
      } catch {
        refused += 1
      }
    }
    #expect(read + refused == 500)
    #expect(refused > 250)
  }

  private func mutate(_ bytes: inout [UInt8], _ random: inout CounterRandom) {
    let tokens = [
      "-1", "9223372036854775807", "18446744073709551616", "1e9", "0.5", "\"", "{", "}", "[", "]",
      ",", ":", "\\u0000", "\\", "null", "[0,0]", "\"F64\"", "\"__metadata__\":{", " ", "\u{7F}",
    ]
    guard !bytes.isEmpty else { return }
    let position = random.next(below: bytes.count)
    switch random.next(below: 7) {
    case 0: bytes[position] ^= 1 << UInt8(random.next(below: 8))
    case 1: bytes[position] = UInt8(random.next(below: 256))
    case 2: bytes.removeSubrange(position...)
    case 3: bytes.insert(UInt8(random.next(below: 256)), at: position)
    case 4: bytes.remove(at: position)
    case 5: bytes[random.next(below: min(8, bytes.count))] = UInt8(random.next(below: 256))
    default: insert(tokens[random.next(below: tokens.count)], at: position, &bytes)
    }
  }

  /// Inserts text into the header and lengthens it by as much, so that the parser gets there.
  private func insert(_ text: String, at position: Int, _ bytes: inout [UInt8]) {
    guard bytes.count > 8 else { return }
    let length = (0..<8).reduce(0) { $0 | UInt64(bytes[$1]) << (8 * UInt64($1)) }
    let header = file(headerBytes: [], length: length &+ UInt64(text.utf8.count))
    bytes.insert(contentsOf: Array(text.utf8), at: max(8, position))
    bytes.replaceSubrange(0..<8, with: header)
  }
}
