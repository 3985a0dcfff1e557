/// The names that three code bases give to the same tensors of a RepVGG.
///
/// Published: github.com/DingXiaoH/RepVGG. Inside the program all names are published ones; files
/// are translated at the edge.
package enum KeyScheme: String, Sendable, CaseIterable {
  case published, timm, mmpretrain

  /// The scheme that most of `names` belong to; nil where none is RepVGG's. Prefixes of wrappers
  /// are looked through.
  package static func recognise(_ names: [String]) -> KeyScheme? {
    let names = names.map(withoutWrappers)
    if names.contains(where: { $0.hasPrefix("stage0.") }) { return .published }
    if names.contains(where: { $0.hasPrefix("stem.") }) { return .timm }
    if names.contains(where: { $0.hasPrefix("backbone.stem.") }) { return .mmpretrain }
    return nil
  }

  /// What PyTorch's DataParallel, its compiler, and checkpoints flattened into one table put in front
  /// of every name.
  private static let wrappers = ["module.", "_orig_mod.", "state_dict.", "model."]

  private static func withoutWrappers(_ name: String) -> String {
    var rest = name[...]
    while let wrapper = wrappers.first(where: { rest.hasPrefix($0) }) {
      rest = rest.dropFirst(wrapper.count)
    }
    return String(rest)
  }

  /// The part of the name that names the block → the published one, and back.
  private func blockPrefixes(stage: Int, block: Int) -> String {
    switch (self, stage) {
    case (.published, 0): "stage0"
    case (.published, _): "stage\(stage).\(block)"
    case (.timm, 0): "stem"
    case (.timm, _): "stages.\(stage - 1).\(block)"
    case (.mmpretrain, 0): "backbone.stem"
    case (.mmpretrain, _): "backbone.stage_\(stage).\(block)"
    }
  }

  /// Names inside a block, in the same order for every scheme.
  private var members: [String] {
    switch self {
    case .published:
      [
        "rbr_dense.conv", "rbr_dense.bn", "rbr_1x1.conv", "rbr_1x1.bn", "rbr_identity",
        "rbr_reparam", "se.down", "se.up",
      ]
    case .timm:
      [
        "conv_kxk.conv", "conv_kxk.bn", "conv_1x1.conv", "conv_1x1.bn", "identity",
        "reparam_conv", "attn.fc1", "attn.fc2",
      ]
    case .mmpretrain:
      [
        "branch_3x3.conv", "branch_3x3.norm", "branch_1x1.conv", "branch_1x1.norm",
        "branch_norm", "branch_reparam", "se_layer.conv1.conv", "se_layer.conv2.conv",
      ]
    }
  }

  private var classifier: String { self == .published ? "linear" : "head.fc" }

  /// `name` of this scheme in the names of `other`; nil where it is no name of a RepVGG.
  package func translate(_ name: String, to other: KeyScheme) -> String? {
    let name = KeyScheme.withoutWrappers(name)
    if name.hasPrefix(classifier + ".") {
      return other.classifier + name.dropFirst(classifier.count)
    }
    guard let (stage, block, rest) = splitBlock(name) else { return nil }
    for (own, translated) in zip(members, other.members) where rest.hasPrefix(own + ".") {
      let prefix = other.blockPrefixes(stage: stage, block: block)
      return "\(prefix).\(translated)" + rest.dropFirst(own.count)
    }
    return nil
  }

  /// A stage's or block's number as such names write it: digits, no sign, no leading zero.
  private static func number(_ text: Substring) -> Int? {
    guard text.utf8.count <= 4, let number = Int(text), number >= 0, String(number) == text else {
      return nil
    }
    return number
  }

  /// Stage, block and the name inside the block.
  private func splitBlock(_ name: String) -> (stage: Int, block: Int, rest: Substring)? {
    let stem = blockPrefixes(stage: 0, block: 0) + "."
    if name.hasPrefix(stem) { return (0, 0, name.dropFirst(stem.count)) }
    let (lead, offset) =
      switch self {
      case .published: ("stage", 0)
      case .timm: ("stages.", 1)
      case .mmpretrain: ("backbone.stage_", 0)
      }
    guard name.hasPrefix(lead) else { return nil }
    let parts = name.dropFirst(lead.count).split(
      separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let stage = Self.number(parts[0]), let block = Self.number(parts[1]),
      stage + offset > 0
    else { return nil }
    return (stage + offset, block, parts[2])
  }
}
