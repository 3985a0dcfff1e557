import Kernels
import RunPlanning
import Tensors

/// RepVGG in its deploy form: one 3x3 convolution with bias and a ReLU for each block (with
/// squeeze-and-excitation between them in the networks that have it), then the classifier. Made by fusing a `TrainingNetwork`; for inference only.
package final class DeployNetwork {
  package let shape: NetworkShape
  private let table: ParameterTable
  private let pool: WorkerPool
  private let parameters: Arena
  private let blocks: [Block]
  private let linearWeight: UnsafeMutablePointer<Float>
  private let linearBias: UnsafeMutablePointer<Float>
  /// The input of a layer and its output, by turns.
  private let buffers: [Arena]
  private let shared: Arena
  private let scratch: Arena
  private let workspace: Workspace
  /// Every block's weights as its convolution reads them.
  private let packed: [Arena]
  private let head: ClassifierHead
  /// Called before each block of a pass: whoever watches sees that it gets on.
  package var onBlock: () -> Void = {}

  private struct Block {
    var convolution: Convolution
    var weight: UnsafeMutablePointer<Float>
    var bias: UnsafeMutablePointer<Float>
    var excitation: SqueezeExcitation?
  }

  /// `tensors`: deploy weights with published names and shapes. `shape.shards` chunks of at most
  /// `shape.shardCapacity` images are evaluated together.
  package init(shape: NetworkShape, tensors: NamedTensors, pool: WorkerPool) throws {
    self.shape = shape
    self.pool = pool
    table = ParameterTable.deploy(blocks: shape.blocks, classes: shape.classes)
    try TensorCheck.check(tensors, against: table)
    let layout = ArenaLayout(table)
    let parameters = Arena(count: layout.count)
    var pointers: [String: UnsafeMutablePointer<Float>] = [:]
    for place in layout.places {
      pointers[place.entry.name] = parameters.base + place.offset
      tensors[place.entry.name]?.floats?.withUnsafeBufferPointer { values in
        guard let file = values.baseAddress else { return }
        WeightOrder.toMemory(file, entry: place.entry, into: parameters.base + place.offset)
      }
    }
    func pointer(_ name: String) -> UnsafeMutablePointer<Float> {
      guard let pointer = pointers[name] else { fatalError("no parameter \(name) in the layout") }
      return pointer
    }
    self.parameters = parameters
    blocks = shape.blocks.map { block in
      Block(
        convolution: block.convolution(kernel: 3),
        weight: pointer("\(block.key).rbr_reparam.weight"),
        bias: pointer("\(block.key).rbr_reparam.bias"),
        excitation: SqueezeParts<String>(of: block).map { names in
          // Nothing is kept: a place for each thread is enough.
          SqueezeExcitation(
            block, weights: names.map { UnsafePointer(pointer($0)) }, images: pool.threads,
            trains: false, threads: pool.threads)
        })
    }
    linearWeight = pointer("linear.weight")
    linearBias = pointer("linear.bias")
    let largest = shape.imageCapacity * (shape.blocks.map(\.outputCount).max() ?? 0)
    buffers = [Arena(count: largest), Arena(count: largest)]
    let workerCount = ((blocks.map(\.convolution.workerCount).max() ?? 0) + 15) / 16 * 16
    shared = Arena(
      count: blocks.map { $0.convolution.forwardCount(images: shape.shardCapacity) }.max() ?? 0)
    scratch = Arena(count: workerCount * pool.threads)
    workspace = Workspace(
      shared: shared.base, workers: scratch.base, workerCount: workerCount)
    packed = blocks.map { Arena(count: $0.convolution.forwardWeightCount) }
    for (block, packed) in zip(blocks, packed) {
      _ = block.convolution.packForward(
        block.weight, into: packed.base, space: workspace, pool: pool)
    }
    head = ClassifierHead(shape: shape, pool: pool, trains: false)
  }

  /// Computes the logits of every chunk: one entry for each of `shape.shards`, which may be empty.
  package func evaluate(_ batch: [ShardImages]) {
    precondition(batch.count == shape.shards, "one input for each chunk")
    var inputs = batch
    for index in blocks.indices {
      onBlock()
      let imageCount = shape.blocks[index].outputCount
      let outputs = buffers[index % 2]
      for (number, input) in inputs.enumerated() {
        run(index, input, output: chunk(number, of: outputs, imageCount))
      }
      inputs = batch.indices.map {
        ShardImages(
          pixels: UnsafePointer(chunk($0, of: outputs, imageCount)), count: batch[$0].count)
      }
    }
    let last = blocks.count - 1
    head.forward(
      counts: batch.map(\.count), weights: linearWeight, bias: linearBias,
      prepare: { _, _, _ in },
      activations: { chunk($0, of: buffers[last % 2], shape.blocks[last].outputCount) })
  }

  /// Logits of one chunk, [count][classes], valid until the next pass.
  package func logits(shard: Int) -> UnsafePointer<Float> {
    UnsafePointer(head.logits(shard: shard))
  }

  private func chunk(
    _ index: Int, of arena: Arena, _ imageCount: Int
  ) -> UnsafeMutablePointer<Float> {
    arena.base + index * shape.shardCapacity * imageCount
  }

  private func run(_ index: Int, _ input: ShardImages, output: UnsafeMutablePointer<Float>) {
    let (block, imageCount) = (blocks[index], shape.blocks[index].outputCount)
    let convolution = block.convolution
    convolution.forward(
      images: input.count, input: input.pixels, weights: packed[index].base, output: output,
      space: workspace, pool: pool, before: { _, _, _ in },
      after: { images, _, worker in
        addBias(
          block.bias, rectify: block.excitation == nil,
          rows: images.count * convolution.outputPixels, channels: convolution.outputChannels,
          to: output + images.lowerBound * imageCount)
        guard let excitation = block.excitation else { return }
        for image in images {
          excitation.excite(
            output + image * imageCount, slots: worker..<worker + 1, sums: nil, worker: worker)
        }
      })
  }
}
