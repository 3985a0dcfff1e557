import RunPlanning
import Tensors

/// Named tensors that are not the ones of the network at hand.
package struct ModelTensorsError: Error, Sendable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Checks named tensors against a table before anything is copied: names, shapes and types.
package enum TensorCheck {
  /// Blocks, and shapes, that a message names; of the others it says how many there are.
  private static let mostBlocks = 6
  private static let mostShapes = 3

  /// Throws unless `tensors` has every entry of `table` in its shape and type, and nothing else.
  static func check(
    _ tensors: NamedTensors, against table: ParameterTable
  ) throws(ModelTensorsError) {
    try check(tensors.outline, against: table)
  }

  /// The same before values are read. Names that are missing or surplus are listed by block, wrong
  /// shapes beside the right ones.
  ///
  /// `mend`: what is said instead of what a configuration could do about it, where there is none.
  package static func check(
    _ tensors: [TensorOutline], against table: ParameterTable, mend: String? = nil
  ) throws(ModelTensorsError) {
    try checkNames(tensors.map(\.name), against: table.entries.map(\.name), mend: mend)
    let found = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    let pairs = table.entries.compactMap { entry in found[entry.name].map { (entry, $0) } }
    try checkShapes(pairs.map { Difference(entry: $0.0, shape: $0.1.shape) }, mend: mend)
    for (entry, tensor) in pairs {
      let needed = entry.kind == .batchCount ? "I64" : "F32"
      guard tensor.elementType == needed else {
        throw ModelTensorsError(
          "\(entry.name) has element type \(tensor.elementType), expected \(needed)")
      }
    }
  }

  private static func checkNames(
    _ names: [String], against expected: [String], mend: String?
  ) throws(ModelTensorsError) {
    guard let difference = difference(of: names, from: expected) else { return }
    throw ModelTensorsError(
      "the tensors are not those of this network: \(difference); \(mend ?? configurationMend)")
  }

  /// Which of the `expected` names are missing in `names` and which are there beside them, block by
  /// block; nil where they are the same.
  package static func difference(of names: [String], from expected: [String]) -> String? {
    let (given, wanted) = (Set(names), Set(expected))
    let missing = BlockNames(expected.filter { !given.contains($0) }, among: expected)
    let surplus = BlockNames(names.filter { !wanted.contains($0) }, among: names)
    guard missing.count + surplus.count > 0 else { return nil }
    let most = missing.count > 0 && surplus.count > 0 ? mostBlocks / 2 : mostBlocks
    var parts = missing.descriptions(atMost: most).map { "\($0) missing" }
    parts += surplus.descriptions(atMost: most).map { "\($0) not expected" }
    let more = max(0, missing.count - most) + max(0, surplus.count - most)
    if more > 0 { parts.append("and \(more) more \(more == 1 ? "block" : "blocks")") }
    return parts.joined(separator: "; ")
  }

  /// A tensor of the table, and the shape that it has in the file.
  private struct Difference {
    var entry: ParameterTable.Entry
    var shape: [Int]

    /// Classes of the file and of the network, where these are all that differs.
    var classes: (file: Int, network: Int)? {
      guard entry.name == "linear.weight", shape.count == 2, shape[1] == entry.shape[1] else {
        return nil
      }
      return (shape[0], entry.shape[0])
    }

    /// Channels of the images of the file's network and of this one, likewise.
    var channels: (file: Int, network: Int)? {
      guard entry.kind == .convolutionWeight, entry.groups == 1,
        entry.name.hasPrefix("stage0.rbr_"), shape.count == 4, shape[0] == entry.shape[0],
        shape[2...] == entry.shape[2...]
      else { return nil }
      return (shape[1], entry.shape[1])
    }
  }

  /// Where a tensor of this published name belongs: `stage0`, `stage2.3` or `linear`.
  package static func block(of name: String) -> String { BlockNames.key(of: name) }

  private static let configurationMend =
    "check that the configuration names the architecture of the file"

  private static func checkShapes(
    _ pairs: [Difference], mend: String?
  ) throws(ModelTensorsError) {
    let wrong = pairs.filter { $0.shape != $0.entry.shape }
    guard !wrong.isEmpty else { return }
    var parts = wrong.prefix(mostShapes).map {
      "\($0.entry.name) has shape \($0.shape), this network needs \($0.entry.shape)"
    }
    let more = wrong.count - mostShapes
    if more > 0 { parts.append("and \(more) more \(more == 1 ? "shape" : "shapes")") }
    let mends = mend.map { [$0] } ?? mends(of: wrong)
    throw ModelTensorsError((parts + mends).joined(separator: "; "))
  }

  private static func mends(of wrong: [Difference]) -> [String] {
    var mends: [String] = []
    // What the two explain needs no other explanation.
    var rest = wrong
    if let classes = wrong.lazy.compactMap(\.classes).first {
      mends.append(
        "the file has \(classes.file) classes, the configuration \(classes.network); add --set "
          + "model.classes=\(classes.file)")
      rest.removeAll { $0.entry.name.hasPrefix("linear.") }
    }
    if let channels = wrong.lazy.compactMap(\.channels).first {
      mends.append(
        "the file is for images of \(channels.file) channels, the configuration for "
          + "\(channels.network) (data.channels)")
      rest.removeAll { $0.channels != nil }
    }
    if !rest.isEmpty {
      mends.append(configurationMend)
    }
    return mends
  }
}

