import Kernels
import RunPlanning
import Tensors

/// One block in its deploy form: a 3x3 convolution with bias, squeeze-and-excitation where the network
/// has it, and a ReLU. Its weights are kept only as the kernels read them, transformed once.
final class DeployLayer {
  let shape: BlockShape
  private let kernel: Kernel
  /// In the network's arena.
  private let packed: UnsafeMutablePointer<Float>
  private let bias: Arena
  private let excitationWeights: Arena?
  private let excitation: SqueezeExcitation?

  private enum Kernel {
    /// An image's first layer, with few channels: the patches of a band of pixels are multiplied.
    case stem(StemConvolution)
    case convolution(Convolution)
  }

  /// Elements of the workspace that the layer of `shape` takes for `images` images at a time: of the
  /// shared part, of each thread's, and of the weights as files order them.
  static func needs(_ shape: BlockShape, images: Int) -> (shared: Int, worker: Int, weights: Int) {
    let convolution = shape.convolution(kernel: 3)
    if StemConvolution.applies(to: convolution) {
      let stem = StemConvolution(convolution)
      return (0, stem.workerCount, convolution.weightCount)
    }
    return (
      convolution.forwardCount(images: images), convolution.workerCount, convolution.weightCount
    )
  }

  /// Elements of the layer's weights as the kernels read them.
  static func packedCount(_ shape: BlockShape) -> Int {
    let convolution = shape.convolution(kernel: 3)
    return StemConvolution.applies(to: convolution)
      ? StemConvolution(convolution).denseCount : convolution.forwardWeightCount
  }

  /// - Parameters:
  ///   - packed: `packedCount` elements, valid as long as the layer.
  ///   - tensors: deploy weights under published names, checked against the table.
  ///   - staging: as many elements as the layer has weights; used only here.
  init(
    _ shape: BlockShape, packed: UnsafeMutablePointer<Float>, tensors: NamedTensors,
    table: [String: ParameterTable.Entry], staging: UnsafeMutablePointer<Float>, space: Workspace,
    pool: WorkerPool
  ) {
    self.shape = shape
    self.packed = packed
    let convolution = shape.convolution(kernel: 3)
    let reader = TensorReader(tensors: tensors, table: table)
    reader.copy("\(shape.key).rbr_reparam.weight", to: staging)
    bias = Arena(count: shape.outputChannels)
    reader.copy("\(shape.key).rbr_reparam.bias", to: bias.base)
    if StemConvolution.applies(to: convolution) {
      let stem = StemConvolution(convolution)
      kernel = .stem(stem)
      stem.pack(staging, into: packed)
    } else {
      kernel = .convolution(convolution)
      _ = convolution.packForward(staging, into: packed, space: space, pool: pool)
    }
    let excited = SqueezeParts<String>(of: shape).map { reader.excitation($0, of: shape, pool) }
    (excitationWeights, excitation) = (excited?.0, excited?.1)
  }

  /// Bytes that the layer keeps beside its packed weights.
  var bytes: Int {
    let arenas = [bias, excitationWeights].compactMap { $0 }
    return arenas.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
      + (excitation?.bytes ?? 0)
  }

  /// output ← ReLU(input ⋆ weights + bias) of `images` images that lie side by side.
  func run(
    images: Int, input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>,
    space: Workspace, pool: WorkerPool, scratch: (_ worker: Int) -> UnsafeMutablePointer<Float>
  ) {
    switch kernel {
    case .stem(let stem):
      pool.run(images) { image, worker in
        stem.writeOutput(
          image..<image + 1, input: input, fused: packed, bias: bias.base,
          rectify: excitation == nil, scratch: scratch(worker), output: output)
        excite(image..<image + 1, of: output, worker)
      }
    case .convolution(let convolution):
      convolution.forward(
        images: images, input: input, weights: packed, output: output, space: space,
        pool: pool, finish: OutputFinish(bias: bias.base, rectify: excitation == nil),
        before: { _, _, _ in }, after: { images, _, worker in excite(images, of: output, worker) })
    }
  }

  private func excite(
    _ images: Range<Int>, of output: UnsafeMutablePointer<Float>, _ worker: Int
  ) {
    guard let excitation else { return }
    for image in images {
      // Nothing is kept of an image: a place for each thread is enough.
      excitation.excite(
        output + image * shape.outputCount, slots: worker..<worker + 1, sums: nil, worker: worker)
    }
  }
}

/// Tensors on their way from a file's order to memory's.
struct TensorReader {
  let tensors: NamedTensors
  let table: [String: ParameterTable.Entry]

  func copy(_ name: String, to target: UnsafeMutablePointer<Float>) {
    guard let entry = table[name], let values = tensors[name]?.floats else {
      fatalError("\(name) was not checked")
    }
    values.withUnsafeBufferPointer { file in
      guard let first = file.baseAddress else { return }
      WeightOrder.toMemory(first, entry: entry, into: target)
    }
  }

  func excitation(
    _ names: SqueezeParts<String>, of shape: BlockShape, _ pool: WorkerPool
  ) -> (Arena, SqueezeExcitation) {
    var places = SlotAllocator()
    let slots = names.map { places.reserve(table[$0]?.count ?? 0) }
    let arena = Arena(count: places.count)
    for (name, slot) in zip(names.inOrder, slots.inOrder) {
      copy(name, to: arena.base + slot.offset)
    }
    let excitation = SqueezeExcitation(
      shape, weights: slots.map { UnsafePointer(arena.base + $0.offset) }, images: pool.threads,
      trains: false, threads: pool.threads)
    return (arena, excitation)
  }
}
