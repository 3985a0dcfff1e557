import Foundation
import Testing

@testable import Checkpoints

@Suite struct FailingCommitTests {
  @Test func aMissingParentCannotBeCreatedIn() throws {
    let fixture = try Fixture()
    let store = CheckpointStore(directory: fixture.path + "/none/checkpoints", keep: 1)
    for attempt in [{ _ = try store.commit(step: 1, files: []) }, { try store.prepare() }] {
      let error = #expect(throws: CheckpointError.self) { try attempt() }
      #expect(error?.kind == .cannotCreate)
      #expect(error?.description.contains("/none/checkpoints: mkdir: No such file") == true)
    }
  }

  @Test func aFileInTheWayIsLeftAlone() throws {
    let fixture = try Fixture()
    try fixture.write(fixture.store.directory, "mine")
    let error = #expect(throws: CheckpointError.self) { try fixture.commit(1) }
    #expect(error?.kind == .cannotCreate)
    #expect(try fixture.read(fixture.store.directory) == Array("mine".utf8))
  }

  /// A save that fails underway: its second file cannot be made, for the first has its name.
  @Test func aFailedSaveLeavesNothingBehind() throws {
    let fixture = try Fixture()
    try fixture.commit(1)
    let before = try fixture.read(fixture.directory(1) + "/MANIFEST.json")
    let error = #expect(throws: CheckpointError.self) {
      try fixture.store.commit(step: 2, files: [("twice", [1]), ("twice", [2])])
    }
    #expect(error?.kind == .cannotCreate)
    #expect(error?.message.hasPrefix("open: File exists") == true)
    #expect(try fixture.entries() == ["step-000000001"])
    #expect(try fixture.read(fixture.directory(1) + "/MANIFEST.json") == before)
    try fixture.store.verify(step: 1)
  }

  /// What stands where a temporary is to be made is never followed nor written.
  @Test func linksAreNotFollowed() throws {
    let fixture = try Fixture()
    try fixture.write(fixture.path + "/target", "mine")
    try FileManager.default.createSymbolicLink(
      atPath: fixture.path + "/link", withDestinationPath: fixture.path + "/target")
    let handle = try DirectoryHandle(path: fixture.path, .writing)
    #expect(throws: CheckpointError.self) { try handle.writeFile("link", [1]) }
    #expect(throws: CheckpointError.self) { _ = try handle.makeSubdirectory("link").path }
    #expect(try fixture.read(fixture.path + "/target") == Array("mine".utf8))
  }
}

@Suite struct AtomicFileTests {
  @Test func leftoversOfADeadProcessAreRemoved() throws {
    let fixture = try Fixture()
    let (own, others) = (
      [".model.safetensors.0123456789abcdef.tmp", ".a.b.c.0000000000000000.tmp"],
      [".model.0123456789abcdeg.tmp", ".0123456789abcdef.tmp", "a.0123456789abcdef.tmp", ".x.tmp"]
    )
    for name in own + others { try fixture.write("\(fixture.path)/\(name)", "x") }
    AtomicFile.removeLeftovers(in: fixture.path)
    let left = try FileManager.default.contentsOfDirectory(atPath: fixture.path)
    #expect(left.sorted() == others.sorted())
    AtomicFile.removeLeftovers(in: "\(fixture.path)/nowhere")
  }

  @Test func replacesInOneStep() throws {
    let fixture = try Fixture()
    let file = fixture.path + "/certificate.json"
    try AtomicFile.write(path: file, bytes: [1, 2, 3])
    try AtomicFile.write(path: file, bytes: [])
    #expect(try fixture.read(file) == [])
    #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.path).count == 1)
  }

  @Test(arguments: [String(repeating: "n", count: 255), "a" + String(repeating: "é", count: 127)])
  func theLongestNamesAreWritten(_ name: String) throws {
    let fixture = try Fixture()
    try AtomicFile.write(path: "\(fixture.path)/\(name)", bytes: [1])
    #expect(try fixture.read("\(fixture.path)/\(name)") == [1])
  }

  @Test func aLinkIsReplacedNotFollowed() throws {
    let fixture = try Fixture()
    try fixture.write(fixture.path + "/target", "mine")
    try FileManager.default.createSymbolicLink(
      atPath: fixture.path + "/link", withDestinationPath: fixture.path + "/target")
    try AtomicFile.write(path: fixture.path + "/link", bytes: [7])
    #expect(try fixture.read(fixture.path + "/target") == Array("mine".utf8))
    #expect(try fixture.read(fixture.path + "/link") == [7])
  }

