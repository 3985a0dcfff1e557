extension RunPlan {
  /// One stage of the network as the plan shows it; the classifier counts as the last.
  struct Stage: Sendable, Equatable {
    var name: String
    var blocks: Int
    var channels: Int
    var height: Int
    var width: Int
    /// `1`, or the groups that occur: `1, 4`.
    var groups: String
    /// Paths of the 3x3 convolutions, those that occur: `direct, winograd-4x4`; empty for the
    /// classifier.
    var path: String
    var trainingParameters: Int
    var deployParameters: Int
    var trainingMACs: Int
    var deployMACs: Int
  }

  var stages: [Stage] {
    let count = (blocks.last?.stage ?? 0) + 1
    let stages = (0..<count).compactMap { index -> Stage? in
      let members = blocks.filter { $0.stage == index }
      guard let last = members.last else { return nil }
      let name = "stage\(index)"
      let groups = Set(members.map(\.groups)).sorted()
      return Stage(
        name: name, blocks: members.count, channels: last.outputChannels,
        height: last.outputHeight, width: last.outputWidth,
        groups: groups.map(String.init).joined(separator: ", "),
        path: Self.distinct(members.map { kernelPlan($0).path.rawValue }).joined(separator: ", "),
        trainingParameters: Self.parameters(trainingTable, below: name + "."),
        deployParameters: Self.parameters(deployTable, below: name + "."),
        trainingMACs: members.reduce(0) { $0 + CostModel.trainingMACs($1) },
        deployMACs: members.reduce(0) { $0 + CostModel.deployMACs($1) })
    }
    let linear = Self.parameters(trainingTable, below: "linear.")
    return stages + [
      Stage(
        name: "linear", blocks: 1, channels: classes, height: 1, width: 1, groups: "1",
        path: "", trainingParameters: linear, deployParameters: linear,
        trainingMACs: cost.linearMACs,
        deployMACs: cost.linearMACs)
    ]
  }

  /// Each text once, in the order in which they first occur.
  private static func distinct(_ texts: [String]) -> [String] {
    texts.enumerated().filter { texts.firstIndex(of: $1) == $0 }.map(\.element)
  }

  private static func parameters(_ table: ParameterTable, below prefix: String) -> Int {
    table.entries.reduce(0) { sum, entry in
      sum + (entry.kind.isTrainable && entry.name.hasPrefix(prefix) ? entry.count : 0)
    }
  }

  /// Messages of one purpose taken together.
  struct Traffic: Sendable, Equatable {
    var purpose: Message.Purpose
    var messages: Int
    var bytes: Int
    var elementType: Message.ElementType
    var isBlocking: Bool
  }

  var traffic: [Traffic] {
    Message.Purpose.allCases.compactMap { purpose in
      let members = messages.filter { $0.purpose == purpose }
      guard let first = members.first else { return nil }
      return Traffic(
        purpose: purpose, messages: members.count, bytes: members.reduce(0) { $0 + $1.bytes },
        elementType: first.elementType, isBlocking: first.isBlocking)
    }
  }
}
