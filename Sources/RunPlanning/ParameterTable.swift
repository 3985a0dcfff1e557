/// Every named tensor of a network: published names, shapes and kinds, in registration order; and
/// the place of each trainable one in the flat arenas of parameters, gradients and momentum.
package struct ParameterTable: Sendable, Equatable {
  package enum Kind: String, Sendable, Codable {
    case convolutionWeight, linearWeight, bias, batchNormScale, batchNormShift
    case runningMean, runningVariance, batchCount

    /// Trained by the optimizer, as opposed to updated from batch statistics.
    package var isTrainable: Bool {
      switch self {
      case .convolutionWeight, .linearWeight, .bias, .batchNormScale, .batchNormShift: true
      case .runningMean, .runningVariance, .batchCount: false
      }
    }
  }

  /// One tensor as files carry it.
  package struct Entry: Sendable, Equatable {
    /// Published key, e.g. `stage1.0.rbr_dense.conv.weight`.
    package var name: String
    /// Published shape, e.g. `[cout, cin / groups, 3, 3]`; `[]` for the scalar batch count.
    package var shape: [Int]
    package var kind: Kind
    /// Groups of a convolution weight, 1 for everything else.
    package var groups: Int
    /// Whether weight decay applies (FACTS: convolution and linear weights, identity scales).
    package var decays: Bool

    package var count: Int { shape.reduce(1, *) }
  }

  package var entries: [Entry]

  package init(entries: [Entry]) { self.entries = entries }

  /// Trainable parameters: running statistics and batch counts are not counted.
  package var parameterCount: Int {
    entries.reduce(0) { $0 + ($1.kind.isTrainable ? $1.count : 0) }
  }
}

extension ParameterTable {
  /// The training form: three branches with BatchNorm in each, then the classifier.
  package static func training(blocks: [BlockShape], classes: Int) -> ParameterTable {
    var table = ParameterTable(entries: [])
    for block in blocks {
      let (cin, cout) = (block.inputChannels, block.outputChannels)
      table.appendSqueezeExcitation(block)
      if block.hasIdentity {
        table.appendBatchNorm("\(block.key).rbr_identity", channels: cout, scaleDecays: true)
      }
      for (branch, kernel) in [("rbr_dense", 3), ("rbr_1x1", 1)] {
        table.appendConvolution(
          "\(block.key).\(branch).conv.weight",
          shape: [cout, cin / block.groups, kernel, kernel], groups: block.groups)
        table.appendBatchNorm("\(block.key).\(branch).bn", channels: cout, scaleDecays: false)
      }
    }
    table.appendLinear(blocks: blocks, classes: classes)
    return table
  }

  /// The deploy form: one 3x3 convolution with bias a block, then the classifier.
  package static func deploy(blocks: [BlockShape], classes: Int) -> ParameterTable {
    var table = ParameterTable(entries: [])
    for block in blocks {
      table.appendSqueezeExcitation(block)
      table.appendConvolution(
        "\(block.key).rbr_reparam.weight",
        shape: [block.outputChannels, block.inputChannels / block.groups, 3, 3],
        groups: block.groups)
      table.append("\(block.key).rbr_reparam.bias", [block.outputChannels], .bias)
    }
    table.appendLinear(blocks: blocks, classes: classes)
    return table
  }

  private mutating func append(
    _ name: String, _ shape: [Int], _ kind: Kind, groups: Int = 1, decays: Bool = false
  ) {
    entries.append(Entry(name: name, shape: shape, kind: kind, groups: groups, decays: decays))
  }

  private mutating func appendConvolution(_ name: String, shape: [Int], groups: Int) {
    append(name, shape, .convolutionWeight, groups: groups, decays: true)
  }

  private mutating func appendBatchNorm(_ prefix: String, channels: Int, scaleDecays: Bool) {
    append("\(prefix).weight", [channels], .batchNormScale, decays: scaleDecays)
    append("\(prefix).bias", [channels], .batchNormShift)
    append("\(prefix).running_mean", [channels], .runningMean)
    append("\(prefix).running_var", [channels], .runningVariance)
    append("\(prefix).num_batches_tracked", [], .batchCount)
  }

  private mutating func appendSqueezeExcitation(_ block: BlockShape) {
    guard block.squeezeChannels > 0 else { return }
    let (channels, squeezed) = (block.outputChannels, block.squeezeChannels)
    appendConvolution("\(block.key).se.down.weight", shape: [squeezed, channels, 1, 1], groups: 1)
    append("\(block.key).se.down.bias", [squeezed], .bias)
    appendConvolution("\(block.key).se.up.weight", shape: [channels, squeezed, 1, 1], groups: 1)
    append("\(block.key).se.up.bias", [channels], .bias)
  }

