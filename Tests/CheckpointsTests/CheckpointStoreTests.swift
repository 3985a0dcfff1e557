import Foundation
import Testing

@testable import Checkpoints

@Suite struct CheckpointStoreTests {
  @Test func whatIsCommittedIsRead() throws {
    let fixture = try Fixture()
    try fixture.commit(1_200)
    #expect(try fixture.entries() == ["step-000001200"])
    let (newest, notes) = try fixture.store.newestGood()
    let checkpoint = try #require(newest)
    #expect(notes.isEmpty)
    #expect(checkpoint.step == 1_200)
    #expect(checkpoint.names == ["empty", "model.safetensors", "state.json"])
    for (name, bytes) in Fixture.files(1_200) {
      #expect(try checkpoint.read(name) == bytes)
      #expect(try fixture.read(checkpoint.path(name)) == bytes)
    }
    #expect(try Checkpoint(verifying: fixture.directory(1_200)) == checkpoint)
    let error = #expect(throws: CheckpointError.self) { try checkpoint.read("optimizer") }
    #expect(error?.kind == .missing)
  }

  @Test func theManifestIsJSON() throws {
    let fixture = try Fixture()
    try fixture.commit(7)
    let bytes = try fixture.read(fixture.directory(7) + "/MANIFEST.json")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    #expect(object["step"] as? Int == 7)
    #expect((object["files"] as? [[String: Any]])?.count == 3)
  }

  @Test func newestIsByStepNotByTime() throws {
    let fixture = try Fixture()
    try fixture.commit(300, 100, 1_000_000_000, 200)
    #expect(try fixture.store.list() == [100, 200, 300, 1_000_000_000])
    #expect(try fixture.store.newestGood().checkpoint?.step == 1_000_000_000)
  }

  @Test func withoutAnyThereIsNone() throws {
    let fixture = try Fixture()
    #expect(try fixture.store.list() == [])
    let (checkpoint, notes) = try fixture.store.newestGood()
    #expect(checkpoint == nil && notes.isEmpty)
    #expect(fixture.store.best == nil)
    #expect(try fixture.store.verifyKind(step: 1) == .missing)
  }

  @Test func othersInTheDirectoryAreLeftAlone() throws {
    let fixture = try Fixture(keep: 1)
    try fixture.commit(5)
    let strays = [
      "step-5", "step-00000005", "step-+00000005", "step--00000005", "step-000000005x",
      "step-99999999999999999999", "notes.txt", ".hidden", "Step-000000005", "step-",
    ]
    for stray in strays { try fixture.write("\(fixture.store.directory)/\(stray)", "mine") }
    try fixture.write(fixture.directory(5) + "/mine.txt", "mine")
    #expect(try fixture.store.list() == [5])
    #expect(try fixture.store.newestGood().notes.isEmpty)
    try fixture.commit(6)
    try fixture.store.prepare()
    try fixture.store.prune()
    #expect(try fixture.entries() == (strays + ["step-000000006"]).sorted())
  }

  @Test func aGoodOneOfTheSameStepStays() throws {
    let fixture = try Fixture()
    try fixture.commit(10)
    try fixture.store.commit(step: 10, files: [("other", [1])])
    #expect(try fixture.store.verify(step: 10).names.contains("model.safetensors"))
    #expect(try fixture.entries() == ["step-000000010"])
  }

  @Test func aDamagedOneOfTheSameStepIsMovedAside() throws {
    let fixture = try Fixture()
    try fixture.commit(10)
    try fixture.write(fixture.directory(10) + "/state.json", "{}")
    try fixture.commit(10)
    try fixture.store.verify(step: 10)
    let aside = try fixture.entries().filter { $0.hasPrefix("damaged-step-000000010.") }
    #expect(aside.count == 1)
    #expect(try fixture.entries().count == 2)
    // Also what is no directory at all.
    try fixture.write(fixture.directory(11), "mine")
    try fixture.commit(11)
    try fixture.store.verify(step: 11)
    #expect(try fixture.entries().count { $0.hasPrefix("damaged-step-000000011.") } == 1)
  }

