import Foundation
import Testing

@testable import RunPlanning

struct YAMLTests {
  /// Text that is no configuration as YAML, and what the message must say.
  static let bad: [(text: String, fragments: [String])] = [
    ("", ["config.yaml:1:", "says nothing"]),
    ("# only a comment\n", ["config.yaml", "says nothing"]),
    ("just words", ["config.yaml:1:", "expects a mapping"]),
    ("- a\n- b\n", ["config.yaml:1:", "expects a mapping"]),
    ("training:\n\tepochs: 3\n", ["config.yaml:2:", "not valid YAML", "tab"]),
    ("training: {epochs: 3\n", ["config.yaml:2:", "not valid YAML"]),
    ("training: [1, 2\nname: x\n", ["config.yaml:2:", "not valid YAML"]),
    ("name: \"open\n", ["config.yaml:2:", "not valid YAML"]),
    ("name: a\nname: b\n", ["config.yaml:2: name: given twice, first at config.yaml:1"]),
    (
      "training:\n  epochs: 1\n  seed: 2\n  epochs: 3\n",
      ["config.yaml:4: training.epochs: given twice, first at config.yaml:2"]
    ),
    (
      "name: a\n'name': b\n", ["config.yaml:2: name: given twice"]
    ),
    ("training: &t\n  epochs: 1\n", ["config.yaml:1:", "anchors", "not supported"]),
    ("name: &n x\n", ["config.yaml:1:", "anchors"]),
    ("name: x\noutput: *n\n", ["config.yaml:2:", "aliases"]),
    ("training:\n  <<: {epochs: 2}\n", ["config.yaml:2:", "merge keys"]),
    ("name: !!str x\n", ["config.yaml:1:", "tags"]),
    ("training: !t {epochs: 1}\n", ["config.yaml:1:", "tags"]),
    ("name: a\n---\nname: b\n", ["config.yaml:2:", "second document"]),
    ("? [a, b]\n: c\n", ["config.yaml:1:", "plain word"]),
    ("name: a\u{0}b\n", ["config.yaml:1:", "not valid YAML"]),
    ("name: x\noutput: a\u{1}b\n", ["config.yaml:2:", "not valid YAML"]),
    ("x: " + String(repeating: "[", count: 500), ["config.yaml", "nested more than 64 deep"]),
    (
      "x: " + String(repeating: "{a: ", count: 100), ["config.yaml", "nested more than 64 deep"]
    ),
    ("a:\n  - b\n c\n", ["config.yaml:3:", "not valid YAML"]),
  ]

