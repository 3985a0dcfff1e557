import Kernels
import RunPlanning
import Tensors

/// One value for each of squeeze-and-excitation's parameters: two 1x1 convolutions with bias, from a
/// block's channels down to a sixteenth of them and up again.
///
/// Weights are [channels][squeezed] and [squeezed][channels] in memory (`WeightOrder`).
struct SqueezeParts<Value> {
  var down: Value
  var downBias: Value
  var up: Value
  var upBias: Value

  /// In the order of the table.
  var inOrder: [Value] { [down, downBias, up, upBias] }

  func map<Other>(_ transform: (Value) -> Other) -> SqueezeParts<Other> {
    SqueezeParts<Other>(
      down: transform(down), downBias: transform(downBias), up: transform(up),
      upBias: transform(upBias))
  }
}

extension SqueezeParts<String> {
  /// Published names; nil for a block without squeeze-and-excitation.
  init?(of block: BlockShape) {
    guard block.squeezeChannels > 0 else { return nil }
    self.init(
      down: "\(block.key).se.down.weight", downBias: "\(block.key).se.down.bias",
      up: "\(block.key).se.up.weight", upBias: "\(block.key).se.up.bias")
  }
}

/// Squeeze-and-excitation on one block's branch sum s (Hu et al., CVPR 2018, section 3): y = ReLU(s·a)
/// with a = sigmoid(up(h)), h = ReLU(down(p)), and p the means of s over an image's pixels.
///
/// Every image is excited by itself, all its sums in an order that its shape alone fixes; only the
/// weight gradients are sums over images, those of one shard. Derivations: docs/numerics.md.
final class SqueezeExcitation {
  private let channels: Int
  private let squeezed: Int
  private let pixels: Int
  private let weights: SqueezeParts<UnsafePointer<Float>>
  private let arena: Arena
  /// [images][channels] or [images][squeezed]: p, h and a; and in training dL/du and dL/dv before the
  /// sigmoid and the inner ReLU, and the part of dL/ds that comes through p.
  private let means: UnsafeMutablePointer<Float>
  private let hidden: UnsafeMutablePointer<Float>
  private let scales: UnsafeMutablePointer<Float>
  private let upGradients: UnsafeMutablePointer<Float>
  private let downGradients: UnsafeMutablePointer<Float>
  private let shifts: UnsafeMutablePointer<Float>
  /// [threads][2][channels]
  private let sumStore: UnsafeMutablePointer<Double>
  /// Bytes of all of it.
  let bytes: Int

  /// `images`: how many the object keeps its values of; those without training are in use only while
  /// an image is excited.
  init(
    _ shape: BlockShape, weights: SqueezeParts<UnsafePointer<Float>>, images: Int, trains: Bool,
    threads: Int
  ) {
    (channels, squeezed) = (shape.outputChannels, shape.squeezeChannels)
    pixels = shape.outputPixels
    self.weights = weights
    let forward = images * (2 * channels + squeezed)
    let count = trains ? images * shape.squeezeActivations : forward
    arena = Arena(count: count)
    means = arena.base
    scales = means + images * channels
    hidden = scales + images * channels
    upGradients = arena.base + (trains ? forward : 0)
    shifts = upGradients + (trains ? images * channels : 0)
    downGradients = shifts + (trains ? images * channels : 0)
    let sums = threads * shape.squeezeSums
    sumStore = .allocate(capacity: sums)
    sumStore.initialize(repeating: 0, count: sums)
    bytes = count * MemoryLayout<Float>.stride + sums * MemoryLayout<Double>.stride
  }

  deinit { sumStore.deallocate() }

  /// s → y of some images in place, which begin at `values`; adds Σy and Σy² to `sums` where given.
  ///
  /// `slots`: the images' numbers among all that are kept.
  func excite(
    _ values: UnsafeMutablePointer<Float>, slots: Range<Int>, sums: UnsafeMutablePointer<Double>?,
    worker: Int
  ) {
    for slot in slots {
      let image = values + (slot - slots.lowerBound) * pixels * channels
      let scale = scales + slot * channels
      computeScale(image, slot: slot, into: scale, worker: worker)
      Kernels.excite(image, rows: pixels, channels: channels, scale: scale, sums: sums)
    }
  }

