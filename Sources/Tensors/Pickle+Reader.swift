extension Pickle {
  /// Longest pickle accepted: it holds names and sizes, and no values.
  static let maximumBytes = 16 << 20
  /// Most instructions accepted, which bounds objects, memory and time: a network of 450 tensors
  /// with its optimizer takes 40,000.
  static let maximumInstructions = 500_000
  /// Most tensors accepted, each of which may name the same 64 sizes and strides.
  static let maximumTensors = 25_000

  /// Follows the instructions of `bytes` as far as they only describe. `path` is for messages.
  ///
  /// - Throws: `.damaged`, with the byte, or with module and name of what would have to run.
  init(_ bytes: [UInt8], path: String) throws(TensorFileError) {
    guard bytes.count <= Self.maximumBytes else {
      throw TensorFileError(
        .damaged, path: path, "its pickle of \(bytes.count) bytes is above \(Self.maximumBytes)")
    }
    var reader = PickleReader(bytes, path: path)
    self = try reader.read()
  }
}

/// The machine of pickles: a stack with marks, and a memo.
struct PickleReader {
  private let bytes: [UInt8]
  private let path: String
  private var position = 0
  private var pickle = Pickle()
  private var stack: [Pickle.Reference] = []
  /// Heights of the stack.
  private var marks: [Int] = []
  private var memo: [Int: Pickle.Reference] = [:]

  init(_ bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  mutating func read() throws(TensorFileError) -> Pickle {
    var instructions = 0
    while true {
      let place = position
      let byte = try UInt8(number(bytes: 1))
      guard let opcode = Pickle.Opcode(rawValue: byte) else {
        position = place
        throw damaged("instruction 0x\(String(byte, radix: 16)) is none that torch.save writes")
      }
      if opcode == .stop { break }
      instructions += 1
      guard instructions <= Pickle.maximumInstructions else {
        throw damaged("more than \(Pickle.maximumInstructions) instructions")
      }
      try follow(opcode)
    }
    pickle.root = try pop()
    guard stack.isEmpty, marks.isEmpty else { throw damaged("ends with objects left over") }
    guard position == bytes.count else { throw damaged("bytes after its end") }
    return pickle
  }

  private func damaged(_ problem: String) -> TensorFileError {
    TensorFileError(.damaged, path: path, "pickle byte \(position): \(problem)")
  }

  private mutating func follow(_ opcode: Pickle.Opcode) throws(TensorFileError) {
    switch opcode {
    case .stop: break
    case .proto:
      let version = try number(bytes: 1)
      guard (2...5).contains(version) else { throw damaged("protocol \(version) is not 2 to 5") }
    case .frame: _ = try length(bytes: 8)
    case .mark: marks.append(stack.count)
    case .pop: try discard()
    case .popMark: _ = try popToMark()
    case .duplicate:
      let top = try pop()
      stack += [top, top]
    case .none: push(.none)
    case .newTrue: push(.boolean(true))
    case .newFalse: push(.boolean(false))
    case .binInt: push(.integer(Int(Int32(truncatingIfNeeded: try number(bytes: 4)))))
    case .binInt1: push(.integer(Int(try number(bytes: 1))))
    case .binInt2: push(.integer(Int(try number(bytes: 2))))
    case .binFloat: push(.float(Double(bitPattern: try number(bytes: 8).byteSwapped)))
    case .long1: try pushLong(take(Int(try number(bytes: 1))))
    case .long4: try pushLong(take(length(bytes: 4)))
    case .shortBinUnicode: try pushString(length(bytes: 1))
    case .binUnicode: try pushString(length(bytes: 4))
    case .binUnicode8: try pushString(length(bytes: 8))
    // Strings of Python 2.
    case .shortBinString: try pushString(length(bytes: 1))
    case .binString: try pushString(length(bytes: 4))
    case .shortBinBytes: push(.bytes(Array(try take(length(bytes: 1)))))
    case .binBytes: push(.bytes(Array(try take(length(bytes: 4)))))
    case .binBytes8: push(.bytes(Array(try take(length(bytes: 8)))))
    case .binGet: try recall(Int(number(bytes: 1)))
    case .longBinGet: try recall(Int(number(bytes: 4)))
    case .binPut: try remember(Int(number(bytes: 1)))
    case .longBinPut: try remember(Int(number(bytes: 4)))
    case .memoize: try remember(memo.count)
    default: try build(opcode)
    }
  }

  private mutating func build(_ opcode: Pickle.Opcode) throws(TensorFileError) {
    switch opcode {
    case .emptyTuple: push(.tuple([]))
    case .emptyList, .emptySet: push(.list([]))
    case .emptyDict: push(.dictionary([]))
    case .tuple1: push(.tuple(try pop(1)))
    case .tuple2: push(.tuple(try pop(2)))
    case .tuple3: push(.tuple(try pop(3)))
    case .tuple: push(.tuple(try popToMark()))
    case .frozenSet: push(.list(try popToMark()))
    case .append: try extend(with: pop(1), pairs: false)
    case .appends, .addItems: try extend(with: popToMark(), pairs: false)
    case .setItem: try extend(with: pop(2), pairs: true)
    case .setItems: try extend(with: popToMark(), pairs: true)
    case .global: try pushGlobal(module: line(), name: line())
    case .stackGlobal:
      let names = try pop(2)
      guard case .string(let module) = pickle[names[0]], case .string(let name) = pickle[names[1]]
      else { throw damaged("a name that is no string") }
      try pushGlobal(module: module, name: name)
    case .reduce, .newObject:
      let parts = try pop(2)
      guard case .global(let global) = pickle[parts[0]],
        case .tuple(let arguments) = pickle[parts[1]]
      else { throw damaged("a call of what is no name, or without a tuple of arguments") }
      stack.append(try result(of: global, arguments))
    case .build: try takeState()
    case .binPersID: try pushStorage()
    default: throw damaged("instruction \(opcode) is not expected here")
    }
  }
}

// MARK: - Bytes

extension PickleReader {
  /// A little-endian number of up to eight bytes.
  private mutating func number(bytes count: Int) throws(TensorFileError) -> UInt64 {
    try take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// A number of bytes that follow, all of which are there.
  private mutating func length(bytes count: Int) throws(TensorFileError) -> Int {
    let declared = try number(bytes: count)
    guard declared <= UInt64(bytes.count - position) else {
      throw damaged("\(declared) bytes are declared where \(bytes.count - position) are left")
    }
    return Int(declared)
  }

  private mutating func take(_ count: Int) throws(TensorFileError) -> ArraySlice<UInt8> {
    guard count <= bytes.count - position else {
      throw damaged("it ends in the middle; is the file damaged?")
    }
    defer { position += count }
    return bytes[position..<position + count]
  }

  private mutating func line() throws(TensorFileError) -> String {
    guard let end = bytes[position...].firstIndex(of: 0x0A),
      let text = String(validating: bytes[position..<end], as: UTF8.self)
    else { throw damaged("a name without end, or not UTF-8") }
    position = end + 1
    return text
  }

  private mutating func pushString(_ count: Int) throws(TensorFileError) {
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      throw damaged("a string is not valid UTF-8")
    }
    push(.string(text))
  }

