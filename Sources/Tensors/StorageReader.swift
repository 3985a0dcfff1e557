/// Takes tensors out of the storages of a PyTorch file, each of which is read once for all views
/// that share it.
struct StorageReader {
  private let archive: PyTorchArchive
  /// The storage that was read last, for its views.
  private var key: String?
  private var content: [UInt8] = []

  init(_ archive: PyTorchArchive) {
    self.archive = archive
  }

  /// The tensors in the order of `stored`, whose bounds the caller has held against the archive.
  mutating func read(_ stored: [Pickle.StoredTensor]) throws(TensorFileError) -> [Tensor] {
    var result = [Tensor?](repeating: nil, count: stored.count)
    // Views of one storage one after the other.
    let order = stored.indices.sorted {
      (stored[$0].storage.key, $0) < (stored[$1].storage.key, $1)
    }
    for index in order { result[index] = try tensor(stored[index]) }
    return result.compactMap { $0 }
  }

  private mutating func tensor(_ stored: Pickle.StoredTensor) throws(TensorFileError) -> Tensor {
    let type = stored.storage.elementType
    let values: Tensor.Values
    switch type {
    case .float32: values = .float32(try elements(stored, of: Float.self))
    case .float64: values = .float64(try elements(stored, of: Double.self))
    case .int64: values = .int64(try elements(stored, of: Int64.self))
    case .float16:
      let halves = try elements(stored, of: UInt16.self)
      values = .float32(halves.map { Float(Float16(bitPattern: $0)) })
    case .bfloat16:
      let halves = try elements(stored, of: UInt16.self)
      values = .float32(halves.map { Float(bitPattern: UInt32($0) << 16) })
    default:
      let bytes: [UInt8]
      switch stored.storage.width {
      case 1: bytes = try elements(stored, of: UInt8.self)
      case 2: bytes = Self.bytes(try elements(stored, of: UInt16.self))
      case 4: bytes = Self.bytes(try elements(stored, of: UInt32.self))
      default: bytes = Self.bytes(try elements(stored, of: UInt64.self))
      }
      values = .raw(elementType: type.rawValue, bytes: bytes)
    }
    return Tensor(shape: stored.shape, values: values)
  }

  private static func bytes<Element: BitwiseCopyable>(_ elements: [Element]) -> [UInt8] {
    elements.withUnsafeBytes { Array($0) }
  }

  /// The elements row-major. `Element` is as wide as those of the storage, and every bit pattern is
  /// a value of it.
  private mutating func elements<Element: BitwiseCopyable>(
    _ stored: Pickle.StoredTensor, of type: Element.Type
  ) throws(TensorFileError) -> [Element] {
    let storage = stored.storage
    precondition(MemoryLayout<Element>.stride == storage.width, "width of an element")
    guard stored.count > 0 else { return [] }
    if stored.isContiguous && stored.count == storage.count && key != storage.key {
      return try whole(storage, of: type)
    }
    if key != storage.key {
      // Nothing of the old one is needed while the new one is read.
      (key, content) = (nil, [])
      content = try whole(storage, of: UInt8.self)
      key = storage.key
    }
    return content.withUnsafeBytes { source in
      [Element](unsafeUninitializedCapacity: stored.count) { buffer, initialized in
        Self.gather(stored, from: source, into: buffer)
        initialized = stored.count
      }
    }
  }

  /// A whole storage as it lies in the file.
  private func whole<Element: BitwiseCopyable>(_ storage: Pickle.Storage, of type: Element.Type)
    throws(TensorFileError) -> [Element]
  {
    let count = storage.bytes / MemoryLayout<Element>.stride
    var failure: TensorFileError?
    let elements = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      let destination = UnsafeMutableRawBufferPointer(
        start: buffer.baseAddress, count: storage.bytes)
      do throws(TensorFileError) {
        try archive.read(storage: storage.key, into: destination)
        initialized = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return elements
  }

  /// Copies elements one by one, the last dimension first, as an odometer counts.
  private static func gather<Element: BitwiseCopyable>(
    _ stored: Pickle.StoredTensor, from source: UnsafeRawBufferPointer,
    into destination: UnsafeMutableBufferPointer<Element>
  ) {
    let width = MemoryLayout<Element>.stride
    // Nothing moves along a dimension of size 1, whose stride may be anything.
    let dimensions = zip(stored.shape, stored.strides).filter { $0.0 > 1 }
    var indices = [Int](repeating: 0, count: dimensions.count)
    var place = stored.offset
    for number in 0..<stored.count {
      destination.initializeElement(
        at: number, to: source.loadUnaligned(fromByteOffset: place * width, as: Element.self))
      var dimension = indices.count - 1
      while dimension >= 0 {
        indices[dimension] += 1
        let (size, stride) = dimensions[dimension]
        // Behind the last element it may be beyond all numbers, for a moment.
        place &+= stride
        if indices[dimension] < size { break }
        place &-= size &* stride
        indices[dimension] = 0
        dimension -= 1
      }
    }
  }
}
