import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// The kernels of one block, on random tensors of a shard, as a step calls them.
final class LayerMeasurement {
  private let block: BlockShape
  private let blocks: Int
  private let images: Int
  private let pool: WorkerPool
  private let repetitions: Int
  private let dense: Convolution
  private let pointwise: Convolution
  private let stem: StemConvolution?
  private let input: Arena
  private let inputGradient: Arena
  /// Outputs of both convolutions and of the block, and the gradient of the latter.
  private let outputs: [Arena]
  /// Gradients of both convolutions' outputs, of a chunk's images, and the 1x1's as panels.
  private let chunkGradients: [Arena]
  private let weights: Arena
  private let weightGradient: Arena
  private let packed: [Arena]
  private let shared: Arena
  private let workers: Arena
  private let workerCount: Int
  private let sums: UnsafeMutablePointer<Double>
  private let sumCount: Int
  /// Constants of all passes over activations: [15][channels].
  private let constants: Arena

  init(
    _ block: BlockShape, blocks: Int, images: Int, pool: WorkerPool, repetitions: Int
  ) {
    (self.block, self.blocks, self.images) = (block, blocks, images)
    (self.pool, self.repetitions) = (pool, repetitions)
    let dense = block.convolution(kernel: 3).packing(images: images)
    let pointwise = block.convolution(kernel: 1)
    (self.dense, self.pointwise) = (dense, pointwise)
    let stem = block.recomputesBranches ? StemConvolution(dense) : nil
    self.stem = stem
    let chunk = dense.chunkCapacity(images: images)
    input = Self.random(images * block.inputCount, seed: 1)
    inputGradient = Self.random(block.layer > 0 ? images * block.inputCount : 0, seed: 2)
    outputs = (0..<4).map { place in
      // A stem stores neither convolution's output.
      Self.random(stem != nil && place < 2 ? 0 : images * block.outputCount, seed: 3 + place)
    }
    chunkGradients =
      (0..<2).map { Self.random(chunk * block.outputCount, seed: 7 + $0) }
      + [Arena(count: pointwise.gradientPanelCount(images: chunk))]
    weights = Self.random(dense.weightCount, seed: 9)
    weightGradient = Arena(count: dense.weightCount)
    let patch = stem?.denseCount ?? 0
    packed = [
      max(dense.forwardWeightCount, patch), dense.backwardWeightCount,
      pointwise.forwardWeightCount, pointwise.backwardWeightCount,
    ].map { Arena(count: $0) }
    shared = Arena(
      count: max(dense.forwardCount(images: images), dense.backwardCount(images: images)))
    workerCount =
      (max(dense.workerCount, pointwise.workerCount, stem?.workerCount ?? 0) + 15) / 16 * 16
    workers = Arena(count: workerCount * pool.threads)
    sumCount = max(
      8 * block.outputChannels, stem.map { max($0.forwardSums, $0.backwardSums) } ?? 0)
    sums = .allocate(capacity: sumCount * pool.threads)
    sums.initialize(repeating: 0, count: sumCount * pool.threads)
    constants = Self.random(15 * block.outputChannels, seed: 10)
  }

  deinit { sums.deallocate() }

  /// Values in -1..<1.
  private static func random(_ count: Int, seed: Int) -> Arena {
    let arena = Arena(count: count)
    var state = UInt32(truncatingIfNeeded: seed &* 747_796_405 &+ 1)
    for place in 0..<count {
      state = state &* 1_664_525 &+ 1_013_904_223
      arena.base[place] = Float(Int32(bitPattern: state)) / 2_147_483_648
    }
    return arena
  }

  private var space: Workspace {
    Workspace(shared: shared.base, workers: workers.base, workerCount: workerCount)
  }

  private func sums(_ worker: Int) -> UnsafeMutablePointer<Double> { sums + worker * sumCount }

  /// The fastest of the repetitions, in seconds.
  private func fastest(_ body: () -> Void) -> Double {
    body()
    var fastest = Double.infinity
    for _ in 0..<repetitions {
      let start = monotonicSeconds()
      body()
      fastest = min(fastest, monotonicSeconds() - start)
    }
    return max(fastest, 1e-9)
  }
}

// MARK: - Convolutions

extension LayerMeasurement {
  private typealias Layer = KernelBenchmark.Layer

