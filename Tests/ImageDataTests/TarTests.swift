import Glibc
import ImageData
import Testing
import _TestSupport

@Suite struct TarTests {
  private func dataset(_ archives: [TarFixture], in directory: ScratchDirectory) throws
    -> TarDataset
  {
    let paths = try archives.enumerated().map {
      try directory.write($1.bytes, to: "shard-\($0).tar")
    }
    return try TarDataset(paths: paths)
  }

  private func sample(_ key: String, _ label: Int) -> (key: String, image: [UInt8], label: Int) {
    (key, Array("image \(key)".utf8), label)
  }

  @Test func readsMembersInPlace() throws {
    let directory = try ScratchDirectory()
    let archives = [
      TarFixture.samples([sample("a/0001", 3), sample("a/0002", 0)]),
      TarFixture.samples([sample("b.dir/0001", 7)]),
    ]
    for _ in 0..<2 {
      // The second time from the indexes.
      let data = try dataset(archives, in: directory)
      #expect((data.count, data.classes) == (3, 8))
      #expect((0..<3).map { data.label(of: $0) } == [3, 0, 7])
      #expect(try pixels(of: data, 1) == Array("image a/0002".utf8))
      #expect(try pixels(of: data, 2) == Array("image b.dir/0001".utf8))
      #expect(data.name(of: 2).hasSuffix("shard-1.tar[b.dir/0001]"))
      #expect(access(directory.path(".shard-0.tar.repvgg-index"), R_OK) == 0)
    }
  }