  @Test func errorsNamePathAndCause() throws {
    let fixture = try Fixture()
    let missing = fixture.path + "/none/file"
    let error = #expect(throws: CheckpointError.self) {
      try AtomicFile.write(path: missing, bytes: [1])
    }
    #expect(error?.kind == .cannotCreate)
    #expect(error?.description.contains("/none: open: No such file or directory") == true)
    let directory = fixture.path + "/directory"
    try FileManager.default.createDirectory(
      atPath: directory + "/inside", withIntermediateDirectories: true)
    for path in [directory, directory + "/", "", fixture.path + "/" + longName] {
      let error = #expect(throws: CheckpointError.self, "\(path)") {
        try AtomicFile.write(path: path, bytes: [1])
      }
      #expect(error?.kind == .cannotCreate, "\(path)")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.path) == ["directory"])
  }

  /// What `write` would refuse for its place is refused before there is anything to write.
  @Test func placesAreJudgedBeforehand() throws {
    let fixture = try Fixture()
    let directory = fixture.path + "/directory"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    for path in [directory, directory + "/", "", fixture.path + "/none/file"] {
      let error = #expect(throws: CheckpointError.self, "\(path)") {
        try AtomicFile.requireWritable(path: path)
      }
      #expect(error?.kind == .cannotCreate, "\(path)")
    }
    try AtomicFile.requireWritable(path: directory + "/new")
    #expect(AtomicFile.isSame(directory + "/a", directory + "/../directory/./a"))
    #expect(!AtomicFile.isSame(directory + "/a", directory + "/b"))
    #expect(!AtomicFile.isSame(directory + "/a", fixture.path + "/a"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [])
  }

  @Test func removesWhatIsThere() throws {
    let fixture = try Fixture()
    let file = fixture.path + "/certificate.json"
    try AtomicFile.write(path: file, bytes: [1])
    for _ in 1...2 {
      try AtomicFile.remove(path: file)
      #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.path) == [])
    }
  }

  private let longName = String(repeating: "n", count: 256)
}

@Suite struct RunLockTests {
  @Test func aSecondJobIsRefusedByNameUntilTheFirstEnds() throws {
    let fixture = try Fixture()
    var first: RunLock? = try RunLock(run: fixture.path)
    #expect(first?.isEnforced == true)
    let error = #expect(throws: CheckpointError.self) { try RunLock(run: fixture.path) }
    #expect(error?.kind == .permission)
    let process = ProcessInfo.processInfo.processIdentifier
    #expect(error?.message.contains("in use by process \(process) on ") == true)
    first = nil
    // Other tests start programs: between fork and exec such a child holds what this process held.
    _ = try RunLock(run: fixture.path, patience: 5)
  }

  /// The lock is the kernel's: another process holds it, dies, and leaves only its signature.
  @Test func anotherProcessHoldsItUntilItDies() throws {
    let fixture = try Fixture()
    let holder = Process()
    holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
    holder.arguments = [
      fixture.path + "/.lock", "/bin/sh", "-c",
      "echo node7 4711 > \(fixture.path)/.lock; echo; read x",
    ]
    let (input, output) = (Pipe(), Pipe())
    holder.standardInput = input
    holder.standardOutput = output
    try holder.run()
    _ = output.fileHandleForReading.availableData
    let error = #expect(throws: CheckpointError.self) { try RunLock(run: fixture.path) }
    #expect(error?.message.contains("process 4711 on node7") == true)
    try input.fileHandleForWriting.close()
    holder.waitUntilExit()
    _ = try RunLock(run: fixture.path)
  }

  @Test(arguments: ["", "host", "host 12x", "host 1 2", "\u{1}\n\n", "host 99999999999999"])
  func staleContentIsTakenOver(_ content: String) throws {
    let fixture = try Fixture()
    try fixture.write(fixture.path + "/.lock", content)
    let lock = try RunLock(run: fixture.path)
    let text = String(decoding: try fixture.read(fixture.path + "/.lock"), as: UTF8.self)
    #expect(text.hasSuffix(" \(ProcessInfo.processInfo.processIdentifier)\n"))
    withExtendedLifetime(lock) {}
  }

  @Test func aLinkOrAMissingRunIsRefused() throws {
    let fixture = try Fixture()
    #expect(throws: CheckpointError.self) { try RunLock(run: fixture.path + "/none") }
    try fixture.write(fixture.path + "/target", "mine")
    try FileManager.default.createSymbolicLink(
      atPath: fixture.path + "/.lock", withDestinationPath: fixture.path + "/target")
    let error = #expect(throws: CheckpointError.self) { try RunLock(run: fixture.path) }
    #expect(error?.kind == .cannotCreate)
    #expect(try fixture.read(fixture.path + "/target") == Array("mine".utf8))
  }
}
