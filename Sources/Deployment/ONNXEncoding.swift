import Tensors

/// A protocol-buffers message being put together, which knows its length before a byte is written:
/// so a file of any size is written front to back into memory that is taken once, and weights are
/// copied once.
///
/// Source of the encoding: protobuf.dev/programming-guides/encoding. Repeated numbers are written one
/// by one, as the schema's own version 2 syntax has it and every reader of version 3 takes it.
struct ProtobufMessage: Sendable {
  private enum Content: Sendable {
    case number(UInt64)
    case text(String)
    case message(ProtobufMessage)
    /// The tensor's values as they lie in files: little-endian.
    case values(Tensor)
  }

  private enum WireType: UInt64 {
    case number = 0
    case lengthDelimited = 2
  }

  private var fields: [(number: Int, content: Content)] = []
  /// Bytes of the encoded message.
  private(set) var byteCount = 0

  mutating func add(_ field: Int, _ value: Int) {
    // Two's complement in 64 bits: what the type int64 asks for.
    let bits = UInt64(bitPattern: Int64(value))
    fields.append((field, .number(bits)))
    byteCount += Self.keyBytes(field) + Self.bytes(ofNumber: bits)
  }

  mutating func add(_ field: Int, _ text: String) { add(field, .text(text), text.utf8.count) }

  mutating func add(_ field: Int, _ message: ProtobufMessage) {
    add(field, .message(message), message.byteCount)
  }

  mutating func add(_ field: Int, valuesOf tensor: Tensor) {
    add(field, .values(tensor), tensor.withBytes(\.count))
  }

  private mutating func add(_ field: Int, _ content: Content, _ length: Int) {
    fields.append((field, content))
    byteCount += Self.keyBytes(field) + Self.bytes(ofNumber: UInt64(length)) + length
  }

  /// The encoded message.
  func bytes() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    append(to: &bytes)
    precondition(bytes.count == byteCount, "a message of another length than was counted")
    return bytes
  }

  private func append(to bytes: inout [UInt8]) {
    for (field, content) in fields {
      switch content {
      case .number(let value):
        Self.append(key: field, .number, to: &bytes)
        Self.append(value, to: &bytes)
      case .text(let text):
        Self.append(key: field, length: text.utf8.count, to: &bytes)
        bytes.append(contentsOf: text.utf8)
      case .message(let message):
        Self.append(key: field, length: message.byteCount, to: &bytes)
        message.append(to: &bytes)
      case .values(let tensor):
        tensor.withBytes { values in
          Self.append(key: field, length: values.count, to: &bytes)
          bytes.append(contentsOf: values)
        }
      }
    }
  }

  private static func append(key field: Int, length: Int, to bytes: inout [UInt8]) {
    append(key: field, .lengthDelimited, to: &bytes)
    append(UInt64(length), to: &bytes)
  }

  private static func append(key field: Int, _ type: WireType, to bytes: inout [UInt8]) {
    append(UInt64(field) << 3 | type.rawValue, to: &bytes)
  }

  /// Seven bits a byte, the low ones first; the high bit says that more follow.
  private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func keyBytes(_ field: Int) -> Int { bytes(ofNumber: UInt64(field) << 3) }

  private static func bytes(ofNumber value: UInt64) -> Int {
    (64 - (value | 1).leadingZeroBitCount + 6) / 7
  }
}

/// The messages of an ONNX file that a network needs, by the field numbers of its schema.
///
/// Source: github.com/onnx/onnx, onnx/onnx.proto3 (IR version 8).
enum ONNXMessage {
  /// TensorProto.DataType.FLOAT.
  private static let float = 1

  /// ModelProto: IR version 8, which came with operator set 17.
  static func model(
    graph: ProtobufMessage, operatorSet: Int, producer: String, producerVersion: String,
    metadata: [(key: String, value: String)]
  ) -> ProtobufMessage {
    var model = ProtobufMessage()
    model.add(1, 8)  // ir_version
    model.add(2, producer)  // producer_name
    model.add(3, producerVersion)  // producer_version
    model.add(7, graph)  // graph
    var operators = ProtobufMessage()
    operators.add(1, "")  // OperatorSetIdProto.domain: the standard one
    operators.add(2, operatorSet)  // OperatorSetIdProto.version
    model.add(8, operators)  // opset_import
    for (key, value) in metadata {
      var entry = ProtobufMessage()
      entry.add(1, key)  // StringStringEntryProto.key
      entry.add(2, value)  // StringStringEntryProto.value
      model.add(14, entry)  // metadata_props
    }
    return model
  }

  /// GraphProto.
  static func graph(
    name: String, nodes: [ProtobufMessage], initializers: [ProtobufMessage],
    input: ProtobufMessage, output: ProtobufMessage
  ) -> ProtobufMessage {
    var graph = ProtobufMessage()
    for node in nodes { graph.add(1, node) }  // node
    graph.add(2, name)  // name
    for tensor in initializers { graph.add(5, tensor) }  // initializer
    graph.add(11, input)  // input
    graph.add(12, output)  // output
    return graph
  }

  /// NodeProto with one output, which carries the node's name.
  static func node(
    _ type: String, name: String, inputs: [String], attributes: [ProtobufMessage]
  ) -> ProtobufMessage {
    var node = ProtobufMessage()
    for input in inputs { node.add(1, input) }  // input
    node.add(2, name)  // output
    node.add(3, name)  // name
    node.add(4, type)  // op_type
    for attribute in attributes { node.add(5, attribute) }  // attribute
    return node
  }

  /// AttributeProto of type INT.
  static func attribute(_ name: String, _ value: Int) -> ProtobufMessage {
    var attribute = ProtobufMessage()
    attribute.add(1, name)  // name
    attribute.add(3, value)  // i
    attribute.add(20, 2)  // type
    return attribute
  }

  /// AttributeProto of type INTS.
  static func attribute(_ name: String, _ values: [Int]) -> ProtobufMessage {
    var attribute = ProtobufMessage()
    attribute.add(1, name)  // name
    for value in values { attribute.add(8, value) }  // ints
    attribute.add(20, 7)  // type
    return attribute
  }

  /// TensorProto; `tensor` holds Float32.
  static func tensor(_ name: String, _ tensor: Tensor) -> ProtobufMessage {
    var message = ProtobufMessage()
    for size in tensor.shape { message.add(1, size) }  // dims
    message.add(2, float)  // data_type
    message.add(8, name)  // name
    message.add(9, valuesOf: tensor)  // raw_data
    return message
  }

  /// ValueInfoProto of Float32 values whose first dimension is free and called `batch`.
  static func value(_ name: String, shape: [Int], note: String) -> ProtobufMessage {
    var batch = ProtobufMessage()
    batch.add(2, "batch")  // TensorShapeProto.Dimension.dim_param
    var dimensions = ProtobufMessage()
    dimensions.add(1, batch)  // TensorShapeProto.dim
    for size in shape {
      var dimension = ProtobufMessage()
      dimension.add(1, size)  // TensorShapeProto.Dimension.dim_value
      dimensions.add(1, dimension)  // TensorShapeProto.dim
    }
    var tensor = ProtobufMessage()
    tensor.add(1, float)  // TypeProto.Tensor.elem_type
    tensor.add(2, dimensions)  // TypeProto.Tensor.shape
    var type = ProtobufMessage()
    type.add(1, tensor)  // TypeProto.tensor_type
    var value = ProtobufMessage()
    value.add(1, name)  // name
    value.add(2, type)  // type
    value.add(3, note)  // doc_string
    return value
  }
}
