import Testing

@testable import Tensors

/// The machine of pickles, instruction by instruction.
@Suite struct PickleTests {
  private static func root(_ bytes: [UInt8]) throws -> Pickle.Object {
    let pickle = try Pickle([0x80, 2] + bytes + Array(".".utf8), path: "x")
    return pickle[pickle.root]
  }

  private static func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test func plainValues() throws {
    #expect(try Self.root(Self.ascii("N")) == .none)
    #expect(try Self.root([0x88]) == .boolean(true))
    #expect(try Self.root([0x89]) == .boolean(false))
    #expect(try Self.root(Self.ascii("K") + [200]) == .integer(200))
    #expect(try Self.root(Self.ascii("M") + [1, 2]) == .integer(0x201))
    #expect(try Self.root(Self.ascii("J") + [0xFE, 0xFF, 0xFF, 0xFF]) == .integer(-2))
    #expect(try Self.root([0x8A, 0]) == .integer(0))
    #expect(try Self.root([0x8A, 1, 0xFF]) == .integer(-1))
    #expect(try Self.root([0x8A, 2, 0xFF, 0]) == .integer(255))
    #expect(
      try Self.root([0x8A, 8] + [UInt8](repeating: 0, count: 7) + [0x80]) == .integer(Int.min))
    #expect(try Self.root([0x8A, 9] + [UInt8](repeating: 1, count: 9)) == .opaque)
    #expect(try Self.root(Self.ascii("G") + [0x3F, 0xF8, 0, 0, 0, 0, 0, 0]) == .float(1.5))
    #expect(try Self.root([0x8C, 2] + Self.ascii("ab")) == .string("ab"))
    #expect(try Self.root(Self.ascii("C") + [1, 7]) == .bytes([7]))
  }

  /// What is remembered before it is filled is the same object afterwards.
  @Test func containersAreShared() throws {
    let bytes = Self.ascii("]q") + [0] + Self.ascii("(K\u{1}K\u{2}eh") + [0, 0x86]
    let pickle = try Pickle([0x80, 2] + bytes + Self.ascii("."), path: "x")
    guard case .tuple(let pair) = pickle[pickle.root] else {
      Issue.record("\(pickle[pickle.root])")
      return
    }
    #expect(pair.count == 2 && pair[0] == pair[1])
    guard case .list(let items) = pickle[pair[0]] else {
      Issue.record("\(pickle[pair[0]])")
      return
    }
    #expect(items.map { pickle[$0] } == [.integer(1), .integer(2)])
  }

  @Test func callsOfKnownNamesMakeValues() throws {
    #expect(try Self.root(Self.ascii("ccollections\nOrderedDict\n)R")) == .dictionary([]))
    #expect(try Self.root(Self.ascii("cargparse\nNamespace\n)") + [0x81]) == .opaque)
    #expect(
      try Self.root(Self.ascii("c__builtin__\nset\n]") + [0x85] + Self.ascii("R")) == .list([]))
    // Attributes are not kept.
    #expect(try Self.root(Self.ascii("ccollections\nOrderedDict\n)R}b")) == .dictionary([]))
  }

  private static let refused: [(bytes: [UInt8], says: String)] = [
    (ascii("cos\nsystem\n"), "wants to run os.system; nothing was run"),
    (ascii("cmodels\nRepVGG\n)") + [0x81], "object of the class models.RepVGG"),
    (ascii("cmodels\nRepVGG\nq") + [0] + ascii(")") + [0x81], "of the class models.RepVGG"),
    ([0x8C, 2] + ascii("nt") + [0x8C, 6] + ascii("system") + [0x93], "wants to run nt.system"),
    (ascii("ccollections\nOrderedDict.clear\n"), "collections.OrderedDict.clear"),
    (ascii("ctorch\nFloatStorage\n)R"), "a call of a type"),
    (ascii("K\u{1})R"), "a call of what is no name"),
    (ascii("ios\nsystem\n"), "instruction 0x69 is none"),
    (ascii("I1\n"), "instruction 0x49 is none"),
    ([0x82, 1], "instruction 0x82 is none"),
    (ascii("a"), "the stack is empty"), (ascii("t"), "there is no mark"),
    (ascii("K\u{1}(") + [0x85], "the stack is empty"),
    (ascii("h\0"), "nothing is remembered as 0"), (ascii("NN"), "objects left over"),
    (ascii(""), "the stack is empty"), (ascii("N.N"), "bytes after its end"),
    (ascii("X") + [0xFF, 0xFF, 0xFF, 0x7F], "bytes are declared"),
    ([0x8D] + [UInt8](repeating: 0xFF, count: 8), "bytes are declared"),
    ([0x8C, 1, 0xFF], "not valid UTF-8"), (ascii("}(K\u{1}u"), "a key without a value"),
    (ascii("NK\u{1}a"), "items for what takes none"), (ascii("c"), "a name without end"),
    (ascii("J\0"), "it ends in the middle"), ([0x80, 9], "protocol 9"),
    (ascii("NQ"), "no storage of numbers"),
    (ascii("ctorch._utils\n_rebuild_tensor_v2\n)R"), "a tensor without storage"),
  ]

  @Test(arguments: refused) func refusals(_ bytes: [UInt8], _ says: String) {
    let error = #expect(throws: TensorFileError.self) { try Self.root(bytes) }
    #expect(error?.kind == .damaged)
    #expect(error?.description.contains(says) == true, "\(error as Any)")
  }

  @Test func depthDoesNotMatter() throws {
    let depth = 200_000
    let bytes = Self.ascii(")") + [UInt8](repeating: 0x85, count: depth)
    let pickle = try Pickle(bytes + Self.ascii("."), path: "x")
    guard case .tuple(let one) = pickle[pickle.root] else {
      Issue.record("\(pickle[pickle.root])")
      return
    }
    #expect(one.count == 1)
    #expect(pickle.objects.count == depth + 1)
  }

  @Test func instructionsAreCounted() {
    let error = #expect(throws: TensorFileError.self) {
      try Pickle(
        [UInt8](repeating: UInt8(ascii: "]"), count: Pickle.maximumInstructions + 1), path: "x")
    }
    #expect(error?.message.contains("more than 500000 instructions") == true)
  }

  /// No place beyond the storage, whatever the sizes and strides.
  @Test func tensorsLieInTheirStorage() throws {
    let storage = try #require(Pickle.Storage(checked: "0", elementType: .float32, count: 12))
    func tensor(_ offset: Int, _ shape: [Int], _ strides: [Int]) -> Pickle.StoredTensor? {
      Pickle.StoredTensor(storage: storage, offset: offset, shape: shape, strides: strides)
    }
    #expect(tensor(0, [3, 4], [4, 1])?.isContiguous == true)
    #expect(tensor(0, [4, 3], [1, 4])?.isContiguous == false)
    #expect(tensor(11, [], [])?.count == 1)
    #expect(tensor(11, [1], [Int.max])?.isContiguous == true)
    #expect(tensor(12, [0, 5], [5, 1])?.count == 0)
    #expect(tensor(12, [], []) == nil)
    #expect(tensor(1, [3, 4], [4, 1]) == nil)
    #expect(tensor(-1, [1], [1]) == nil)
    #expect(tensor(0, [2], [-1]) == nil)
    #expect(tensor(0, [-2], [1]) == nil)
    #expect(tensor(0, [2, 2], [1]) == nil)
    #expect(tensor(0, [Int.max, Int.max], [0, 0]) == nil)
    #expect(tensor(0, [2], [Int.max]) == nil)
    #expect(tensor(Int.max, [2], [1]) == nil)
    #expect(Pickle.Storage(checked: "0", elementType: .float32, count: Int.max / 8) == nil)
    #expect(Pickle.Storage(checked: "0", elementType: .float32, count: -1) == nil)
  }
}
