import Glibc
import Kernels
import RunPlanning
import Tensors
import Testing
import _TestSupport

@testable import RepVGGModel

/// The network that is shipped.
@Suite struct DeployNetworkTests {
  private static let classes = 7

  private struct Case: CustomTestStringConvertible, Sendable {
    var name: String
    var architecture: Architecture
    var size: Int

    var testDescription: String { name }
    var blocks: [BlockShape] {
      architecture.blocks(inputChannels: 3, height: size, width: size)
    }
  }

  private static let cases = [
    // Two layers of large images, one by one; then groups.
    Case(
      name: "large and small layers",
      architecture: .init(stemWidth: 8, stemStride: 1, depths: [1, 2], widths: [16, 40]),
      size: 84),
    Case(
      name: "large layers alone",
      architecture: .init(stemWidth: 8, stemStride: 1, depths: [2], widths: [9], strides: [1]),
      size: 41),
    Case(
      name: "small layers, groups",
      architecture: .init(stemWidth: 16, depths: [3, 2], widths: [32, 48], groups: [2: 4, 4: 2]),
      size: 28),
    Case(
      name: "squeeze-and-excitation",
      architecture: .init(
        stemWidth: 16, depths: [2, 1], widths: [48, 80], groups: [2: 2], squeezeExcitation: true),
      size: 96),
  ]

  private static func weights(_ blocks: [BlockShape]) -> NamedTensors {
    var tensors = NamedTensors()
    let table = ParameterTable.deploy(blocks: blocks, classes: classes)
    for (index, entry) in table.entries.enumerated() {
      let scale =
        entry.kind == .bias ? 0.1 : 1 / Float(entry.shape.dropFirst().reduce(1, *)).squareRoot()
      tensors[entry.name] = Tensor(
        shape: entry.shape, testValues(entry.count, seed: UInt64(index + 1)).map { 2 * $0 * scale })
    }
    return tensors
  }

  private static func pixels(_ item: Case, images: Int) -> [Float] {
    nhwc(testTensor(images: images, channels: 3, height: item.size, width: item.size, seed: 11))
  }

  /// Logits of all images, given to the network in runs of `capacity`.
  private static func logits(
    _ item: Case, images: Int, capacity: Int, threads: Int, lastTaskFirst: Bool = false
  ) throws -> [Float] {
    let pool = WorkerPool(threads: threads)
    pool.takesLastTaskFirst = lastTaskFirst
    let network = try DeployNetwork(
      shape: NetworkShape(
        blocks: item.blocks, classes: classes, shards: 1, shardCapacity: capacity),
      tensors: weights(item.blocks), pool: pool)
    var logits: [Float] = []
    pixels(item, images: images).withUnsafeBufferPointer { pixels in
      guard let base = pixels.baseAddress else { return }
      var first = 0
      while first < images {
        let count = min(capacity, images - first)
        network.evaluate([
          ShardImages(pixels: base + first * network.shape.imageCount, count: count)
        ])
        logits += (0..<count * classes).map { network.logits(shard: 0)[$0] }
        first += count
      }
    }
    return logits
  }

  /// An image's logits are the same bits alone, in any company, and on any number of threads.
  @Test(arguments: cases) private func companyAndThreadsDoNotChangeBits(item: Case) throws {
    let images = 37
    let expected = try Self.logits(item, images: images, capacity: images, threads: 1)
    #expect(Set(expected).count > images)
    for capacity in [1, 3, 16, 17, 36] {
      let alone = try Self.logits(item, images: images, capacity: capacity, threads: 1)
      #expect(alone == expected, "\(capacity)")
    }
    for threads in [2, 3] {
      for lastTaskFirst in [false, true] {
        let shared = try Self.logits(
          item, images: images, capacity: images, threads: threads, lastTaskFirst: lastTaskFirst)
        #expect(shared == expected, "\(threads)")
      }
    }
  }

  /// Against the definition, in Float64.
  @Test(arguments: cases) private func logitsAreTheDefinition(item: Case) throws {
    let images = 2
    let tensors = Self.weights(item.blocks)
    var values = testTensor(
      images: images, channels: 3, height: item.size, width: item.size, seed: 11)
    func wide(_ name: String) -> [Double] { (tensors[name]?.floats ?? []).map(Double.init) }
    for block in item.blocks {
      let convolution = ReferenceConvolution(
        kernel: 3, stride: block.stride, groups: block.groups,
        outputChannels: block.outputChannels)
      var output = convolution.forward(values, wide("\(block.key).rbr_reparam.weight"))
      let bias = wide("\(block.key).rbr_reparam.bias")
      let pixels = block.outputPixels
      for place in output.values.indices {
        output.values[place] += bias[place / pixels % block.outputChannels]
      }
      if block.squeezeChannels > 0 { Self.excite(&output, block, wide) }
      for place in output.values.indices { output.values[place] = max(0, output.values[place]) }
      values = output
    }
    let expected = Self.classify(values, wide)
    let computed = try Self.logits(item, images: images, capacity: images, threads: 1)
    #expect(relativeError(computed.map(Double.init), expected) < 1e-5)
  }

  private static func excite(
    _ values: inout ReferenceTensor, _ block: BlockShape, _ wide: (String) -> [Double]
  ) {
    let (channels, pixels, squeezed) = (
      block.outputChannels, block.outputPixels, block.squeezeChannels
    )
    let (down, downBias) = (wide("\(block.key).se.down.weight"), wide("\(block.key).se.down.bias"))
    let (up, upBias) = (wide("\(block.key).se.up.weight"), wide("\(block.key).se.up.bias"))
    for image in 0..<values.values.count / (channels * pixels) {
      let means = (0..<channels).map { channel in
        (0..<pixels).reduce(0.0) {
          $0 + values.values[(image * channels + channel) * pixels + $1]
        } / Double(pixels)
      }
      let hidden = (0..<squeezed).map { unit in
        max(
          0, (0..<channels).reduce(downBias[unit]) { $0 + down[unit * channels + $1] * means[$1] })
      }
      for channel in 0..<channels {
        let input = (0..<squeezed).reduce(upBias[channel]) {
          $0 + up[channel * squeezed + $1] * hidden[$1]
        }
        for pixel in 0..<pixels {
          values.values[(image * channels + channel) * pixels + pixel] *= sigmoid(input)
        }
      }
    }
  }

  private static func classify(
    _ values: ReferenceTensor, _ wide: (String) -> [Double]
  ) -> [Double] {
    let (weights, bias) = (wide("linear.weight"), wide("linear.bias"))
    let (channels, pixels) = (values.channels, values.height * values.width)
    return (0..<values.values.count / (channels * pixels)).flatMap { image in
      let features = (0..<channels).map { channel in
        (0..<pixels).reduce(0.0) {
          $0 + values.values[(image * channels + channel) * pixels + $1]
        } / Double(pixels)
      }
      return (0..<classes).map { label in
        (0..<channels).reduce(bias[label]) { $0 + weights[label * channels + $1] * features[$1] }
      }
    }
  }

  private static func sigmoid(_ value: Double) -> Double { 1 / (1 + exp(-value)) }
}
