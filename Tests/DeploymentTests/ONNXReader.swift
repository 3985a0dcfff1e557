import Glibc
import _TestSupport

/// A protocol-buffers message read back field by field, as any reader would.
struct ProtobufFields {
  enum Value {
    case number(UInt64)
    case bytes(ArraySlice<UInt8>)
  }

  private(set) var fields: [(number: Int, value: Value)] = []

  init(_ bytes: ArraySlice<UInt8>) throws {
    var rest = bytes
    while !rest.isEmpty {
      let key = try Self.number(&rest)
      let field = Int(key >> 3)
      switch key & 7 {
      case 0: fields.append((field, .number(try Self.number(&rest))))
      case 2:
        let length = Int(try Self.number(&rest))
        guard length <= rest.count else { throw Unexpected("field \(field) ends behind the file") }
        fields.append((field, .bytes(rest.prefix(length))))
        rest = rest.dropFirst(length)
      default: throw Unexpected("field \(field) has wire type \(key & 7)")
      }
    }
  }

  private static func number(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
    var (value, shift): (UInt64, UInt64) = (0, 0)
    while let byte = rest.popFirst() {
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Unexpected("a number ends with the file")
  }

  func numbers(_ field: Int) -> [Int] {
    fields.compactMap {
      if $0.number == field, case .number(let value) = $0.value { Int(value) } else { nil }
    }
  }

  func contents(_ field: Int) -> [ArraySlice<UInt8>] {
    fields.compactMap {
      if $0.number == field, case .bytes(let bytes) = $0.value { bytes } else { nil }
    }
  }

  func texts(_ field: Int) -> [String] {
    contents(field).map { String(decoding: $0, as: UTF8.self) }
  }

  func messages(_ field: Int) throws -> [ProtobufFields] {
    try contents(field).map(ProtobufFields.init)
  }
}

/// An ONNX file as its readers see it, by the field numbers of onnx.proto3.
struct ONNXModel {
  struct Node {
    var type: String
    var name: String
    var inputs: [String]
    var outputs: [String]
    var attributes: [String: [Int]] = [:]
  }

  struct Initializer {
    var shape: [Int]
    var bytes: [UInt8]

    var values: [Float] {
      bytes.withUnsafeBytes { bytes in
        (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }
  }

  /// An input or output: sizes as text, so that free ones keep their names.
  struct Value: Equatable {
    var name: String
    var elementType: Int
    var shape: [String]
  }

  var fields: ProtobufFields
  var nodes: [Node] = []
  var initializers: [String: Initializer] = [:]
  var inputs: [Value] = []
  var outputs: [Value] = []
  var metadata: [String: String] = [:]

  init(_ bytes: [UInt8]) throws {
    fields = try ProtobufFields(bytes[...])
    guard let graph = try fields.messages(7).first else { throw Unexpected("no graph") }
    for node in try graph.messages(1) {
      var read = Node(
        type: node.texts(4).joined(), name: node.texts(3).joined(), inputs: node.texts(1),
        outputs: node.texts(2))
      for attribute in try node.messages(5) {
        // INT and its i, or INTS and its ints.
        let isList = attribute.numbers(20) == [7]
        guard isList || attribute.numbers(20) == [2] else { throw Unexpected("attribute's type") }
        read.attributes[attribute.texts(1).joined()] = attribute.numbers(isList ? 8 : 3)
      }
      nodes.append(read)
    }
    for tensor in try graph.messages(5) {
      guard tensor.numbers(2) == [1] else { throw Unexpected("an initializer that is no FLOAT") }
      initializers[tensor.texts(8).joined()] = Initializer(
        shape: tensor.numbers(1), bytes: Array(tensor.contents(9).joined()))
    }
    inputs = try graph.messages(11).map(Self.value)
    outputs = try graph.messages(12).map(Self.value)
    for entry in try fields.messages(14) {
      metadata[entry.texts(1).joined()] = entry.texts(2).joined()
    }
  }

  private static func value(_ fields: ProtobufFields) throws -> Value {
    guard let type = try fields.messages(2).first, let tensor = try type.messages(1).first,
      let shape = try tensor.messages(2).first
    else { throw Unexpected("a value without a type") }
    return Value(
      name: fields.texts(1).joined(), elementType: tensor.numbers(1).first ?? 0,
      shape: try shape.messages(1).map { size in
        size.texts(2).first ?? "\(size.numbers(1).first ?? 0)"
      })
  }

  func node(_ name: String) -> Node? { nodes.first { $0.name == name } }
}

extension ONNXModel {
  /// Computes the graph in Float64, node by node, by the definitions of the operators.
  func run(_ images: ReferenceTensor) throws -> ReferenceTensor {
    var tensors = [inputs[0].name: images]
    for node in nodes { tensors[node.outputs[0]] = try compute(node, tensors) }
    return try operand(outputs[0].name, in: tensors)
  }

