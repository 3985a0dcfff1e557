import Kernels
import Tensors

/// Global average pooling and the linear classifier, over the shards of a rank.
///
/// Weights are [features][classes] in memory. Features and logits are kept per shard:
/// [shards][shardCapacity][features or classes].
final class ClassifierHead {
  private var shape: NetworkShape
  private let pool: WorkerPool
  private let features: Arena
  private let featureGradients: Arena
  private let logitArena: Arena

  init(shape: NetworkShape, pool: WorkerPool) {
    self.shape = shape
    self.pool = pool
    features = Arena(count: shape.imageCapacity * shape.features)
    featureGradients = Arena(count: shape.imageCapacity * shape.features)
    logitArena = Arena(count: shape.imageCapacity * shape.classes)
  }

  /// Takes images of another size; features and logits are as many.
  func resize(to shape: NetworkShape) { self.shape = shape }

  /// Bytes of features, logits and their gradients.
  var bytes: Int {
    (features.count + featureGradients.count + logitArena.count) * MemoryLayout<Float>.stride
  }

  /// Logits of one shard, [count][classes], valid until the next forward pass.
  func logits(shard: Int) -> UnsafeMutablePointer<Float> {
    logitArena.base + shard * shape.shardCapacity * shape.classes
  }

  private func features(shard: Int) -> UnsafeMutablePointer<Float> {
    features.base + shard * shape.shardCapacity * shape.features
  }

  private var slices: Slices { Slices(pixels: shape.finalPixels) }

  /// Logits of every shard. `prepare` writes the last block's output of some images, which lie at
  /// `activations(shard)`.
  func forward(
    counts: [Int], weights: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    prepare: (_ shard: Int, _ images: Range<Int>, _ worker: Int) -> Void,
    activations: (Int) -> UnsafeMutablePointer<Float>
  ) {
    let imageCount = shape.finalPixels * shape.features
    for (shard, count) in counts.enumerated() {
      pool.run(slices.count(images: count)) { slice, worker in
        let images = slices.images(slice, of: count)
        prepare(shard, images, worker)
        averagePool(
          activations(shard) + images.lowerBound * imageCount, images: images.count,
          pixels: shape.finalPixels, channels: shape.features,
          output: features(shard: shard) + images.lowerBound * shape.features)
      }
    }
    pool.run(counts.count) { shard, _ in
      gemm(
        m: counts[shard], n: shape.classes, k: shape.features, a: features(shard: shard),
        lda: shape.features, b: weights, ldb: shape.classes, beta: 0, c: logits(shard: shard),
        ldc: shape.classes)
      addBias(
        bias, rectify: false, rows: counts[shard], channels: shape.classes,
        to: logits(shard: shard))
    }
  }

  /// Weight and bias gradients, summed over shards; then the gradient of the last block's output.
  ///
  /// `logitGradients`: [count][classes] of every shard. `activationGradient(shard)` is written, and
  /// `finish` called for every slice of it, with its number.
  func backward(
    counts: [Int], logitGradients: [UnsafePointer<Float>], weights: UnsafePointer<Float>,
    weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>,
    counter: GradientCounter, activationGradient: (Int) -> UnsafeMutablePointer<Float>,
    finish: (_ shard: Int, _ slice: Int, _ images: Range<Int>, _ worker: Int) -> Void
  ) {
    let (classes, width) = (shape.classes, shape.features)
    counter.sum(into: weightGradient, count: width * classes) { shard, partial in
      guard counts[shard] > 0 else {
        partial.update(repeating: 0, count: width * classes)
        return
      }
      gemm(
        transposeA: true, m: width, n: classes, k: counts[shard], a: features(shard: shard),
        lda: width, b: logitGradients[shard], ldb: classes, beta: 0, c: partial, ldc: classes)
    }
    counter.sum(into: biasGradient, count: classes) { shard, partial in
      sumRows(logitGradients[shard], rows: counts[shard], channels: classes, output: partial)
    }
    pool.run(counts.count) { shard, _ in
      let gradient = featureGradients.base + shard * shape.shardCapacity * width
      gemm(
        transposeB: true, m: counts[shard], n: width, k: classes, a: logitGradients[shard],
        lda: classes, b: weights, ldb: classes, beta: 0, c: gradient, ldc: width)
    }
    for (shard, count) in counts.enumerated() {
      pool.run(slices.count(images: count)) { slice, worker in
        let images = slices.images(slice, of: count)
        let first = shard * shape.shardCapacity + images.lowerBound
        spreadPoolGradient(
          featureGradients.base + first * width, images: images.count, pixels: shape.finalPixels,
          channels: width,
          output: activationGradient(shard) + images.lowerBound * shape.finalPixels * width)
        finish(shard, slice, images, worker)
      }
    }
  }

  /// Slices of a shard in the backward pass.
  func sliceCount(images: Int) -> Int { slices.count(images: images) }
}
