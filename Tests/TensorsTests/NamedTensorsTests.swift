import Testing

@testable import Tensors

@Suite struct NamedTensorsTests {
  @Test func keepsTheOrderOfAddition() {
    var tensors = NamedTensors()
    for name in ["b", "B", "a10", "a9", "é", "z"] { tensors[name] = Tensor(shape: [], [0]) }
    #expect(tensors.names == ["b", "B", "a10", "a9", "é", "z"])
    #expect(tensors.sortedNames == ["B", "a10", "a9", "b", "z", "é"])
    tensors["B"] = Tensor(shape: [2], [1, 2])
    #expect(tensors.names == ["b", "B", "a10", "a9", "é", "z"])
    #expect(tensors["B"]?.floats == [1, 2])
  }

  @Test func removesByName() {
    var tensors = NamedTensors()
    for (index, name) in ["a", "b", "c", "d"].enumerated() {
      tensors[name] = Tensor(shape: [], [Float(index)])
    }
    #expect(tensors.removeValue("b")?.floats == [1])
    #expect(tensors.removeValue("b") == nil)
    tensors["a"] = nil
    #expect(tensors.names == ["c", "d"])
    #expect(tensors.map { $0.tensor.floats } == [[2], [3]])
    #expect(tensors["d"]?.floats == [3])
    #expect(tensors.count == 2)
  }

  @Test func scalarsHaveOneElement() {
    #expect(Tensor(shape: [], integers: [Int64(3)]).count == 1)
    #expect(Tensor(shape: [2, 0, 3], [Float]()).count == 0)
  }
}

@Suite struct DigestTests {
  /// FIPS 180-4 examples.
  @Test func knownAnswers() {
    #expect(
      SHA256Digest.hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      SHA256Digest.hex(Array("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    var digest = SHA256Digest()
    let thousand = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000)
    for _ in 0..<1_000 { thousand.withUnsafeBytes { digest.update($0) } }
    #expect(
      digest.finish() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  /// SHA-256 of "a", shape [1], 1.0, then "n", shape [], 2, put together by hand.
  @Test func weightsAreHashedByNameShapeAndValues() {
    var tensors = NamedTensors()
    tensors["n"] = Tensor(shape: [], integers: [Int64(2)])
    tensors["a"] = Tensor(shape: [1], [Float(1)])
    let bytes: [UInt8] =
      [0x61, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F] + [0x6E, 2, 0, 0, 0, 0, 0, 0, 0]
    #expect(tensors.weightsSHA256() == SHA256Digest.hex(bytes))
    let before = tensors.weightsSHA256()
    tensors.metadata["note"] = "not hashed"
    #expect(tensors.weightsSHA256() == before)
    tensors["a"] = Tensor(shape: [1], [Float(1).nextUp])
    #expect(tensors.weightsSHA256() != before)
  }
}

@Suite struct ArenaTests {
  @Test func isAlignedAndZeroed() {
    for count in [0, 1, 15, 1_000] {
      let arena = Arena(count: count)
      #expect(UInt(bitPattern: arena.base) % UInt(Arena.alignment) == 0)
      #expect(arena.all.count == count)
      #expect(arena.all.allSatisfy { $0 == 0 })
    }
  }

  @Test func slotsAreAlignedAndApart() {
    var allocator = SlotAllocator()
    let slots = [1, 16, 17, 0, 5].map { allocator.reserve($0) }
    #expect(slots.map(\.offset) == [0, 16, 32, 64, 64])
    #expect(allocator.count == 80)
    let arena = Arena(count: allocator.count)
    for (index, slot) in slots.enumerated() { arena[slot].update(repeating: Float(index + 1)) }
    #expect(slots.map { arena[$0].reduce(0, +) } == [1, 32, 51, 0, 25])
    #expect(arena[Slot(16..<20)].count == 4)
  }
}