  @Test(arguments: bad.indices) func badText(_ index: Int) throws {
    let (text, fragments) = Self.bad[index]
    let error = try #require(throws: ConfigurationError.self) {
      _ = try Sample.config(text)
    }
    #expect(error.kind == .configuration)
    for fragment in fragments {
      #expect(error.description.contains(fragment), "\(error) lacks \(fragment)")
    }
    #expect(!error.description.contains("\n"))
  }

  @Test func invalidUTF8IsNamedByLine() throws {
    let bytes = Array("name: a\noutput: ".utf8) + [0xC3, 0x28, 0x0A]
    let error = try #require(throws: ConfigurationError.self) {
      _ = try YAMLReader.read(bytes, source: "c.yaml")
    }
    #expect(error.description.hasPrefix("c.yaml:2: not valid UTF-8"))
  }

  @Test func byteOrderMarkAndCarriageReturnsAreTolerated() throws {
    let config = try Sample.config("\u{FEFF}training:\r\n  epochs: 7\r\nname: x\r\n")
    #expect(config.training.epochs == 7)
    #expect(config.name == "x")
  }

  @Test func hugeTextIsRefusedUnparsed() throws {
    let bytes = [UInt8](repeating: UInt8(ascii: "["), count: YAMLReader.maximumBytes + 1)
    let error = try #require(throws: ConfigurationError.self) {
      _ = try YAMLReader.read(bytes, source: "c.yaml")
    }
    #expect(error.description.contains("at most 1048576"))
  }

  @Test func manyValuesAreRefused() throws {
    let text = "a: [" + String(repeating: "1,", count: 20_000) + "]"
    let error = try #require(throws: ConfigurationError.self) {
      _ = try Sample.config(text)
    }
    #expect(error.description.contains("more than 10000 values"))
  }

  /// A megabyte of what is worst for a parser is refused in one short line.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      "[", "{", "[\n", "{a: ", "- ", "? ", "a: ", "a", "'", "\"\\", "&a ", "*a ", "!!a ", "a: {}\n",
      "- 1\n", "%A\n", "---\n", "\t", ":", ",", "|\n", "\u{FEFF}", "é", " ", "\n", "#",
    ])
  func hostileText(_ unit: String) throws {
    let bytes = [UInt8](
      [[UInt8]](repeating: Array(unit.utf8), count: YAMLReader.maximumBytes / unit.utf8.count)
        .joined())
    let text = String(decoding: bytes, as: UTF8.self)
    let error = try #require(throws: ConfigurationError.self) { _ = try Sample.config(text) }
    #expect(error.description.utf8.count < 1000)
    #expect(!error.description.contains("\n"))
  }

  /// Every prefix and every one-byte damage of a good file is either read or refused, never a trap.
  @Test func mutationsNeverTrap() {
    let good = Array(Sample.small.utf8)
    var refused = 0
    for index in good.indices {
      var damaged = good
      for byte: UInt8 in [0x00, 0x22, 0x3A, 0x7B, 0xFF] {
        damaged[index] = byte
        let root = try? YAMLReader.read(damaged, source: "c.yaml")
        if root == nil { refused += 1 }
        let text = String(decoding: damaged, as: UTF8.self)
        _ = try? Sample.config(text)
      }
      _ = try? YAMLReader.read(Array(good[..<index]), source: "c.yaml")
    }
    #expect(refused > good.count)
  }
}

struct ConfigurationFileTests {
  private let directory: String

  init() throws {
    let parent = FileManager.default.temporaryDirectory.path
    var template = Array("\(parent)/repvgg-configuration-XXXXXX".utf8CString)
    let made = try #require(mkdtemp(&template))
    directory = String(cString: made)
  }

  private func remove() { try? FileManager.default.removeItem(atPath: directory) }

  private func failure(_ path: String) throws -> ConfigurationError {
    try #require(throws: ConfigurationError.self) { _ = try RunConfig.load(path: path) }
  }

  @Test func missingFile() throws {
    defer { remove() }
    let error = try failure("\(directory)/none.yaml")
    #expect(error.kind == .missing)
    #expect(error.description.contains("none.yaml: cannot read the configuration: No such file"))
  }

  @Test func directoryIsNoFile() throws {
    defer { remove() }
    let error = try failure(directory)
    #expect(error.kind == .missing)
    #expect(error.description.contains("not a regular file"))
  }

  @Test(.timeLimit(.minutes(1))) func fifoDoesNotHang() throws {
    defer { remove() }
    try #require(mkfifo("\(directory)/pipe", 0o600) == 0)
    let error = try failure("\(directory)/pipe")
    #expect(error.kind == .missing)
  }

  @Test func largeFileIsRefusedUnread() throws {
    defer { remove() }
    let path = "\(directory)/large.yaml"
    try #require(FileManager.default.createFile(atPath: path, contents: nil))
    try #require(truncate(path, 10 << 30) == 0)
    let error = try failure(path)
    #expect(error.kind == .configuration)
    #expect(error.description.contains("at most 1048576"))
  }

  @Test func nameAndOutputFollowTheFile() throws {
    defer { remove() }
    let path = "\(directory)/fashion.small.yaml"
    let text = Data("training: {epochs: 3}\n".utf8)
    try #require(FileManager.default.createFile(atPath: path, contents: text))
    let config = try RunConfig.load(path: path, overrides: ["training.epochs=4"])
    #expect(config.training.epochs == 4)
    #expect(config.name == "fashion.small")
    #expect(config.output == "runs/fashion.small")
  }
}
