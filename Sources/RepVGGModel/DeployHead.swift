import Kernels
import RunPlanning
import Tensors

/// Global average pooling and the linear classifier of a `DeployNetwork`. The classifier is a 1x1
/// convolution on images of one pixel: its product is ours, so that an image's logits do not depend on
/// how many images there are, as they would with a library's.
final class DeployHead {
  private let pixels: Int
  private let linear: Convolution
  private let packed: Arena
  private let bias: Arena
  /// [images][features]
  private let pooled: Arena

  /// `capacity`: the most images of a pass.
  init(features: Int, classes: Int, pixels: Int, capacity: Int) {
    self.pixels = pixels
    linear = Convolution(
      kernel: 1, stride: 1, groups: 1, inputChannels: features, outputChannels: classes,
      inputHeight: 1, inputWidth: 1)
    packed = Arena(count: linear.forwardWeightCount)
    bias = Arena(count: classes)
    pooled = Arena(count: capacity * features)
  }

  /// Elements of a thread's part of the workspace, and of the weights.
  var workerCount: Int { linear.workerCount }
  var weightCount: Int { linear.weightCount }

  /// Bytes of all of it.
  var bytes: Int {
    (packed.count + bias.count + pooled.count) * MemoryLayout<Float>.stride
  }

  /// Takes `linear.weight` and `linear.bias`, which were checked against the table.
  func load(
    _ tensors: NamedTensors, table: [String: ParameterTable.Entry],
    staging: UnsafeMutablePointer<Float>, space: Workspace, pool: WorkerPool
  ) {
    let reader = TensorReader(tensors: tensors, table: table)
    reader.copy("linear.weight", to: staging)
    reader.copy("linear.bias", to: bias.base)
    _ = linear.packForward(staging, into: packed.base, space: space, pool: pool)
  }

  /// logits ← mean over pixels · weights + bias, [images][classes].
  func run(
    images: Int, input: UnsafePointer<Float>, into logits: UnsafeMutablePointer<Float>,
    space: Workspace, pool: WorkerPool
  ) {
    let features = linear.inputChannels
    pool.run(images) { image, _ in
      averagePool(
        input + image * pixels * features, images: 1, pixels: pixels, channels: features,
        output: pooled.base + image * features)
    }
    linear.forward(
      images: images, input: pooled.base, weights: packed.base, output: logits, space: space,
      pool: pool, finish: OutputFinish(bias: bias.base, rectify: false),
      before: { _, _, _ in }, after: { _, _, _ in })
  }
}