  func layers() -> [KernelBenchmark.Layer] {
    if let stem { return layers(of: stem) }
    var layers: [Layer] = []
    for kernel in [3, 1] {
      let convolution = kernel == 3 ? dense : pointwise
      let (forward, backward) =
        kernel == 3 ? (packed[0], packed[1]) : (packed[2], packed[3])
      let packing = fastest {
        _ = convolution.packForward(weights.base, into: forward.base, space: space, pool: pool)
        guard block.layer > 0 else { return }
        _ = convolution.packBackward(weights.base, into: backward.base, space: space, pool: pool)
      }
      let isFirst = block.layer == 0
      let (x, z) = (images * block.inputCount, images * block.outputCount)
      let w = convolution.weightCount
      let macs = Double(images * convolution.outputPixels) * Double(w)
      func layer(_ pass: KernelBenchmark.Pass, _ seconds: Double, _ macs: Double, _ values: Int)
        -> Layer
      {
        Layer(
          name: block.key, blocks: blocks, block: block, kernel: kernel,
          path: KernelPlan.Path(rawValue: convolution.path.rawValue) ?? .direct, pass: pass,
          seconds: seconds,
          operations: 2 * macs, bytes: 4 * Double(values))
      }
      if !convolution.packsInPasses {
        layers.append(
          layer(
            .packing, packing, 0,
            isFirst ? w + forward.count : 2 * w + forward.count + backward.count))
      }
      layers += [
        layer(.forward, fastest { self.forward(kernel) }, macs, x + z + w),
        layer(
          .backward, fastest { self.backward(kernel) }, isFirst ? macs : 2 * macs,
          isFirst ? x + z + w : 2 * x + z + 2 * w),
      ]
    }
    return layers
  }

  /// What the 3x3's passes take.
  private func passWeights(_ packed: Arena) -> UnsafePointer<Float> {
    UnsafePointer(dense.packsInPasses ? weights.base : packed.base)
  }

  private func forward(_ kernel: Int) {
    if kernel == 3 {
      dense.forward(
        images: images, input: input.base, weights: passWeights(packed[0]), output: outputs[0].base,
        space: space, pool: pool, before: { _, _, _ in }, after: { _, _, _ in })
      return
    }
    pool.run(dense.slices(images: images)) { index, worker in
      pointwise.forward(
        dense.slice(index, of: 0..<images), input: input.base, weights: packed[2].base,
        output: outputs[1].base, space: space, worker: worker)
    }
  }

  private func backward(_ kernel: Int) {
    let target = block.layer > 0 ? inputGradient.base : nil
    if kernel == 3 {
      dense.backward(
        images: images,
        BackwardPass(
          input: input.base, outputGradient: chunkGradients[0].base,
          weights: passWeights(packed[1]), inputGradient: target, accumulate: block.hasIdentity,
          weightGradient: weightGradient.base),
        space: space, pool: pool, before: { _, _, _ in }, besideTasks: 0,
        beside: { _, _, _ in }, after: { _, _, _ in })
      return
    }
    for index in 0..<dense.chunks(images: images) {
      let chunk = dense.chunk(index, images: images)
      let slices = dense.slices(images: chunk.count)
      let panels = chunkGradients[2].base
      pool.run(slices) { slice, _ in
        pointwise.packGradient(
          dense.slice(slice, of: chunk), of: chunk, outputGradient: chunkGradients[1].base,
          panels: panels)
      }
      pool.run(pointwise.weightGradientTasks) { task, _ in
        pointwise.addWeightGradient(
          task: task, chunk: chunk, input: input.base, panels: panels,
          weightGradient: weightGradient.base)
      }
      guard let target else { continue }
      pool.run(slices) { slice, worker in
        let images = dense.slice(slice, of: chunk)
        pointwise.dataGradient(
          images,
          outputGradient: chunkGradients[1].base
            + (images.lowerBound - chunk.lowerBound) * block.outputCount,
          weights: packed[3].base, inputGradient: target, accumulate: true, space: space,
          worker: worker)
      }
    }
  }

  /// Both branches of a stem together: the sums over patches, and the normalised output.
  private func layers(of stem: StemConvolution) -> [Layer] {
    let (x, y) = (images * block.inputCount, images * block.outputCount)
    let w = dense.weightCount + pointwise.weightCount
    let macs = Double(images * dense.outputPixels) * Double(w)
    func layer(_ pass: KernelBenchmark.Pass, _ seconds: Double, _ macs: Double, _ values: Int)
      -> Layer
    {
      Layer(
        name: block.key, blocks: blocks, block: block, kernel: 3, path: .recomputed, pass: pass,
        seconds: seconds, operations: 2 * macs, bytes: 4 * Double(values))
    }
    let packing = fastest { stem.pack(weights.base, into: packed[0].base) }
    return [
      layer(.packing, packing, 0, dense.weightCount + stem.denseCount),
      layer(.forward, fastest { self.forward(stem) }, macs, x + y + w),
      layer(.backward, fastest { self.backward(stem) }, macs, x + 2 * y + w),
    ]
  }