  /// The last damaged one is kept, and said; what only looks like one stays.
  @Test func onlyTheLastDamagedOneIsKept() throws {
    let fixture = try Fixture()
    try fixture.commit(10, 11)
    let mine = ["damaged-step-000000010", "damaged-step-10.0123456789abcdef", "damaged-x"]
    for name in mine { try fixture.write("\(fixture.store.directory)/\(name)", "mine") }
    var asides: [String] = []
    for step in [10, 11, 11] {
      try fixture.write(fixture.directory(step) + "/state.json", "{}")
      let notes = try fixture.store.commit(step: step, files: Fixture.files(step))
      let found = try fixture.entries().filter {
        $0.hasPrefix("damaged-") && !mine.contains($0)
      }
      try #require(found.count == 1 && notes.count == 1)
      #expect(notes[0].contains("step-0000000\(step) was damaged: moved aside to \(found[0])"))
      if let last = asides.last { #expect(notes[0].hasSuffix("; \(last) removed")) }
      asides.append(found[0])
    }
    #expect(Set(asides).count == 3)
    #expect(try Set(fixture.entries()).isSuperset(of: mine))
    #expect(try fixture.store.commit(step: 11, files: []) == [])
  }

  /// A checkpoint that cannot be read is not a damaged one: it may be the newest good one.
  @Test func whatCannotBeReadIsAnError() throws {
    let fixture = try Fixture(keep: 1)
    try fixture.commit(1, 2)
    let file = fixture.directory(2) + "/state.json"
    try FileManager.default.removeItem(atPath: file)
    // Opened like a file, it answers as a device does that is gone.
    try #require(mknod(file, S_IFSOCK | 0o600, 0) == 0)
    let attempts: [() throws -> Void] = [
      { _ = try fixture.store.newestGood() },
      { try fixture.store.commit(step: 2, files: Fixture.files(2)) },
      { try fixture.store.prune() },
    ]
    for attempt in attempts {
      let error = #expect(throws: CheckpointError.self) { try attempt() }
      #expect(error?.kind == .io)
      #expect(error?.path == file)
    }
    #expect(try fixture.entries() == ["step-000000001", "step-000000002"])
  }
}

extension CheckpointStore {
  /// The kind of error that verification ends with, nil if it succeeds.
  func verifyKind(step: Int) throws -> CheckpointError.Kind? {
    do throws(CheckpointError) {
      try verify(step: step)
      return nil
    } catch {
      return error.kind
    }
  }
}

@Suite struct PruneTests {
  @Test func keepsTheNewestAndTheBest() throws {
    let fixture = try Fixture(keep: 2)
    try fixture.commit(1, 2, 3, 4, 5)
    try fixture.store.setBest(step: 2)
    #expect(fixture.store.best == 2)
    #expect(try fixture.store.prune() == [3, 1])
    #expect(try fixture.store.list() == [2, 4, 5])
    try fixture.store.setBest(step: 5)
    #expect(try fixture.store.prune() == [2])
    #expect(try fixture.store.prune() == [])
    #expect(try fixture.entries() == ["best.json", "step-000000004", "step-000000005"])
  }

  @Test(arguments: ["", "{", "{\"step\": \"2\"}", "{\"step\": 2.5}", "{\"step\": -2}", "[2]"])
  func aDamagedMemoryOfTheBestIsNone(_ text: String) throws {
    let fixture = try Fixture(keep: 1)
    try fixture.commit(1, 2)
    try fixture.write("\(fixture.store.directory)/best.json", text)
    #expect(fixture.store.best == nil)
    #expect(try fixture.store.prune() == [1])
  }

  @Test func theBestMayBeGone() throws {
    let fixture = try Fixture(keep: 1)
    try fixture.commit(1)
    try fixture.store.setBest(step: 9)
    #expect(fixture.store.best == nil)
  }

  @Test func neverRemovesTheLastGoodOne() throws {
    let fixture = try Fixture(keep: 1)
    try fixture.commit(1, 2, 3, 4)
    for step in [3, 4] { try fixture.write(fixture.directory(step) + "/state.json", "") }
    #expect(try fixture.store.prune() == [3, 1])
    #expect(try fixture.store.list() == [2, 4])
    #expect(try fixture.store.newestGood().checkpoint?.step == 2)
  }

  @Test func leftoversOfDeadRunsAreRemoved() throws {
    let fixture = try Fixture()
    try fixture.commit(1)
    let manager = FileManager.default
    for name in [".step-000000002.0123456789abcdef", ".removed-step-000000001.0123456789abcdef"] {
      let leftover = "\(fixture.store.directory)/\(name)"
      try manager.createDirectory(atPath: leftover, withIntermediateDirectories: true)
      try fixture.write(leftover + "/model.safetensors", "half")
    }
    try fixture.write("\(fixture.store.directory)/.best.json.0123456789abcdef.tmp", "{")
    // Not ours by name.
    try fixture.write("\(fixture.store.directory)/.step-2.0123456789abcdef", "mine")
    #expect(try fixture.store.newestGood().notes.isEmpty)
    try fixture.store.prepare()
    #expect(try fixture.entries() == [".step-2.0123456789abcdef", "step-000000001"])
  }
}