/// Some names of a network's tensors by block, for messages.
struct BlockNames {
  private struct Block {
    /// `stage0`, `stage2.3` or `linear`.
    var key: String
    var names: [String]
    var isWhole: Bool
  }

  private var blocks: [Block] = []

  /// Number of the blocks.
  var count: Int { blocks.count }

  /// `all`: the names of which these are some, so that whole blocks are told from parts of them.
  init(_ names: [String], among all: [String]) {
    guard !names.isEmpty else { return }
    var sizes: [String: Int] = [:]
    for name in all { sizes[Self.key(of: name), default: 0] += 1 }
    blocks = Self.grouped(names, by: Self.key).map {
      Block(key: $0.key, names: $0.names, isWhole: sizes[$0.key] == $0.names.count)
    }.sorted { Self.place(of: $0.key).lexicographicallyPrecedes(Self.place(of: $1.key)) }
  }

  /// One text a block: the name of a single tensor, `stage4.1: 15 tensors` for a whole block, else
  /// `stage2.3: rbr_identity (5 tensors)`.
  func descriptions(atMost most: Int) -> [String] {
    blocks.prefix(most).map { block in
      if block.names.count == 1 { return block.names[0] }
      if block.isWhole { return "\(block.key): \(block.names.count) tensors" }
      let members = block.names.map { String($0.dropFirst(block.key.count + 1)) }
      let parts = Self.grouped(members) { String($0.prefix { $0 != "." }) }.map {
        $0.names.count == 1 ? $0.names[0] : "\($0.key) (\($0.names.count) tensors)"
      }
      return "\(block.key): \(parts.joined(separator: ", "))"
    }
  }

  /// The part of a name that says where its tensor belongs.
  fileprivate static func key(of name: String) -> String {
    let parts = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].hasPrefix("stage"), parts[0] != "stage0" else {
      return String(parts[0])
    }
    return "\(parts[0]).\(parts[1])"
  }

  /// Numbers of stage and block; what has none comes last.
  private static func place(of key: String) -> [Int] {
    guard key.hasPrefix("stage") else { return [Int.max] }
    return key.dropFirst("stage".count).split(separator: ".").map { Int($0) ?? Int.max }
  }

  /// In the order in which keys come first.
  private static func grouped(
    _ names: [String], by key: (String) -> String
  ) -> [(key: String, names: [String])] {
    var groups: [(key: String, names: [String])] = []
    var places: [String: Int] = [:]
    for name in names {
      let key = key(name)
      if let place = places[key] {
        groups[place].names.append(name)
      } else {
        places[key] = groups.count
        groups.append((key, [name]))
      }
    }
    return groups
  }
}
