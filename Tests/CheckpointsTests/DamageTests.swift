import Foundation
import Tensors
import Testing

@testable import Checkpoints

/// A checkpoint in which anything at all was changed is found and passed over.
@Suite struct DamageTests {
  /// Two checkpoints, of which the newer one is to be damaged.
  private func damaged(_ damage: (_ directory: String, Fixture) throws -> Void) throws
    -> (checkpoint: Checkpoint?, notes: [String])
  {
    let fixture = try Fixture()
    try fixture.commit(100, 200)
    try damage(fixture.directory(200), fixture)
    return try fixture.store.newestGood()
  }

  private func expectFallback(
    _ comment: String, says: String = "checkpoints", _ damage: (String, Fixture) throws -> Void
  ) throws {
    let (checkpoint, notes) = try damaged(damage)
    #expect(checkpoint?.step == 100, "\(comment)")
    #expect(notes.count == 1, "\(comment)")
    let note = notes.first ?? ""
    #expect(note.hasPrefix("passed over step-000000200: "), "\(comment)")
    #expect(note.contains(says) && !note.contains("\n"), "\(comment): \(note)")
  }

  @Test(arguments: ["model.safetensors", "state.json", "MANIFEST.json"])
  func truncationsAreFound(_ name: String) throws {
    for sixteenth in 0..<16 {
      try expectFallback("\(name) cut to \(sixteenth)/16", says: name) { directory, fixture in
        let bytes = try fixture.read("\(directory)/\(name)")
        let length = bytes.count * sixteenth / 16
        try fixture.write("\(directory)/\(name)", Array(bytes[..<length]))
      }
    }
    for length in [1, 7, 8] {
      try expectFallback("\(name) cut to \(length)", says: name) { directory, fixture in
        let bytes = try fixture.read("\(directory)/\(name)")
        try fixture.write("\(directory)/\(name)", Array(bytes[..<length]))
      }
    }
    try expectFallback("\(name) without its last byte", says: name) { directory, fixture in
      let bytes = try fixture.read("\(directory)/\(name)")
      try fixture.write("\(directory)/\(name)", Array(bytes.dropLast()))
    }
  }

  /// Two hundred flipped bits, over all files by size and the manifest as often: all are found.
  @Test func flippedBitsAreFound() throws {
    let fixture = try Fixture()
    try fixture.commit(100, 200)
    var random = CounterRandom(seed: 32, epoch: 0, sample: 0, purpose: .test)
    var found = 0
    for flip in 0..<200 {
      let name = flip.isMultiple(of: 2) ? "MANIFEST.json" : "model.safetensors"
      let file = "\(fixture.directory(200))/\(name)"
      let original = try fixture.read(file)
      var bytes = original
      bytes[random.next(below: bytes.count)] ^= 1 << UInt8(random.next(below: 8))
      try fixture.write(file, bytes)
      let (checkpoint, notes) = try fixture.store.newestGood()
      if checkpoint?.step == 100, notes.count == 1 { found += 1 }
      try fixture.write(file, original)
    }
    #expect(found == 200)
    #expect(try fixture.store.newestGood().checkpoint?.step == 200)
  }

  /// A run prunes while somebody looks at it: what is gone is not damaged.
  @Test func whatIsRemovedMeanwhileIsNotDamaged() throws {
    let fixture = try Fixture()
    try fixture.commit(100, 200)
    #expect(try fixture.store.findingsIfStillThere(step: 50) == nil)
    #expect(try fixture.store.findingsIfStillThere(step: 100)?.count == 4)
    unlink("\(fixture.directory(200))/state.json")
    let findings = try #require(try fixture.store.findingsIfStillThere(step: 200))
    #expect(findings.filter { $0.problem != nil }.map(\.file) == ["state.json"])
    try FileManager.default.removeItem(atPath: fixture.directory(200))
    #expect(try fixture.store.findingsIfStillThere(step: 200) == nil)
    #expect(try fixture.store.entries().map(\.step) == [100])
  }

  @Test func lengthenedFilesAreFound() throws {
    for name in ["model.safetensors", "empty", "MANIFEST.json"] {
      try expectFallback("\(name) longer", says: name) { directory, fixture in
        let bytes = try fixture.read("\(directory)/\(name)")
        try fixture.write("\(directory)/\(name)", bytes + [0x20])
      }
    }
  }

