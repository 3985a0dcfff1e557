/// What was measured of a machine, from which runs of any size are predicted: seconds of a rank's own
/// work in a step, block by block, and seconds of sums over the ranks of one host. `repvgg bench step`
/// and `repvgg bench collectives` write it with `--save`; all times are seconds, all sizes images or
/// bytes.
package struct MachineCurves: Sendable, Equatable, Codable {
  package static let currentVersion = 1
  package static let kind = "repvgg machine"

  /// Tells the file from any other JSON.
  package var format = MachineCurves.kind
  package var version = MachineCurves.currentVersion
  package var machine: Host
  package var steps: [Step] = []
  package var sums: [Sum] = []

  /// What must be the same for two measurements to stand in one file.
  package struct Host: Sendable, Equatable, Codable {
    package var name: String
    package var cpu: String
    package var cores: Int
    package var memoryBytes: Int
    package var instructionSets: [String]
    package var panelWidth: Int
    package var programVersion: String

    package init(
      name: String, cpu: String, cores: Int, memoryBytes: Int, instructionSets: [String],
      panelWidth: Int, programVersion: String
    ) {
      self.name = name
      self.cpu = cpu
      self.cores = cores
      self.memoryBytes = memoryBytes
      self.instructionSets = instructionSets
      self.panelWidth = panelWidth
      self.programVersion = programVersion
    }

    /// The first thing in which another machine differs, with both values; nil where none does. Names
    /// of hosts may differ, as a cluster's do, and the memory, of which some is always taken.
    package func difference(from other: Host) -> String? {
      let pairs = [
        ("CPU", cpu, other.cpu), ("cores", "\(cores)", "\(other.cores)"),
        (
          "kernels", instructionSets.joined(separator: " "),
          other.instructionSets.joined(separator: " ")
        ),
        ("panels", "\(panelWidth)", "\(other.panelWidth)"),
        ("program", programVersion, other.programVersion),
      ]
      return pairs.first { $0.1 != $0.2 }.map { "\($0.0) '\($0.1)' and not '\($0.2)'" }
    }
  }

  /// A step of `ranks` ranks that compute at the same time on one host and wait for nobody: what each
  /// of them takes, with `shards` shards of `shardImages` images and `threads` threads.
  package struct Step: Sendable, Equatable, Codable {
    package var model: String
    package var classes: Int
    /// Elements of the parameter arena.
    package var parameters: Int
    package var ranks: Int
    package var threads: Int
    package var shards: Int
    package var shardImages: Int
    /// In forward order.
    package var blocks: [Block]
    /// The classifier, forward and backward, with the loss.
    package var head: Double
    /// The check of the gradients and the optimizer.
    package var update: Double
    /// What ranks that meet in every block would lose by waiting for the slowest of them; absent where
    /// it was not measured.
    package var waiting: Double?

    package init(
      model: String, classes: Int, parameters: Int, ranks: Int, threads: Int, shards: Int,
      shardImages: Int, blocks: [Block], head: Double, update: Double, waiting: Double? = nil
    ) {
      self.model = model
      self.classes = classes
      self.parameters = parameters
      self.ranks = ranks
      self.threads = threads
      self.shards = shards
      self.shardImages = shardImages
      self.blocks = blocks
      self.head = head
      self.update = update
      self.waiting = waiting
    }

    package var seconds: Double {
      blocks.reduce(head + update) { $0 + $1.forward + $1.backward }
    }

    /// Whether a new measurement takes the place of this one.
    func isOfSameKind(as other: Step) -> Bool {
      (model, classes, parameters, ranks, threads) == (
        other.model, other.classes, other.parameters, other.ranks, other.threads
      )
        && (shards, shardImages) == (other.shards, other.shardImages)
        && blocks.map(\.shape) == other.blocks.map(\.shape)
    }
  }

  package struct Block: Sendable, Equatable, Codable {
    package var shape: BlockShape
    package var forward: Double
    package var backward: Double

    package init(shape: BlockShape, forward: Double, backward: Double) {
      self.shape = shape
      self.forward = forward
      self.backward = backward
    }
  }

  /// A sum over `ranks` ranks of one host.
  package struct Sum: Sendable, Equatable, Codable {
    package var ranks: Int
    /// `float64`: blocking, as statistics are summed; `float32`: started and waited for, as gradients.
    package var type: RunPlan.Message.ElementType
    package var bytes: Int
    package var seconds: Double

    package init(
      ranks: Int, type: RunPlan.Message.ElementType, bytes: Int, seconds: Double
    ) {
      self.ranks = ranks
      self.type = type
      self.bytes = bytes
      self.seconds = seconds
    }
  }

  package init(machine: Host) { self.machine = machine }

  /// Takes a measurement in, in place of an earlier one of the same kind.
  package mutating func add(_ step: Step) {
    steps.removeAll { $0.isOfSameKind(as: step) }
    steps.append(step)
  }

  package mutating func add(_ sum: Sum) {
    sums.removeAll { ($0.ranks, $0.type, $0.bytes) == (sum.ranks, sum.type, sum.bytes) }
    sums.append(sum)
  }

  /// What makes the curves unusable, with the place; nil where they can be used. A file may hold
  /// anything: behind this check no size overflows and no time is negative.
  package var flaw: String? {
    if format != Self.kind { return "format: '\(format)' is not '\(Self.kind)'" }
    if version != Self.currentVersion {
      return "version: \(version), and this program reads \(Self.currentVersion)"
    }
    if !(1...65_536).contains(machine.cores) { return "machine.cores: \(machine.cores)" }
    if machine.memoryBytes < 0 { return "machine.memory_bytes: \(machine.memoryBytes)" }
    if ![8, 16, 32].contains(machine.panelWidth) {
      return "machine.panel_width: \(machine.panelWidth)"
    }
    for (index, step) in steps.enumerated() {
      if let flaw = step.flaw { return "steps[\(index)].\(flaw)" }
    }
    for (index, sum) in sums.enumerated() {
      if let flaw = sum.flaw { return "sums[\(index)].\(flaw)" }
    }
    return nil
  }
}