  /// Two's complement, little-endian; one that does not fit into `Int` is no size of anything.
  private mutating func pushLong(_ digits: ArraySlice<UInt8>) {
    guard digits.count <= 8 else { return push(.opaque) }
    let isNegative = digits.last.map { $0 >= 0x80 } ?? false
    let value = digits.reversed().reduce(isNegative ? -1 : 0) { $0 << 8 | Int($1) }
    push(.integer(value))
  }
}

// MARK: - The stack

extension PickleReader {
  private mutating func push(_ object: Pickle.Object) {
    stack.append(Pickle.Reference(pickle.objects.count))
    pickle.objects.append(object)
  }

  private func top() throws(TensorFileError) -> Pickle.Reference {
    guard let top = stack.last, stack.count > marks.last ?? 0 else {
      throw damaged("the stack is empty")
    }
    return top
  }

  private mutating func pop() throws(TensorFileError) -> Pickle.Reference {
    let reference = try top()
    stack.removeLast()
    return reference
  }

  private mutating func pop(_ count: Int) throws(TensorFileError) -> [Pickle.Reference] {
    guard stack.count - (marks.last ?? 0) >= count else { throw damaged("the stack is empty") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(TensorFileError) -> [Pickle.Reference] {
    guard let mark = marks.popLast() else { throw damaged("there is no mark") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  /// Takes away what is on top, be it an object or a mark.
  private mutating func discard() throws(TensorFileError) {
    if marks.last == stack.count {
      marks.removeLast()
    } else {
      _ = try pop()
    }
  }

  private mutating func remember(_ key: Int) throws(TensorFileError) {
    memo[key] = try top()
  }

  private mutating func recall(_ key: Int) throws(TensorFileError) {
    guard let reference = memo[key] else { throw damaged("nothing is remembered as \(key)") }
    stack.append(reference)
  }

  /// Adds items to the list or dictionary on top, in its place: others may refer to it.
  private mutating func extend(with items: [Pickle.Reference], pairs: Bool)
    throws(TensorFileError)
  {
    let target = Int(try top())
    switch (pickle.objects[target], pairs) {
    case (.list(var content), false):
      // Without a second owner, or every addition would copy what is there.
      pickle.objects[target] = .none
      content += items
      pickle.objects[target] = .list(content)
    case (.dictionary(var content), true):
      guard items.count % 2 == 0 else { throw damaged("a key without a value") }
      pickle.objects[target] = .none
      content += items
      pickle.objects[target] = .dictionary(content)
    case (.opaque, _): break
    default: throw damaged("items for what takes none")
    }
  }
}

// MARK: - Names

extension PickleReader {
  private mutating func pushGlobal(module: String, name: String) throws(TensorFileError) {
    if let global = Pickle.globals["\(module) \(name)"] { return push(.global(global)) }
    let named = quoted("\(module).\(name)").dropFirst().dropLast()
    guard isClassOfAnObject else {
      throw TensorFileError(
        .damaged, path: path,
        "its pickle wants to run \(named); nothing was run: only tensors and plain values are "
          + "read, as torch.save(model.state_dict(), path) writes them")
    }
    let what = stack.isEmpty ? "is a whole object" : "holds an object"
    throw TensorFileError(
      .damaged, path: path,
      "\(what) of the class \(named), whose code would have to run; nothing was run; save the "
        + "weights alone: torch.save(model.state_dict(), path)")
  }

  /// Whether the name just read is followed by the making of an object: it is then a class, as that
  /// of a model saved whole, rather than a function.
  private var isClassOfAnObject: Bool {
    var place = position
    func next(_ opcode: Pickle.Opcode) -> Bool {
      place < bytes.count && bytes[place] == opcode.rawValue
    }
    if next(.binPut) { place += 2 } else if next(.longBinPut) { place += 5 }
    if next(.memoize) { place += 1 }
    guard next(.emptyTuple) else { return false }
    place += 1
    return next(.newObject)
  }

  /// What stands for the result of a call. An argument that is passed on is not copied.
  private mutating func result(of global: Pickle.Global, _ arguments: [Pickle.Reference])
    throws(TensorFileError) -> Pickle.Reference
  {
    func first(where fits: (Pickle.Object) -> Bool) -> Pickle.Reference? {
      arguments.first.flatMap { fits(pickle[$0]) ? $0 : nil }
    }
    let known: Pickle.Reference?
    let other: Pickle.Object
    switch global {
    case .dictionary:
      known = first { if case .dictionary = $0 { true } else { false } }
      other = .dictionary([])
    case .list:
      known = first { if case .list = $0 { true } else { false } }
      other = .list([])
    case .size:
      known = first { if case .tuple = $0 { true } else { false } }
      other = .tuple([])
    case .rebuildParameter:
      known = first { if case .tensor = $0 { true } else { false } }
      guard known != nil else { throw damaged("a parameter that is no tensor") }
      other = .none
    case .rebuildTensor:
      known = nil
      pickle.tensors.append(try tensor(arguments))
      other = .tensor(pickle.tensors.count - 1)
    case .opaque:
      known = nil
      other = .opaque
    case .storage, .constant: throw damaged("a call of a type")
    }
    if let known { return known }
    pickle.objects.append(other)
    return Pickle.Reference(pickle.objects.count - 1)
  }

  /// From storage, offset, sizes and strides; whether it wants gradients does not matter here.
  private func tensor(_ arguments: [Pickle.Reference]) throws(TensorFileError)
    -> Pickle.StoredTensor
  {
    guard arguments.count >= 4, case .storage(let number) = pickle[arguments[0]],
      case .integer(let offset) = pickle[arguments[1]],
      let shape = integers(pickle[arguments[2]]), let strides = integers(pickle[arguments[3]])
    else { throw damaged("a tensor without storage, offset, sizes and strides") }
    guard pickle.tensors.count < Pickle.maximumTensors else {
      throw damaged("more than \(Pickle.maximumTensors) tensors")
    }
    let storage = pickle.storages[number]
    guard
      let tensor = Pickle.StoredTensor(
        storage: storage, offset: offset, shape: shape, strides: strides)
    else {
      throw damaged(
        "a tensor of sizes \(shape) and strides \(strides) from element \(offset) on does not lie "
          + "in its storage of \(storage.count) elements")
    }
    return tensor
  }

  /// As many as a tensor has dimensions at most.
  private func integers(_ object: Pickle.Object) -> [Int]? {
    guard case .tuple(let items) = object, items.count <= Safetensors.maximumDimensions else {
      return nil
    }
    var values: [Int] = []
    for item in items {
      if case .integer(let value) = pickle[item] { values.append(value) }
    }
    return values.count == items.count ? values : nil
  }

  /// What an object is told about itself: attributes, of which none is needed here.
  private mutating func takeState() throws(TensorFileError) {
    _ = try pop()
    let owner = try top()
    switch pickle[owner] {
    case .dictionary, .list, .opaque, .tensor: break
    default: throw damaged("attributes for what has none")
    }
  }

  /// `("storage", type, key, device, count)`.
  private mutating func pushStorage() throws(TensorFileError) {
    let reference = try pop()
    guard case .tuple(let parts) = pickle[reference], parts.count >= 5,
      case .string("storage") = pickle[parts[0]],
      case .global(.storage(let elementType)) = pickle[parts[1]],
      case .string(let key) = pickle[parts[2]], case .integer(let count) = pickle[parts[4]],
      let storage = Pickle.Storage(checked: key, elementType: elementType, count: count)
    else { throw damaged("a reference to what is no storage of numbers") }
    pickle.storages.append(storage)
    push(.storage(pickle.storages.count - 1))
  }
}
