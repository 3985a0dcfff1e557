import Kernels
import RunPlanning
import Tensors

/// One RepVGG block in its training form: y = ReLU(BN(conv3x3(x)) + BN(conv1x1(x)) + BN(x)), the
/// last branch where the block keeps its input's shape (RepVGG, section 3.2); with
/// squeeze-and-excitation on the sum, before the ReLU, in the networks that have it.
///
/// Forward and backward run over all shards of a rank; BatchNorm of all branches takes one
/// collective each way. Element-wise passes run where their images are in the cache: a block's output
/// is written when the next block's convolution reads it, and its backward sums are made when the
/// next block has written their gradient.
class TrainingBlock {
  let shape: BlockShape
  let index: Int
  let memory: NetworkMemory
  let pool: WorkerPool
  let parameters: BlockParameters
  let counter: GradientCounter
  let dense: Convolution
  let pointwise: Convolution
  let workspace: BlockWorkspace
  let excitation: SqueezeExcitation?
  /// With synchronised statistics one set for all shards, with local ones a set for each.
  let batchNorm: RunConfig.BatchNormMode
  var statistics: BlockStatistics
  /// Whether the pass at hand normalises with the running statistics, which are in set 0.
  var usesRunningStatistics = false
  /// The message of the block's collectives, the larger of both.
  let message: UnsafeMutableBufferPointer<Double>
  private let statisticsStore: Arena
  /// [shards][branches][2][channels]: γ's and β's gradients of every shard, for local statistics.
  let localGradients: Arena

  required init(
    shape: BlockShape, index: Int, network: NetworkShape, memory: NetworkMemory, pool: WorkerPool,
    parameters: BlockParameters, counter: GradientCounter
  ) {
    self.shape = shape
    self.index = index
    self.memory = memory
    self.pool = pool
    self.parameters = parameters
    self.counter = counter
    dense = shape.convolution(kernel: 3).packing(images: network.shardCapacity)
    pointwise = shape.convolution(kernel: 1)
    workspace = BlockWorkspace(shape, images: network.shardCapacity)
    excitation = parameters.squeezeWeights.map {
      SqueezeExcitation(
        shape, weights: $0, images: network.imageCapacity, trains: true, threads: pool.threads)
    }
    batchNorm = network.batchNorm
    let sets = batchNorm == .sync ? 1 : network.shards
    let (channels, branches) = (shape.outputChannels, shape.branchCount)
    statisticsStore = Arena(
      count: BlockStatistics.storeCount(channels: channels, branches: branches, sets: sets))
    statistics = BlockStatistics(
      channels: channels, branches: branches, sets: sets, epsilon: network.epsilon,
      store: statisticsStore.base)
    message = .allocate(capacity: max(2 * branches * channels + 1, (1 + branches) * channels))
    message.initialize(repeating: 0)
    localGradients = Arena(
      count: batchNorm == .local ? network.shards * branches * 2 * channels : 0)
  }

  deinit { message.deallocate() }

  var channels: Int { shape.outputChannels }
  var branchCount: Int { shape.branchCount }

  var messageBase: UnsafeMutablePointer<Double> {
    guard let address = message.baseAddress else { fatalError("statistics message is empty") }
    return address
  }

  /// The set of constants that a shard uses.
  func set(ofShard shard: Int) -> Int {
    batchNorm == .sync || usesRunningStatistics ? 0 : shard
  }

  // MARK: - What a kind of block does in its own way