  private func compute(
    _ node: Node, _ tensors: [String: ReferenceTensor]
  ) throws -> ReferenceTensor {
    let input = try operand(node.inputs[0], in: tensors)
    switch node.type {
    case "Sub": return try combine(input, operand(node.inputs[1], in: tensors)) { $0 - $1 }
    case "Div": return try combine(input, operand(node.inputs[1], in: tensors)) { $0 / $1 }
    case "Mul": return try combine(input, operand(node.inputs[1], in: tensors)) { $0 * $1 }
    case "Relu": return map(input) { $0 > 0 ? $0 : 0 }
    case "Sigmoid": return map(input) { 1 / (1 + exp(-$0)) }
    case "Flatten": return input
    case "GlobalAveragePool": return pool(input)
    case "Conv", "Gemm": return try convolve(node, input)
    default: throw Unexpected("operator \(node.type)")
    }
  }

  private func operand(
    _ name: String, in tensors: [String: ReferenceTensor]
  ) throws -> ReferenceTensor {
    if let tensor = tensors[name] { return tensor }
    guard let constant = initializers[name], constant.shape.count == 4 else {
      throw Unexpected("\(name) is used before it is computed")
    }
    return ReferenceTensor(
      images: constant.shape[0], channels: constant.shape[1], height: constant.shape[2],
      width: constant.shape[3], values: constant.values.map(Double.init))
  }

  private func map(_ input: ReferenceTensor, _ body: (Double) -> Double) -> ReferenceTensor {
    var output = input
    output.values = input.values.map(body)
    return output
  }

  /// `right` has a value for every channel, of all images or of each.
  private func combine(
    _ left: ReferenceTensor, _ right: ReferenceTensor, _ body: (Double, Double) -> Double
  ) throws -> ReferenceTensor {
    guard right.channels == left.channels, right.height == 1, right.width == 1 else {
      throw Unexpected("operands of shapes that are not combined")
    }
    var output = left
    for image in 0..<left.images {
      for channel in 0..<left.channels {
        for pixel in 0..<left.height * left.width {
          let place = (image * left.channels + channel) * left.height * left.width + pixel
          output.values[place] = body(
            left.values[place], right[right.images == 1 ? 0 : image, channel, 0, 0])
        }
      }
    }
    return output
  }

  private func pool(_ input: ReferenceTensor) -> ReferenceTensor {
    var output = ReferenceTensor(
      images: input.images, channels: input.channels, height: 1, width: 1)
    let pixels = input.height * input.width
    for place in 0..<input.images * input.channels {
      output.values[place] =
        input.values[place * pixels..<(place + 1) * pixels].reduce(0, +) / Double(pixels)
    }
    return output
  }

  /// A convolution with its bias; Gemm with transB is one of 1x1.
  private func convolve(_ node: Node, _ input: ReferenceTensor) throws -> ReferenceTensor {
    guard let weights = initializers[node.inputs[1]], let bias = initializers[node.inputs[2]] else {
      throw Unexpected("\(node.name) has no weights")
    }
    let kernel = node.attributes["kernel_shape"]?.first ?? 1
    let convolution = ReferenceConvolution(
      kernel: kernel, stride: node.attributes["strides"]?.first ?? 1,
      groups: node.attributes["group"]?.first ?? 1, outputChannels: weights.shape[0])
    var output = convolution.forward(input, weights.values.map(Double.init))
    for channel in 0..<output.channels {
      var places: [Int] = []
      output.forEachPosition(ofChannel: channel) { places.append($0) }
      for place in places { output.values[place] += Double(bias.values[channel]) }
    }
    return output
  }
}
