/// The objects that a pickle describes, as far as a restricted reader takes them: plain values, and
/// tensors as places in storages. Nothing is ever called.
///
/// Objects refer to each other by index rather than by nesting, so that neither depth nor cycles
/// can hurt whoever frees or walks them.
struct Pickle: Sendable {
  /// Position in `objects`.
  typealias Reference = Int32

  enum Object: Sendable, Equatable {
    case none
    case boolean(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case bytes([UInt8])
    case tuple([Reference])
    case list([Reference])
    /// Keys and values by turns, in the order in which they were added.
    case dictionary([Reference])
    case global(Global)
    /// Position in `storages`.
    case storage(Int)
    /// Position in `tensors`.
    case tensor(Int)
    /// A value of no use here, such as a device or a path, whose content is not kept.
    case opaque
  }

  /// One-dimensional memory in a file of its own, `data/KEY` of the archive.
  struct Storage: Sendable, Equatable {
    var key: String
    var elementType: ElementType
    var count: Int
  }

  /// A view of a storage. Every element lies within the storage; that is checked.
  struct StoredTensor: Sendable, Equatable {
    var storage: Storage
    /// In elements, as are the strides.
    var offset: Int
    var shape: [Int]
    var strides: [Int]
    /// Product of the shape.
    var count: Int
  }

  var objects: [Object] = []
  var storages: [Storage] = []
  var tensors: [StoredTensor] = []
  /// What the pickle describes as a whole.
  var root: Reference = 0

  subscript(reference: Reference) -> Object { objects[Int(reference)] }
}

extension Pickle {
  /// What a name of Python stands for here. Other names are refused.
  enum Global: Sendable, Equatable {
    /// Makes a dictionary: empty, or the one that it is given.
    case dictionary
    /// Makes a list: empty, or the one that it is given.
    case list
    /// A tuple of sizes.
    case size
    case rebuildTensor
    case rebuildParameter
    case storage(ElementType)
    /// The constant of an element type, which nobody calls.
    case constant
    /// Whatever it makes is of no use here.
    case opaque
  }

  /// Every name that a pickle may hold, as `module name`: those that PyTorch's files of weights
  /// consist of, and those that published training code puts beside them.
  static let globals: [String: Global] = {
    var table: [String: Global] = [
      "collections OrderedDict": .dictionary, "collections defaultdict": .dictionary,
      "collections Counter": .dictionary, "collections deque": .opaque,
      "torch Size": .size, "torch device": .opaque,
      "torch._utils _rebuild_tensor": .rebuildTensor,
      "torch._utils _rebuild_tensor_v2": .rebuildTensor,
      "torch._utils _rebuild_parameter": .rebuildParameter,
      "torch._utils _rebuild_parameter_with_state": .rebuildParameter,
      "argparse Namespace": .opaque, "_codecs encode": .opaque, "numpy dtype": .opaque,
      "numpy ndarray": .opaque,
    ]
    let builtins: [String: Global] = [
      "dict": .dictionary, "list": .list, "set": .list, "frozenset": .list, "int": .constant,
      "float": .constant, "bool": .constant, "str": .constant, "tuple": .constant,
      "bytearray": .opaque, "complex": .opaque, "slice": .opaque,
    ]
    for (name, global) in builtins {
      // As Python 3 calls them, and as it writes them in protocol 2.
      table["builtins \(name)"] = global
      table["__builtin__ \(name)"] = global
    }
    for module in ["numpy.core.multiarray", "numpy._core.multiarray"] {
      table["\(module) scalar"] = .opaque
      table["\(module) _reconstruct"] = .opaque
    }
    for name in ["Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"] {
      table["pathlib \(name)"] = .opaque
      table["pathlib._local \(name)"] = .opaque
    }
    for (name, elementType) in storageTypes {
      table["torch \(name)Storage"] = .storage(elementType)
    }
    for name in [
      "float32", "float", "float64", "double", "float16", "half", "bfloat16", "int64", "long",
      "int32", "int", "int16", "short", "int8", "uint8", "bool", "complex64",
      "strided", "contiguous_format", "channels_last", "preserve_format",
    ] { table["torch \(name)"] = .constant }
    return table
  }()

  /// Storages whose elements safetensors have a name for.
  private static let storageTypes: [(name: String, elementType: ElementType)] = [
    ("Float", .float32), ("Double", .float64), ("Half", .float16), ("BFloat16", .bfloat16),
    ("Long", .int64), ("Int", .int32), ("Short", .int16), ("Char", .int8), ("Byte", .unsigned8),
    ("Bool", .boolean), ("ComplexFloat", .complex64),
  ]
}

extension Pickle.Storage {
  /// nil where its bytes are beyond all numbers, or its key is longer than any of PyTorch's.
  init?(checked key: String, elementType: ElementType, count: Int) {
    guard key.utf8.count <= 100, count >= 0,
      !count.multipliedReportingOverflow(by: elementType.bits).overflow
    else {
      return nil
    }
    self.key = key
    self.elementType = elementType
    self.count = count
  }

  /// Bytes of one element.
  var width: Int { elementType.bits / 8 }
  var bytes: Int { count * width }
}

extension Pickle.StoredTensor {
  /// nil where an element would lie outside the storage, or a size is impossible.
  init?(storage: Pickle.Storage, offset: Int, shape: [Int], strides: [Int]) {
    guard offset >= 0, shape.count == strides.count,
      shape.count <= Safetensors.maximumDimensions,
      shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 })
    else { return nil }
    // Zeros are left out of the product, so that no order of multiplication overflows later.
    var (product, last) = (1, offset)
    for (size, stride) in zip(shape, strides) where size > 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      let (reach, isFar) = (size - 1).multipliedReportingOverflow(by: stride)
      let (end, isBeyond) = last.addingReportingOverflow(reach)
      guard !overflow, !isFar, !isBeyond else { return nil }
      (product, last) = (next, end)
    }
    let isEmpty = shape.contains(0)
    guard isEmpty || last < storage.count else { return nil }
    guard !product.multipliedReportingOverflow(by: storage.elementType.bits).overflow else {
      return nil
    }
    self.storage = storage
    self.offset = offset
    self.shape = shape
    self.strides = strides
    count = isEmpty ? 0 : product
  }

  /// Bytes of the dense tensor.
  var bytes: Int { count * storage.width }

  /// Whether the elements lie in the storage one after the other, row-major.
  var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      guard stride == expected else { return count == 0 }
      expected *= size
    }
    return true
  }
}