  /// The convolutions of every shard and their sums, which are left combined over slices in
  /// `memory.sums` as [Σz₃, Σz₃², Σz₁, Σz₁²] and, with an identity branch, in `memory.inputSums`.
  ///
  /// `previous` writes its output, this block's input, first.
  func convolve(_ inputs: [ShardImages], previous: TrainingBlock?, withSums: Bool) {
    let denseWeights = dense.packForward(
      parameters.denseWeight, into: packedDense, space: memory.workspace, pool: pool)
    let pointwiseWeights = pointwise.packForward(
      parameters.pointwiseWeight, into: packedPointwise, space: memory.workspace, pool: pool)
    let (sums, inputSums) = (memory.sums[index], memory.inputSums[index])
    for (shard, input) in inputs.enumerated() {
      let (z3, z1) = (memory.dense(index, shard: shard), memory.pointwise(index, shard: shard))
      dense.forward(
        images: input.count, input: input.pixels, weights: denseWeights, output: z3,
        space: memory.workspace, pool: pool,
        before: { images, _, worker in
          let target =
            withSums && shape.hasIdentity
            ? inputSums.cleared(shard: shard, slice: dense.sliceNumber(images)) : nil
          if let previous {
            previous.writeOutput(shard: shard, images: images, sums: target, worker: worker)
          } else if let target {
            addChannelSums(
              input.pixels + images.lowerBound * shape.inputCount,
              rows: images.count * shape.inputPixels, channels: shape.inputChannels, sums: target)
          }
        },
        after: { images, _, worker in
          pointwise.forward(
            images, input: input.pixels, weights: pointwiseWeights, output: z1,
            space: memory.workspace, worker: worker)
          guard withSums else { return }
          let target = sums.cleared(shard: shard, slice: dense.sliceNumber(images))
          let place = images.lowerBound * shape.outputCount
          let rows = images.count * shape.outputPixels
          addChannelSums(z3 + place, rows: rows, channels: channels, sums: target)
          addChannelSums(z1 + place, rows: rows, channels: channels, sums: target + 2 * channels)
        })
      let slices = dense.slices(images: input.count)
      if withSums { sums.combineSlices(shard: shard, count: slices) }
      if withSums && shape.hasIdentity { inputSums.combineSlices(shard: shard, count: slices) }
    }
  }

  /// Prepares `writeOutput`, after the statistics are set.
  func prepareOutput() {}

  /// y of some images of a shard from s = Σ BN(z); adds Σy and Σy² to `sums` where given.
  final func writeOutput(
    shard: Int, images: Range<Int>, sums: UnsafeMutablePointer<Double>?, worker: Int
  ) {
    guard let excitation else {
      return writeBranchSum(shard: shard, images: images, sums: sums, worker: worker)
    }
    writeBranchSum(shard: shard, images: images, sums: nil, worker: worker)
    excitation.excite(
      memory.output(index, shard: shard) + images.lowerBound * shape.outputCount,
      slots: slots(shard: shard, images: images), sums: sums, worker: worker)
  }

  /// ReLU(s), with its sums where they are given; or s itself where it will be excited.
  func writeBranchSum(
    shard: Int, images: Range<Int>, sums: UnsafeMutablePointer<Double>?, worker: Int
  ) {
    let place = images.lowerBound * shape.outputCount
    let (values, rows) = (branches(shard: shard, place: place), images.count * shape.outputPixels)
    let output = memory.output(index, shard: shard) + place
    let coefficients = statistics.coefficients(set: set(ofShard: shard))
    if excitation != nil {
      normaliseAdd(
        values, output: output, rows: rows, channels: channels, coefficients: coefficients)
    } else {
      normaliseAddRectify(
        values, output: output, rows: rows, channels: channels, coefficients: coefficients,
        sums: sums)
    }
  }

  /// Σg and Σg·ẑ of some images of a shard, whose gradient dL/dy has just been written; with
  /// squeeze-and-excitation dL/ds takes its place.
  final func sumBackward(
    shard: Int, images: Range<Int>, into sums: UnsafeMutablePointer<Double>, worker: Int
  ) {
    if let excitation {
      let place = images.lowerBound * shape.outputCount
      excitation.differentiate(
        memory.gradient(index, shard: shard) + place,
        output: memory.output(index, shard: shard) + place,
        slots: slots(shard: shard, images: images), worker: worker)
    }
    sumGated(shard: shard, images: images, into: sums, worker: worker)
  }

