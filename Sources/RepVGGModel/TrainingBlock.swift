import Kernels
import RunPlanning
import Tensors

/// One RepVGG block in its training form: y = ReLU(BN(conv3x3(x)) + BN(conv1x1(x)) + BN(x)), the
/// last branch where the block keeps its input's shape (RepVGG, section 3.2).
///
/// Forward and backward run over all shards of a rank; BatchNorm of all branches takes one
/// collective each way.
final class TrainingBlock {
  let shape: BlockShape
  let index: Int
  let memory: NetworkMemory
  let pool: WorkerPool
  let parameters: BlockParameters
  let counter: GradientCounter
  let dense: Convolution
  let pointwise: Convolution
  /// With synchronised statistics one set for all shards, with local ones a set for each.
  let batchNorm: RunConfig.BatchNormMode
  var statistics: BlockStatistics
  var tasks: ShardTasks
  /// The message of the block's collectives, the larger of both.
  let message: UnsafeMutableBufferPointer<Double>
  private let statisticsStore: Arena
  /// [shards][branches][2][channels]: γ's and β's gradients of every shard, for local statistics.
  let localGradients: Arena

  init(
    shape: BlockShape, index: Int, network: NetworkShape, memory: NetworkMemory, pool: WorkerPool,
    parameters: BlockParameters, counter: GradientCounter
  ) {
    self.shape = shape
    self.index = index
    self.memory = memory
    self.pool = pool
    self.parameters = parameters
    self.counter = counter
    dense = shape.convolution(kernel: 3)
    pointwise = shape.convolution(kernel: 1)
    batchNorm = network.batchNorm
    tasks = ShardTasks(capacity: network.shards)
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

  /// The set of constants that a shard uses.
  func set(ofShard shard: Int) -> Int { batchNorm == .sync ? 0 : shard }
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
  var denseGradient: UnsafeMutablePointer<Float>
  var pointwiseGradient: UnsafeMutablePointer<Float>
  var norms: Branches<Norm>
  var normGradients: Branches<Norm>
  var running: Branches<Running>
  /// Elements of the gradient arena that are complete when the block's backward pass is.
  var gradientsEnd: Int

  var scales: BlockStatistics.Scales {
    func constant(_ norm: Norm) -> (UnsafePointer<Float>, UnsafePointer<Float>) {
      (UnsafePointer(norm.scale), UnsafePointer(norm.shift))
    }
    return Branches(
      dense: constant(norms.dense), pointwise: constant(norms.pointwise),
      identity: norms.identity.map(constant))
  }
}
