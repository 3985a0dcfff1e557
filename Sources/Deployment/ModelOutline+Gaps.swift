import RepVGGModel

extension ModelOutline {
  /// Throws where the tensors are no whole network, block by block.
  func requireWhole(source: String) throws(DeploymentError) {
    guard let gaps else { return }
    throw DeploymentError(
      .badModel, "\(source): holds no whole network: \(gaps); check the file\(remarkOnNames)")
  }

  /// What is missing in blocks, or in the classifier, that have to have it, and what no block has; nil
  /// where the tensors are whole, whatever the architecture. Counts of batches may be missing.
  package var gaps: String? {
    let names = tensors.map(\.name).filter { !$0.hasSuffix(".num_batches_tracked") }
    let given = Set(names)
    var expected: [String] = []
    var seen: Set<String> = []
    for name in names {
      let block = TensorCheck.block(of: name)
      guard block.hasPrefix("stage"), seen.insert(block).inserted else { continue }
      expected += members(of: block, given: given)
    }
    expected += ["linear.weight", "linear.bias"]
    return TensorCheck.difference(of: names, from: expected)
  }

  /// Identity and squeeze-and-excitation are had whole or not at all.
  private func members(of block: String, given: Set<String>) -> [String] {
    func has(_ parts: [String]) -> Bool { parts.contains { given.contains("\(block).\($0)") } }
    let excitation = ["down.weight", "down.bias", "up.weight", "up.bias"].map { "se.\($0)" }
    let identity = Self.batchNorm("rbr_identity")
    var parts = has(excitation) ? excitation : []
    switch form {
    case .deploy: parts += ["rbr_reparam.weight", "rbr_reparam.bias"]
    case .training:
      if has(identity) { parts += identity }
      for branch in ["rbr_dense", "rbr_1x1"] {
        parts += ["\(branch).conv.weight"] + Self.batchNorm("\(branch).bn")
      }
    }
    return parts.map { "\(block).\($0)" }
  }

  private static func batchNorm(_ prefix: String) -> [String] {
    ["weight", "bias", "running_mean", "running_var"].map { "\(prefix).\($0)" }
  }
}