  func sumGated(
    shard: Int, images: Range<Int>, into sums: UnsafeMutablePointer<Double>, worker: Int
  ) {
    let place = images.lowerBound * shape.outputCount
    addBackwardSums(
      gated(shard: shard, place: place), branches: branches(shard: shard, place: place),
      rows: images.count * shape.outputPixels, channels: channels,
      standardisation: statistics.standardisation(set: set(ofShard: shard)), sums: sums)
  }

  /// Combines the slices' backward sums of one shard into [Σg, Σg·ẑ per branch] in `memory.sums`.
  func combineBackwardSums(shard: Int, slices: Int) {
    memory.sums[index].combineSlices(shard: shard, count: slices)
  }

  /// What every kind of block writes of one shard's weight gradients.
  final func beginGradients(
    shard: Int, images: Int, into partial: UnsafeMutablePointer<Float>
  ) {
    parameters.clearPaddings(partial)
    if let excitation, let offsets = parameters.squeezeGradientOffsets {
      excitation.weightGradients(
        slots: slots(shard: shard, images: 0..<images), into: offsets.map { partial + $0 })
    }
  }

  /// Weight gradients, summed over shards, and the gradient of the input. (Methods of extensions
  /// cannot be overridden.)
  func differentiate(_ inputs: [ShardImages], previous: TrainingBlock?) {
    differentiateConvolutions(inputs, previous: previous)
  }

  // MARK: - Places

  /// The input of every shard, for blocks that read it again.
  var inputs: [UnsafePointer<Float>] = []

  func branches(shard: Int, place: Int) -> Branches<UnsafePointer<Float>> {
    Branches(
      dense: UnsafePointer(memory.dense(index, shard: shard)) + place,
      pointwise: UnsafePointer(memory.pointwise(index, shard: shard)) + place,
      identity: shape.hasIdentity ? inputs[shard] + place : nil)
  }

  /// g = dL/ds: the gradient of the output behind the ReLU, or what `sumBackward` has made of it.
  func gated(shard: Int, place: Int) -> GatedGradient {
    GatedGradient(
      gradient: memory.gradient(index, shard: shard) + place,
      gate: excitation == nil ? UnsafePointer(memory.output(index, shard: shard) + place) : nil)
  }

  /// Where `excitation` keeps what belongs to some images of a shard.
  func slots(shard: Int, images: Range<Int>) -> Range<Int> {
    let first = shard * memory.shape.shardCapacity
    return first + images.lowerBound..<first + images.upperBound
  }

  var packedDense: UnsafeMutablePointer<Float> { memory.packed }
  var packedPointwise: UnsafeMutablePointer<Float> { memory.packed + workspace.packedPointwise }
}

/// A block's parameters, gradients and running statistics, as places in their arenas.
struct BlockParameters {
  /// γ and β, or their gradients.
  struct Norm {
    var scale: UnsafeMutablePointer<Float>
    var shift: UnsafeMutablePointer<Float>
  }

  struct Running {
    var mean: UnsafeMutablePointer<Float>
    var variance: UnsafeMutablePointer<Float>
  }

  var denseWeight: UnsafeMutablePointer<Float>
  var pointwiseWeight: UnsafeMutablePointer<Float>
  var squeezeWeights: SqueezeParts<UnsafePointer<Float>>?
  /// All weights' gradients lie side by side, the 1x1's first: what the counter over shards sums.
  var pointwiseGradient: UnsafeMutablePointer<Float>
  var denseGradientOffset: Int
  var squeezeGradientOffsets: SqueezeParts<Int>?
  var gradientCount: Int
  /// What lies between them.
  var gradientPaddings: [Range<Int>]
  var norms: Branches<Norm>
  var normGradients: Branches<Norm>
  var running: Branches<Running>
  /// Elements of the gradient arena that are complete when the block's backward pass is.
  var gradientsEnd: Int

  /// γ and β as the statistics read them.
  let scales: BlockStatistics.Scales

  /// Clears what lies between the gradients of `partial`: nobody writes it, and it is summed and sent
  /// with them.
  func clearPaddings(_ partial: UnsafeMutablePointer<Float>) {
    for padding in gradientPaddings {
      (partial + padding.lowerBound).update(repeating: 0, count: padding.count)
    }
  }
}