  private func computeScale(
    _ image: UnsafePointer<Float>, slot: Int, into scale: UnsafeMutablePointer<Float>, worker: Int
  ) {
    let sums = clearedSums(worker)
    addChannelSums(image, rows: pixels, channels: channels, sums: sums)
    let (mean, inner) = (means + slot * channels, hidden + slot * squeezed)
    for channel in 0..<channels { mean[channel] = Float(sums[channel] / Double(pixels)) }
    multiply(mean, channels, weights.down, squeezed, into: inner)
    addBias(weights.downBias, rectify: true, rows: 1, channels: squeezed, to: inner)
    multiply(inner, squeezed, weights.up, channels, into: scale)
    addBias(weights.upBias, rectify: false, rows: 1, channels: channels, to: scale)
    sigmoid(scale, count: channels)
  }

  /// dL/dy → dL/ds of some images in place, which begin at `gradient`; `output`: their y.
  ///
  /// dL/da = Σ g·s over an image's pixels with g = dL/dy·[y > 0], and y = a·s where g is not 0: so
  /// dL/du = dL/da·a·(1 − a) = (1 − a)·Σ dL/dy·y, for which s is not needed.
  func differentiate(
    _ gradient: UnsafeMutablePointer<Float>, output: UnsafePointer<Float>, slots: Range<Int>,
    worker: Int
  ) {
    for slot in slots {
      let place = (slot - slots.lowerBound) * pixels * channels
      let (scale, shift) = (scales + slot * channels, shifts + slot * channels)
      computeShift(gradient + place, output + place, slot: slot, into: shift, worker: worker)
      exciteGradient(
        gradient + place, gate: output + place, rows: pixels, channels: channels, scale: scale,
        shift: shift)
    }
  }

  private func computeShift(
    _ gradient: UnsafePointer<Float>, _ output: UnsafePointer<Float>, slot: Int,
    into shift: UnsafeMutablePointer<Float>, worker: Int
  ) {
    let sums = clearedSums(worker)
    addProductSums(gradient, output, rows: pixels, channels: channels, sums: sums)
    let (scale, inner) = (scales + slot * channels, hidden + slot * squeezed)
    let (up, down) = (upGradients + slot * channels, downGradients + slot * squeezed)
    for channel in 0..<channels {
      up[channel] = Float((1 - Double(scale[channel])) * sums[channel])
    }
    multiplyTransposed(up, channels, weights.up, squeezed, into: down)
    for unit in 0..<squeezed where !(inner[unit] > 0) { down[unit] = 0 }
    multiplyTransposed(down, squeezed, weights.down, channels, into: shift)
    for channel in 0..<channels { shift[channel] /= Float(pixels) }
  }

  /// Weight gradients of the images of one shard, overwritten.
  func weightGradients(slots: Range<Int>, into gradients: SqueezeParts<UnsafeMutablePointer<Float>>)
  {
    let (images, first) = (slots.count, slots.lowerBound)
    let (up, down) = (upGradients + first * channels, downGradients + first * squeezed)
    gemm(
      transposeA: true, m: channels, n: squeezed, k: images, a: means + first * channels,
      lda: channels, b: down, ldb: squeezed, beta: 0, c: gradients.down, ldc: squeezed)
    sumRows(down, rows: images, channels: squeezed, output: gradients.downBias)
    gemm(
      transposeA: true, m: squeezed, n: channels, k: images, a: hidden + first * squeezed,
      lda: squeezed, b: up, ldb: channels, beta: 0, c: gradients.up, ldc: channels)
    sumRows(up, rows: images, channels: channels, output: gradients.upBias)
  }

  private func clearedSums(_ worker: Int) -> UnsafeMutablePointer<Double> {
    let sums = sumStore + worker * 2 * channels
    sums.update(repeating: 0, count: 2 * channels)
    return sums
  }

  /// output ← row · matrix, [count][columns].
  private func multiply(
    _ row: UnsafePointer<Float>, _ count: Int, _ matrix: UnsafePointer<Float>, _ columns: Int,
    into output: UnsafeMutablePointer<Float>
  ) {
    gemm(
      m: 1, n: columns, k: count, a: row, lda: count, b: matrix, ldb: columns, beta: 0, c: output,
      ldc: columns)
  }

  /// output ← row · matrixᵀ, [columns][count].
  private func multiplyTransposed(
    _ row: UnsafePointer<Float>, _ count: Int, _ matrix: UnsafePointer<Float>, _ columns: Int,
    into output: UnsafeMutablePointer<Float>
  ) {
    gemm(
      transposeB: true, m: 1, n: columns, k: count, a: row, lda: count, b: matrix, ldb: count,
      beta: 0, c: output, ldc: columns)
  }
}
