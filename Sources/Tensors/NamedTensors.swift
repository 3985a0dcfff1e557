/// A dense row-major array with its shape, as files carry it.
///
/// For the edge between memory and files: not for arithmetic, which works on arenas.
package struct Tensor: Sendable, Equatable {
  package enum Values: Sendable, Equatable {
    case float32([Float])
    case float64([Double])
    case int64([Int64])
    /// Any other element type of the safetensors format, e.g. `U8`, as its little-endian bytes.
    case raw(elementType: String, bytes: [UInt8])
  }

  /// Sizes of the dimensions, outermost first; `[]` for a scalar.
  package let shape: [Int]
  package let values: Values

  /// The number of values must be the product of `shape`.
  package init(shape: [Int], values: Values) {
    self.shape = shape
    self.values = values
    switch values {
    case .float32(let elements): precondition(elements.count == count, "shape against values")
    case .float64(let elements): precondition(elements.count == count, "shape against values")
    case .int64(let elements): precondition(elements.count == count, "shape against values")
    case .raw(let elementType, let bytes):
      let bits = ElementType(rawValue: elementType).map { $0.bits * count }
      precondition(bits == bytes.count * 8, "shape against bytes of element type \(elementType)")
    }
  }

  package init(shape: [Int], _ values: [Float]) {
    self.init(shape: shape, values: .float32(values))
  }

  package init(shape: [Int], integers values: [Int64]) {
    self.init(shape: shape, values: .int64(values))
  }

  /// Number of elements: the product of `shape`, 1 for a scalar.
  package var count: Int { shape.reduce(1, *) }

  /// The values where they are Float32, else nil.
  package var floats: [Float]? {
    if case .float32(let elements) = values { elements } else { nil }
  }

  /// The values where they are Int64, else nil.
  package var integers: [Int64]? {
    if case .int64(let elements) = values { elements } else { nil }
  }

  /// Safetensors name of the element type, e.g. `F32`.
  package var elementType: String {
    switch values {
    case .float32: ElementType.float32.rawValue
    case .float64: ElementType.float64.rawValue
    case .int64: ElementType.int64.rawValue
    case .raw(let elementType, _): elementType
    }
  }

  /// Calls `body` with the values' little-endian bytes, valid during the call.
  package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
    -> Result
  {
    switch values {
    case .float32(let elements): try elements.withUnsafeBytes(body)
    case .float64(let elements): try elements.withUnsafeBytes(body)
    case .int64(let elements): try elements.withUnsafeBytes(body)
    case .raw(_, let bytes): try bytes.withUnsafeBytes(body)
    }
  }
}

/// Tensors by name, in the order in which they were added, and the text metadata of their file.
package struct NamedTensors: Sendable, Equatable {
  /// Free text beside the tensors, e.g. the recipe of a golden state.
  package var metadata: [String: String] = [:]

  private var entries: [Entry] = []
  private var indices: [String: Int] = [:]

  private struct Entry: Sendable, Equatable {
    var name: String
    var tensor: Tensor
  }

  package init() {}

  package var count: Int { entries.count }
  package var isEmpty: Bool { entries.isEmpty }

  /// Names in the order in which they were added.
  package var names: [String] { entries.map(\.name) }

  /// Names by the order of their UTF-8 bytes: the same in every locale.
  package var sortedNames: [String] {
    names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The tensor called `name`. A new name goes to the end, a known one keeps its place, and nil
  /// removes.
  package subscript(name: String) -> Tensor? {
    get { indices[name].map { entries[$0].tensor } }
    set {
      guard let tensor = newValue else {
        removeValue(name)
        return
      }
      if let index = indices[name] {
        entries[index].tensor = tensor
      } else {
        indices[name] = entries.count
        entries.append(Entry(name: name, tensor: tensor))
      }
    }
  }

  /// Removes the tensor called `name` and returns it; nil where there is none.
  @discardableResult
  package mutating func removeValue(_ name: String) -> Tensor? {
    guard let index = indices.removeValue(forKey: name) else { return nil }
    let tensor = entries.remove(at: index).tensor
    for later in index..<entries.count { indices[entries[later].name] = later }
    return tensor
  }
}

extension NamedTensors: Sequence {
  /// Iterates in the order in which tensors were added.
  package func makeIterator() -> AnyIterator<(name: String, tensor: Tensor)> {
    var remaining = entries.makeIterator()
    return AnyIterator { remaining.next().map { ($0.name, $0.tensor) } }
  }
}

#if _endian(big)
  #error("Tensors are copied to and from little-endian files as they lie in memory.")
#endif
