/// Which kernels a run computes with: what decides, beside the order of summation, its bits. Plan
/// and checkpoints record it, and a resume says where it differs.
package struct KernelChoices: Sendable, Codable, Equatable {
  /// Path of the 3x3 convolution → blocks that take it, over all sizes of images.
  package var paths: [String: Int]
  /// What the kernels were built for.
  package var instructionSets: [String]
  /// Columns of a panel of the products.
  package var panelWidth: Int

  private enum CodingKeys: String, CodingKey {
    case paths
    case instructionSets = "instruction_sets"
    case panelWidth = "panel_width"
  }

  /// Each part as people read it, under its name.
  package var parts: [(name: String, value: String)] {
    [
      (
        "choice of kernels",
        paths.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
      ),
      (
        "instruction set",
        instructionSets.isEmpty ? "none named" : instructionSets.joined(separator: ", ")
      ),
      ("panel width", String(panelWidth)),
    ]
  }

  var json: JSONText {
    .object([
      (
        "paths",
        .object(paths.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) })
      ),
      ("instruction_sets", .array(instructionSets.map { .string($0) })),
      ("panel_width", .integer(panelWidth)),
    ])
  }
}

extension RunPlan {
  /// How a block is computed on the machine of the plan.
  func kernelPlan(_ block: BlockShape) -> KernelPlan {
    KernelPlan(block, images: maximumShardSize, panelWidth: machine.panelWidth)
  }

  /// The kernels that the network computes with.
  package var kernels: KernelChoices {
    KernelChoices(
      paths: phases.flatMap(\.blocks).reduce(into: [:]) {
        $0[kernelPlan($1).path.rawValue, default: 0] += 1
      },
      instructionSets: machine.instructionSets, panelWidth: machine.panelWidth)
  }
}