  private mutating func appendLinear(blocks: [BlockShape], classes: Int) {
    let features = blocks.last?.outputChannels ?? 0
    append("linear.weight", [classes, features], .linearWeight, decays: true)
    append("linear.bias", [classes], .bias)
  }
}

/// Where each trainable tensor lies in the flat arenas of parameters, gradients and momentum.
///
/// Two regions. First the tensors whose gradients are reduced in buckets (convolutions, linear,
/// squeeze-and-excitation), in backward order, so that a bucket is a contiguous slice that is
/// complete when the backward pass has gone past it. Then BatchNorm scales and shifts, whose
/// gradients are already global when statistics are synchronised.
package struct ArenaLayout: Sendable, Equatable {
  package struct Place: Sendable, Equatable {
    package var entry: ParameterTable.Entry
    /// In Float32 elements from the start of the arena; a multiple of `alignment`.
    package var offset: Int
    package var range: Range<Int> { offset..<offset + entry.count }
  }

  /// Elements to which every place is aligned: 64 bytes, a cache line and an AVX-512 register.
  package static let alignment = 16

  package var places: [Place]
  /// Elements of the bucketed region, padding included: `0..<weightCount`.
  package var weightCount: Int
  /// Elements of the whole arena, padding included.
  package var count: Int

  package init(_ table: ParameterTable) {
    var offset = 0
    var places: [Place] = []
    func place(_ entry: ParameterTable.Entry) {
      places.append(Place(entry: entry, offset: offset))
      offset += (entry.count + Self.alignment - 1) / Self.alignment * Self.alignment
    }
    func isBatchNorm(_ entry: ParameterTable.Entry) -> Bool {
      entry.kind == .batchNormScale || entry.kind == .batchNormShift
    }
    let trainable = table.entries.filter(\.kind.isTrainable)
    for entry in trainable.reversed() where !isBatchNorm(entry) { place(entry) }
    weightCount = offset
    for entry in trainable where isBatchNorm(entry) { place(entry) }
    count = offset
    self.places = places
  }

  /// Elements of the largest gradient that a counter over shards sums: all of a block's in the weight
  /// region, which lie side by side from the 1x1 kernel's on, or the classifier's.
  package func largestGradient(blocks: [BlockShape]) -> Int {
    var ranges: [String: Range<Int>] = [:]
    for place in places { ranges[place.entry.name] = place.range }
    return blocks.reduce(ranges["linear.weight"]?.count ?? 0) { largest, block in
      let last = block.squeezeChannels > 0 ? "se.down.weight" : "rbr_dense.conv.weight"
      guard let end = ranges["\(block.key).\(last)"]?.upperBound,
        let start = ranges["\(block.key).rbr_1x1.conv.weight"]?.lowerBound
      else { fatalError("no weights of \(block.key) in the layout") }
      return max(largest, end - start)
    }
  }

  /// Bytes of the smallest bucket that is cut before it has as many as it should.
  private static let smallestEarlyCut = 131_072

  /// The weight region cut into buckets of about `bytes`, each ending where a tensor ends; in the order
  /// in which the backward pass completes them. Towards the end they become smaller, each about half of
  /// what is left: the last leaves when nothing is computed any more that could hide it.
  package func buckets(bytes: Int) -> [Range<Int>] {
    var buckets: [Range<Int>] = []
    var start = 0
    let ends = places.filter { $0.offset < weightCount }.dropFirst().map(\.offset) + [weightCount]
    for end in ends {
      let (size, rest) = (4 * (end - start), 4 * (weightCount - end))
      if size >= bytes || rest == 0 || size >= max(rest, Self.smallestEarlyCut) {
        buckets.append(start..<end)
        start = end
      }
    }
    return buckets
  }
}

extension BlockShape {
  /// Multiply-accumulates of one image: `kernelArea` 9 for the 3x3 branch, 1 for the 1x1 branch.
  package func macs(kernelArea: Int) -> Int {
    outputPixels * outputChannels * (inputChannels / groups) * kernelArea
  }

  /// Multiply-accumulates of squeeze-and-excitation's two products for one image.
  package var squeezeMACs: Int { 2 * outputChannels * squeezeChannels }

  /// Float32 values that squeeze-and-excitation keeps of one image from the forward for the backward
  /// pass, and in it for the weight gradients.
  package var squeezeActivations: Int {
    squeezeChannels > 0 ? 4 * outputChannels + 2 * squeezeChannels : 0
  }

  /// Float64 sums of each thread over one image's branch sum, and over its square.
  package var squeezeSums: Int { squeezeChannels > 0 ? 2 * outputChannels : 0 }
}