  @Test func labelsInJSONAndOtherMembers() throws {
    let directory = try ScratchDirectory()
    var archive = TarFixture()
    archive.members = [
      .init(name: "./", content: [], type: UInt8(ascii: "5")),
      .init(name: "x.txt", content: Array("a caption".utf8)),
      .init(name: "x.json", content: Array(#"{"label": 4, "width": 3}"#.utf8)),
      .init(name: "x.JPEG", content: [1, 2, 3]),
      .init(name: "README", content: [9]),
    ]
    let data = try dataset([archive], in: directory)
    #expect((data.count, data.label(of: 0)) == (1, 4))
    #expect(try pixels(of: data, 0) == [1, 2, 3])
  }

  /// Long names by GNU's and by pax headers, sizes in base 256.
  @Test func extendedHeaders() throws {
    let directory = try ScratchDirectory()
    let long = String(repeating: "n", count: 180)
    func record(_ text: String) -> [UInt8] {
      // The length counts its own digits.
      let rest = text.utf8.count + 2
      let length = (1...2000).first { rest + String($0).count == $0 } ?? 0
      return Array("\(length) \(text)\n".utf8)
    }
    var archive = TarFixture()
    archive.members = [
      .init(name: "pax", content: record("comment=none"), type: UInt8(ascii: "g")),
      .init(
        name: "././@LongLink", content: Array("\(long).jpg\0".utf8), type: UInt8(ascii: "L")),
      .init(
        name: "short", content: [5], sizeField: [0x80] + [UInt8](repeating: 0, count: 10) + [1]),
      .init(name: "pax", content: record("path=\(long).cls"), type: UInt8(ascii: "x")),
      .init(name: "short", content: Array("2\n".utf8)),
    ]
    let data = try dataset([archive], in: directory)
    #expect(data.label(of: 0) == 2 && data.name(of: 0).hasSuffix("[\(long)]"))
    #expect(try pixels(of: data, 0) == [5])
  }

  @Test func anArchiveThatChangedIsListedAnew() throws {
    let directory = try ScratchDirectory()
    let before = try dataset([.samples([sample("a", 1)])], in: directory)
    let after = try dataset([.samples([sample("a", 1), sample("b", 2)])], in: directory)
    #expect((before.count, after.count) == (1, 2))
    #expect(before.fingerprint != after.fingerprint)
    // A damaged index is made anew, too.
    let index = directory.path(".shard-0.tar.repvgg-index")
    for place in [0, 12, 30, 80] {
      let bytes = try directory.read(".shard-0.tar.repvgg-index")
      var damaged = bytes
      damaged[min(place, damaged.count - 1)] ^= 4
      try directory.write(damaged, to: ".shard-0.tar.repvgg-index")
      #expect(try TarDataset(paths: [directory.path("shard-0.tar")]).count == 2, "\(index)")
      #expect(try directory.read(".shard-0.tar.repvgg-index") == bytes)
    }
  }

  /// Checksum and length are right, numbers are not.
  @Test(arguments: [Int64.max, Int64.min, -1, 0, 1 << 40]) func anIndexThatLiesIsMadeAnew(
    number: Int64
  ) throws {
    let directory = try ScratchDirectory()
    _ = try dataset([.samples([sample("a", 1), sample("b", 2)])], in: directory)
    let sound = try directory.read(".shard-0.tar.repvgg-index")
    // Offset of the first sample; end of the last one's key.
    for place in [24 + 88, 24 + 88 + 24 + 16] {
      var index = sound
      index.replaceSubrange(
        place..<place + 8, with: withUnsafeBytes(of: number.littleEndian) { Array($0) })
      index.replaceSubrange(
        8..<12,
        with: withUnsafeBytes(of: checksum(of: index[24...]).littleEndian) { Array($0) })
      try directory.write(index, to: ".shard-0.tar.repvgg-index")
      let data = try TarDataset(paths: [directory.path("shard-0.tar")])
      if place > 112 || number != 0 {
        #expect(try directory.read(".shard-0.tar.repvgg-index") == sound, "\(number) at \(place)")
      }
      #expect(data.count == 2 && data.name(of: 1).hasSuffix("[b]"))
    }
  }

  /// What is open stays as it was when another file takes its name, and is not read on when it changes.
  @Test func anArchiveThatChangesWhileItIsReadIsNoticed() throws {
    let directory = try ScratchDirectory()
    let data = try dataset([.samples([sample("a", 1), sample("b", 2)])], in: directory)
    let path = directory.path("shard-0.tar")
    try directory.write([1], to: "other")
    rename(directory.path("other"), path)
    #expect(try pixels(of: data, 1) == Array("image b".utf8))
    let again = try dataset([.samples([sample("a", 1), sample("b", 2)])], in: directory)
    let descriptor = open(path, O_WRONLY | O_APPEND)
    #expect(write(descriptor, "x", 1) == 1)
    close(descriptor)
    let error = try #require(throws: DataError.self) { try pixels(of: again, 1) }
    #expect(error.kind == .malformed && error.message.contains("shard-0.tar: has changed"))
  }

  private static let damage: [(String, @Sendable (inout TarFixture) -> Void)] = [
    ("leads out of its directory", { $0.members[0].name = "../a.jpg" }),
    ("leads out of its directory", { $0.members[0].name = "/etc/a.jpg" }),
    ("is a symbolic link", { $0.members[0].type = UInt8(ascii: "2") }),
    ("is a hard link", { $0.members[0].type = UInt8(ascii: "1") }),
    ("is a device", { $0.members[0].type = UInt8(ascii: "3") }),
    ("is a FIFO", { $0.members[0].type = UInt8(ascii: "6") }),
    ("is sparse", { $0.members[0].type = UInt8(ascii: "S") }),
    ("has checksum", { $0.members[0].checksum = 1234 }),
    ("behind the archive", { $0.members[0].sizeField = Array("77777777777".utf8) }),
    (
      "size that is not possible",
      { $0.members[0].sizeField = [0x80] + [UInt8](repeating: 0xff, count: 11) }
    ),
    (
      "size that is not possible",
      { $0.members[0].sizeField = [UInt8](repeating: 0xff, count: 12) }
    ),
    ("no octal size", { $0.members[0].sizeField = Array("12x45678901".utf8) }),
    ("without the blocks of zeros", { $0.endBlocks = 0 }),
    ("'a' has no label", { $0.members.remove(at: 1) }),
    ("'a' has no .jpg", { $0.members.remove(at: 0) }),
    ("'a' has two images", { $0.members.insert($0.members[0], at: 1) }),
    ("holds no label", { $0.members[1].content = Array("seven".utf8) }),
    ("holds no label", { $0.members[1].content = Array("-1".utf8) }),
    (
      "has the labels",
      { $0.members.insert(.init(name: "a.json", content: Array(#"{"label":9}"#.utf8)), at: 2) }
    ),
    ("occurs twice", { $0.members += $0.members[..<2] }),
    ("holds no sample", { $0.members = [] }),
    ("has 0 bytes", { $0.members[0].content = [] }),
    (
      "records that cannot be read",
      {
        $0.members.insert(
          .init(name: "p", content: Array("99999 path=x\n".utf8), type: UInt8(ascii: "x")), at: 0)
      }
    ),
    (
      "claims 2097152 bytes of records",
      {
        let record = Array("2097152 path=".utf8) + [UInt8](repeating: 0x61, count: (1 << 21) - 14)
        $0.members.insert(
          .init(name: "p", content: record + [10], type: UInt8(ascii: "x")), at: 0)
      }
    ),
    (
      "claims 2097152 bytes for a name",
      {
        $0.members.insert(
          .init(
            name: "p", content: [UInt8](repeating: 0x61, count: 1 << 21), type: UInt8(ascii: "L")),
          at: 0)
      }
    ),
    (
      "size that is not possible",
      {
        $0.members.insert(
          .init(name: "p", content: Array("12 size=-50\n".utf8), type: UInt8(ascii: "x")), at: 0)
      }
    ),
  ]

  @Test(arguments: damage.indices) func refusesDamage(_ index: Int) throws {
    let directory = try ScratchDirectory()
    let (words, change) = Self.damage[index]
    var archive = TarFixture.samples([sample("a", 1), sample("b", 2)])
    change(&archive)
    let error = try #require(throws: DataError.self) { try dataset([archive], in: directory) }
    #expect(error.kind == .malformed)
    #expect(error.message.contains(words) && error.message.contains("shard-0.tar"), "\(error)")
  }

  @Test func refusesWhatIsCutShort() throws {
    let directory = try ScratchDirectory()
    let bytes = TarFixture.samples([sample("a", 1), sample("b", 2)]).bytes
    // One of the two blocks at the end is enough.
    for cut in stride(from: 0, to: bytes.count - 512, by: 97) {
      let path = try directory.write(Array(bytes[..<cut]), to: "cut.tar")
      #expect(throws: DataError.self) { try TarDataset(paths: [path]) }
    }
  }
}