  private func forward(_ stem: StemConvolution) {
    let slices = dense.slices(images: images)
    pool.run(slices) { index, worker in
      stem.addForwardSums(
        dense.slice(index, of: 0..<images), input: input.base,
        scratch: workers.base + worker * workerCount, sums: sums(worker))
    }
    pool.run(slices) { index, worker in
      stem.writeOutput(
        dense.slice(index, of: 0..<images), input: input.base, fused: packed[0].base,
        bias: constants.base, scratch: workers.base + worker * workerCount,
        output: outputs[2].base)
    }
  }

  private func backward(_ stem: StemConvolution) {
    pool.run(dense.slices(images: images)) { index, worker in
      stem.addBackwardSums(
        dense.slice(index, of: 0..<images), input: input.base, gradient: outputs[3].base,
        gate: outputs[2].base, scratch: workers.base + worker * workerCount, sums: sums(worker))
    }
  }
}

// MARK: - Passes over activations

extension LayerMeasurement {
  private func branches(_ place: Int) -> Branches<UnsafePointer<Float>> {
    Branches(
      dense: UnsafePointer(outputs[0].base) + place,
      pointwise: UnsafePointer(outputs[1].base) + place,
      identity: block.hasIdentity ? UnsafePointer(input.base) + place : nil)
  }

  private func gated(_ place: Int) -> GatedGradient {
    GatedGradient(
      gradient: UnsafePointer(outputs[3].base) + place,
      gate: UnsafePointer(outputs[2].base) + place)
  }

  /// The passes beside the convolutions; a stem has none, they are part of its kernels.
  func passes() -> [KernelBenchmark.ElementWise] {
    guard stem == nil else { return [] }
    let identity = block.hasIdentity ? 1 : 0
    func pass(_ name: String, tensors: Int, _ body: () -> Void) -> KernelBenchmark.ElementWise {
      KernelBenchmark.ElementWise(
        name: block.key, blocks: blocks, pass: name, seconds: fastest(body),
        bytes: Double(tensors) * 4 * Double(images * block.outputCount))
    }
    return [
      pass("addChannelSums", tensors: 2) { addSums() },
      pass("normaliseAddRectify", tensors: 3 + identity) { normalise() },
      pass("addBackwardSums", tensors: 4 + identity) { addGradientSums() },
      pass("applyBackward", tensors: 6 + 2 * identity) { apply() },
    ]
  }

  /// Calls `body` for every slice: its first value and its rows.
  private func forEachSlice(_ body: (_ place: Int, _ rows: Int, _ worker: Int) -> Void) {
    pool.run(dense.slices(images: images)) { index, worker in
      let slice = dense.slice(index, of: 0..<images)
      body(slice.lowerBound * block.outputCount, slice.count * block.outputPixels, worker)
    }
  }

  private func addSums() {
    forEachSlice { place, rows, worker in
      for output in outputs[0...1] {
        addChannelSums(
          output.base + place, rows: rows, channels: block.outputChannels, sums: sums(worker))
      }
    }
  }

  private func normalise() {
    forEachSlice { place, rows, _ in
      normaliseAddRectify(
        branches(place), output: outputs[2].base + place, rows: rows,
        channels: block.outputChannels, coefficients: constants.base, sums: nil)
    }
  }

  private func addGradientSums() {
    forEachSlice { place, rows, worker in
      Kernels.addBackwardSums(
        gated(place), branches: branches(place), rows: rows, channels: block.outputChannels,
        standardisation: constants.base, sums: sums(worker))
    }
  }

  /// Writes the gradients of both convolutions to a chunk's memory, as a step does.
  private func apply() {
    for index in 0..<dense.chunks(images: images) {
      let chunk = dense.chunk(index, images: images)
      pool.run(dense.slices(images: chunk.count)) { number, _ in
        let slice = dense.slice(number, of: chunk)
        let place = slice.lowerBound * block.outputCount
        let chunkPlace = (slice.lowerBound - chunk.lowerBound) * block.outputCount
        let values = branches(place)
        let identity = values.identity.map {
          BackwardBranch(value: $0, gradient: inputGradient.base + place)
        }
        applyBackward(
          gated(place),
          branches: Branches(
            dense: BackwardBranch(
              value: values.dense, gradient: chunkGradients[0].base + chunkPlace),
            pointwise: BackwardBranch(
              value: values.pointwise, gradient: chunkGradients[1].base + chunkPlace),
            identity: identity),
          rows: slice.count * block.outputPixels, channels: block.outputChannels,
          constants: constants.base)
      }
    }
  }
}
