/// What is known of a tensor before its values are read.
package struct TensorOutline: Sendable, Equatable {
  package var name: String
  package var shape: [Int]
  /// Safetensors name of the element type, e.g. `F32`.
  package var elementType: String

  package init(name: String, shape: [Int], elementType: String) {
    self.name = name
    self.shape = shape
    self.elementType = elementType
  }

  /// A scalar of type Int64, as the count of a BatchNorm's batches is.
  package static func count(_ name: String) -> TensorOutline {
    TensorOutline(name: name, shape: [], elementType: ElementType.int64.rawValue)
  }
}

extension NamedTensors {
  /// Names, shapes and element types, in the order of the tensors.
  package var outline: [TensorOutline] {
    map { name, tensor in
      TensorOutline(name: name, shape: tensor.shape, elementType: tensor.elementType)
    }
  }
}

extension Safetensors.Header {
  /// The outline of what `NamedTensors.readSafetensors` makes of the file: halves become Float32.
  package var outline: [TensorOutline] {
    tensors.map { entry in
      TensorOutline(
        name: entry.name, shape: entry.shape,
        elementType: Self.isHalf(entry) ? ElementType.float32.rawValue : entry.elementType)
    }
  }

  /// How many tensors of which element type become Float32 when they are read.
  package var widened: [String: Int] {
    tensors.filter(Self.isHalf).reduce(into: [:]) { $0[$1.elementType, default: 0] += 1 }
  }

  private static func isHalf(_ entry: Entry) -> Bool {
    [ElementType.float16, .bfloat16].contains { $0.rawValue == entry.elementType }
  }
}