  @Test func missingAndOddFilesAreFound() throws {
    let manager = FileManager.default
    for name in ["model.safetensors", "empty", "MANIFEST.json"] {
      try expectFallback("without \(name)", says: name) { directory, _ in
        try manager.removeItem(atPath: "\(directory)/\(name)")
      }
      try expectFallback("\(name) a link", says: name) { directory, _ in
        try manager.moveItem(atPath: "\(directory)/\(name)", toPath: "\(directory)/real")
        try manager.createSymbolicLink(
          atPath: "\(directory)/\(name)", withDestinationPath: "\(directory)/real")
      }
      try expectFallback("\(name) a FIFO", says: name) { directory, _ in
        try manager.removeItem(atPath: "\(directory)/\(name)")
        #expect(mkfifo("\(directory)/\(name)", 0o600) == 0)
      }
      try expectFallback("\(name) a directory", says: name) { directory, _ in
        try manager.removeItem(atPath: "\(directory)/\(name)")
        try manager.createDirectory(
          atPath: "\(directory)/\(name)", withIntermediateDirectories: false)
      }
    }
    try expectFallback("empty directory") { directory, _ in
      try manager.removeItem(atPath: directory)
      try manager.createDirectory(atPath: directory, withIntermediateDirectories: false)
    }
    try expectFallback("a file in its place") { directory, fixture in
      try manager.removeItem(atPath: directory)
      try fixture.write(directory, "no directory")
    }
  }

  @Test func anotherStepsDirectoryIsFound() throws {
    try expectFallback("a copy of another step", says: "step 100") { directory, fixture in
      try FileManager.default.removeItem(atPath: directory)
      try FileManager.default.copyItem(atPath: fixture.directory(100), toPath: directory)
    }
  }

  private static let emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

  private static func manifest(name: String = "empty", step: String = "200", bytes: String = "0")
    -> String
  {
    Fixture.manifest(
      """
      {
        "format": 1,
        "step": \(step),
        "files": [
          {"name": "\(name)", "bytes": \(bytes), "sha256": "\(emptySum)"}
        ],

      """)
  }

  /// The manifests below are refused for what they say, not for their form.
  @Test func aManifestPutTogetherByHandIsRead() throws {
    let manifest = try Manifest(Array(Self.manifest().utf8), path: "m")
    #expect(manifest.files.map(\.name) == ["empty"])
  }

  @Test(arguments: [
    "../state.json", "a/b", "/etc/passwd", "..", ".", "", ".hidden", "a\\u0000b", "a b", "é",
    "MANIFEST.json", String(repeating: "a", count: 256), String(repeating: "a", count: 65_536),
  ])
  func namesThatAreNotPlainAreFound(_ name: String) throws {
    try expectFallback(name, says: "not a plain name") { directory, fixture in
      try fixture.write("\(directory)/MANIFEST.json", Self.manifest(name: name))
    }
  }

  @Test func manifestsThatSayNonsenseAreFound() throws {
    let nonsense = [
      Self.manifest(step: "-200"), Self.manifest(step: "2e2"), Self.manifest(step: "200.5"),
      Self.manifest(step: "99999999999999999999"), Self.manifest(bytes: "-1"),
      Self.manifest(bytes: "9223372036854775807"), Self.manifest(bytes: "\"0\""),
      Self.manifest().replacingOccurrences(of: "\"format\": 1", with: "\"format\": 2"),
      "", "null", "[]", "{}", "\u{FEFF}" + Self.manifest(), Self.manifest() + "{}",
      String(repeating: "[", count: 100_000), String(repeating: " ", count: 1_000_001),
    ]
    for text in nonsense {
      try expectFallback(String(text.prefix(200))) { directory, fixture in
        try fixture.write("\(directory)/MANIFEST.json", text)
      }
    }
  }

  @Test func nothingGoodLeavesNoneWithNotes() throws {
    let fixture = try Fixture()
    try fixture.commit(1, 2, 3)
    for step in 1...3 { try fixture.write(fixture.directory(step) + "/MANIFEST.json", "") }
    let (checkpoint, notes) = try fixture.store.newestGood()
    #expect(checkpoint == nil)
    #expect(notes.count == 3)
  }

  @Test func damageAfterVerificationIsFoundWhenRead() throws {
    let fixture = try Fixture()
    try fixture.commit(1)
    let checkpoint = try fixture.store.verify(step: 1)
    try fixture.write(checkpoint.path("state.json"), "{\"step\": 2}")
    let error = #expect(throws: CheckpointError.self) { try checkpoint.read("state.json") }
    #expect(error?.kind == .damaged)
  }
}
