/// A RepVGG network as a value: everything that decides its shapes, apart from the image size and
/// the number of classes.
///
/// Stages are counted as in the published code: stage 0 is the stem, one block; stages 1…n follow.
/// Layers are numbered over the whole network, the stem being layer 0.
///
/// Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, table 2.
package struct Architecture: Sendable, Equatable, Codable {
  /// `RepVGG-A0`, or `custom` for one that was spelled out.
  package var name: String
  /// Output channels of stage 0.
  package var stemWidth: Int
  /// Stride of stage 0.
  package var stemStride: Int
  /// Blocks of stages 1…n.
  package var depths: [Int]
  /// Output channels of stages 1…n.
  package var widths: [Int]
  /// Stride of the first block of stages 1…n; the others have stride 1.
  package var strides: [Int]
  /// Layer index → groups of both convolutions of that block; layers not named have one group.
  package var groups: [Int: Int]
  /// Whether every block carries squeeze-and-excitation (reduction 16) on its branch sum.
  package var squeezeExcitation: Bool

  package init(
    name: String = "custom", stemWidth: Int, stemStride: Int = 2, depths: [Int], widths: [Int],
    strides: [Int]? = nil, groups: [Int: Int] = [:], squeezeExcitation: Bool = false
  ) {
    self.name = name
    self.stemWidth = stemWidth
    self.stemStride = stemStride
    self.depths = depths
    self.widths = widths
    self.strides = strides ?? depths.map { _ in 2 }
    self.groups = groups
    self.squeezeExcitation = squeezeExcitation
  }

  /// Number of blocks, the stem included.
  package var layerCount: Int { 1 + depths.reduce(0, +) }

  /// Channels that enter the classifier.
  package var featureWidth: Int { widths.last ?? stemWidth }
}

extension Architecture {
  /// The fourteen published networks, in the order of the paper's tables.
  package static let zoo: [Architecture] = [
    member("A0", a: 0.75, b: 2.5, depths: depthsA),
    member("A1", a: 1, b: 2.5, depths: depthsA),
    member("A2", a: 1.5, b: 2.75, depths: depthsA),
    member("B0", a: 1, b: 2.5, depths: depthsB),
    member("B1", a: 2, b: 4, depths: depthsB),
    member("B1g2", a: 2, b: 4, depths: depthsB, groups: 2),
    member("B1g4", a: 2, b: 4, depths: depthsB, groups: 4),
    member("B2", a: 2.5, b: 5, depths: depthsB),
    member("B2g2", a: 2.5, b: 5, depths: depthsB, groups: 2),
    member("B2g4", a: 2.5, b: 5, depths: depthsB, groups: 4),
    member("B3", a: 3, b: 5, depths: depthsB),
    member("B3g2", a: 3, b: 5, depths: depthsB, groups: 2),
    member("B3g4", a: 3, b: 5, depths: depthsB, groups: 4),
    member("D2se", a: 2.5, b: 5, depths: [8, 14, 24, 1], squeezeExcitation: true),
  ]

  private static let depthsA = [2, 4, 14, 1]
  private static let depthsB = [4, 6, 16, 1]

  /// One network of the zoo by the paper's width multipliers `a` (stages 1–3) and `b` (stage 4).
  private static func member(
    _ suffix: String, a: Double, b: Double, depths: [Int], groups: Int = 1,
    squeezeExcitation: Bool = false
  ) -> Architecture {
    // Grouped members have groups on layers 2, 4, …, 26 (published code: optional_groupwise_layers).
    let grouped = groups == 1 ? [] : stride(from: 2, through: 26, by: 2).map { ($0, groups) }
    return Architecture(
      name: "RepVGG-" + suffix,
      stemWidth: min(64, Int(64 * a)),
      depths: depths,
      widths: [Int(64 * a), Int(128 * a), Int(256 * a), Int(512 * b)],
      groups: Dictionary(uniqueKeysWithValues: grouped),
      squeezeExcitation: squeezeExcitation)
  }
}

/// One RepVGG block: what its three branches share.
package struct BlockShape: Sendable, Equatable, Codable {
  /// Published key prefix: `stage0`, `stage1.0`, ….
  package var key: String
  /// Index of the layer over the whole network; the stem is 0.
  package var layer: Int
  package var stage: Int
  package var inputChannels: Int
  package var outputChannels: Int
  package var stride: Int
  package var groups: Int
  /// Hidden channels of squeeze-and-excitation, or 0 without it.
  package var squeezeChannels: Int
  /// Pixels of the input, `[height, width]`.
  package var inputHeight: Int
  package var inputWidth: Int

  /// The identity branch exists where the block keeps the shape of its input.
  package var hasIdentity: Bool { inputChannels == outputChannels && stride == 1 }
  /// Branches in the order of the statistics messages: 3x3, 1x1, identity.
  package var branchCount: Int { hasIdentity ? 3 : 2 }
  /// Padding 1 and kernel 3, or padding 0 and kernel 1: both give ceil(input / stride).
  package var outputHeight: Int { (inputHeight + stride - 1) / stride }
  package var outputWidth: Int { (inputWidth + stride - 1) / stride }
  package var outputPixels: Int { outputHeight * outputWidth }
  package var inputPixels: Int { inputHeight * inputWidth }
}

extension Architecture {
  /// The blocks in forward order for images of `height` x `width` pixels.
  package func blocks(inputChannels: Int, height: Int, width: Int) -> [BlockShape] {
    var blocks: [BlockShape] = []
    var channels = inputChannels
    var (height, width) = (height, width)
    func append(key: String, stage: Int, outputChannels: Int, stride: Int) {
      let block = BlockShape(
        key: key, layer: blocks.count, stage: stage, inputChannels: channels,
        outputChannels: outputChannels, stride: stride, groups: groups[blocks.count] ?? 1,
        squeezeChannels: squeezeExcitation ? outputChannels / 16 : 0,
        inputHeight: height, inputWidth: width)
      (channels, height, width) = (outputChannels, block.outputHeight, block.outputWidth)
      blocks.append(block)
    }
    append(key: "stage0", stage: 0, outputChannels: stemWidth, stride: stemStride)
    for stage in depths.indices {
      for index in 0..<depths[stage] {
        append(
          key: "stage\(stage + 1).\(index)", stage: stage + 1, outputChannels: widths[stage],
          stride: index == 0 ? strides[stage] : 1)
      }
    }
    return blocks
  }
}