extension MachineCurves.Step {
  fileprivate var flaw: String? {
    let counts = [
      ("classes", classes), ("parameters", parameters), ("ranks", ranks), ("threads", threads),
      ("shards", shards), ("shard_images", shardImages),
    ]
    for (name, count) in counts where !(1...(1 << 40)).contains(count) {
      return "\(name): \(count)"
    }
    if blocks.isEmpty { return "blocks: none" }
    for (index, block) in blocks.enumerated() {
      if let flaw = block.shape.flaw { return "blocks[\(index)].shape.\(flaw)" }
      if !isTime(block.forward) { return "blocks[\(index)].forward: \(block.forward)" }
      if !isTime(block.backward) { return "blocks[\(index)].backward: \(block.backward)" }
    }
    if !isTime(head) { return "head: \(head)" }
    if let waiting, !isTime(waiting) { return "waiting: \(waiting)" }
    return isTime(update) ? nil : "update: \(update)"
  }
}

extension MachineCurves.Sum {
  fileprivate var flaw: String? {
    if !(1...65_536).contains(ranks) { return "ranks: \(ranks)" }
    if !(1...(1 << 40)).contains(bytes) { return "bytes: \(bytes)" }
    return isTime(seconds) ? nil : "seconds: \(seconds)"
  }
}

extension BlockShape {
  fileprivate var flaw: String? {
    let sizes = [
      ("input_channels", inputChannels), ("output_channels", outputChannels), ("stride", stride),
      ("groups", groups), ("input_height", inputHeight), ("input_width", inputWidth),
    ]
    for (name, size) in sizes where !(1...65_536).contains(size) { return "\(name): \(size)" }
    if !(0...65_536).contains(squeezeChannels) { return "squeeze_channels: \(squeezeChannels)" }
    if groups > min(inputChannels, outputChannels) { return "groups: \(groups)" }
    return nil
  }
}

/// A day at most.
private func isTime(_ seconds: Double) -> Bool { (0...86_400).contains(seconds) }
