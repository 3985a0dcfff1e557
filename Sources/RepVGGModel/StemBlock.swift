import Kernels
import RunPlanning
import Tensors

/// A network's first block, whose branches are computed again from the images rather than stored
/// (`StemConvolution`). Its gradients follow from sums over patches: docs/numerics.md.
final class StemBlock: TrainingBlock {
  private let stem: StemConvolution
  /// [sets][packed weights]: both branches, normalised and added up, as one 3x3 convolution.
  private let fused: Arena
  private let fusedWeights: Arena
  /// Of every shard, from the forward pass: `StemConvolution.moments`.
  private let moments: UnsafeMutablePointer<Double>
  /// Of every shard, from the backward pass: Σ p·g.
  private let backwardProducts: UnsafeMutablePointer<Double>

  required init(
    shape: BlockShape, index: Int, network: NetworkShape, memory: NetworkMemory, pool: WorkerPool,
    parameters: BlockParameters, counter: GradientCounter
  ) {
    let stem = StemConvolution(shape.convolution(kernel: 3))
    precondition(StemConvolution.applies(to: stem.convolution), "not a stem's shape")
    self.stem = stem
    let sets = network.batchNorm == .sync ? 1 : network.shards
    fused = Arena(count: sets * stem.denseCount)
    fusedWeights = Arena(count: stem.patch * shape.outputChannels)
    moments = .allocate(capacity: network.shards * stem.momentCount)
    backwardProducts = .allocate(capacity: network.shards * stem.backwardSums)
    super.init(
      shape: shape, index: index, network: network, memory: memory, pool: pool,
      parameters: parameters, counter: counter)
  }

  deinit {
    moments.deallocate()
    backwardProducts.deallocate()
  }

  private var patch: Int { stem.patch }
  private var inputCount: Int { shape.inputChannels }
  /// The first element of a patch's centre.
  private var centre: Int { 4 * inputCount }

  private func scratch(_ worker: Int) -> UnsafeMutablePointer<Float> {
    memory.scratch(worker: worker)
  }

  override func convolve(_ inputs: [ShardImages], previous: TrainingBlock?, withSums: Bool) {
    guard withSums else { return }
    let sums = memory.sums[index]
    for (shard, input) in inputs.enumerated() {
      let slices = dense.slices(images: input.count)
      pool.run(slices) { slice, worker in
        stem.addForwardSums(
          dense.slice(slice, of: 0..<input.count), input: input.pixels, scratch: scratch(worker),
          sums: sums.cleared(shard: shard, slice: slice))
      }
      sums.combineSlices(shard: shard, count: slices)
      let moments = moments + shard * stem.momentCount
      stem.moments(
        of: sums.shard(shard), dense: parameters.denseWeight,
        pointwise: parameters.pointwiseWeight, into: moments)
      sums.shard(shard).update(from: moments, count: 4 * channels)
    }
  }

  override func prepareOutput() {
    let sets = usesRunningStatistics ? 1 : statistics.sets
    for set in 0..<sets {
      let coefficients = statistics.coefficients(set: set)
      for element in 0..<patch {
        let row = fusedWeights.base + element * channels
        let weights = parameters.denseWeight + element * channels
        for channel in 0..<channels { row[channel] = coefficients[channel] * weights[channel] }
      }
      for input in 0..<inputCount {
        let row = fusedWeights.base + (centre + input) * channels
        let weights = parameters.pointwiseWeight + input * channels
        for channel in 0..<channels {
          row[channel] += coefficients[channels + channel] * weights[channel]
        }
      }
      stem.pack(fusedWeights.base, into: fused.base + set * stem.denseCount)
    }
  }

  override func writeBranchSum(
    shard: Int, images: Range<Int>, sums: UnsafeMutablePointer<Double>?, worker: Int
  ) {
    let set = set(ofShard: shard)
    let output = memory.output(index, shard: shard)
    stem.writeOutput(
      images, input: inputs[shard], fused: fused.base + set * stem.denseCount,
      bias: statistics.coefficients(set: set) + 3 * channels, rectify: excitation == nil,
      scratch: scratch(worker), output: output)
    if let sums {
      addChannelSums(
        output + images.lowerBound * shape.outputCount, rows: images.count * shape.outputPixels,
        channels: channels, sums: sums)
    }
  }

  override func sumGated(
    shard: Int, images: Range<Int>, into sums: UnsafeMutablePointer<Double>, worker: Int
  ) {
    let gated = gated(shard: shard, place: 0)
    stem.addBackwardSums(
      images, input: inputs[shard], gradient: gated.gradient, gate: gated.gate,
      scratch: scratch(worker), sums: sums)
  }

  /// Σg·ẑ = r·Σ_p w_p·(Σ p·g) + s·Σg: from the sums over patches to those over positions.
  override func combineBackwardSums(shard: Int, slices: Int) {
    super.combineBackwardSums(shard: shard, slices: slices)
    let sums = memory.sums[index].shard(shard)
    let products = backwardProducts + shard * stem.backwardSums
    products.update(from: sums + channels, count: patch * channels)
    let constants = statistics.standardisation(set: set(ofShard: shard))
    for channel in 0..<channels {
      var (dense, pointwise) = (0.0, 0.0)
      for element in 0..<patch {
        dense +=
          Double(parameters.denseWeight[element * channels + channel])
          * products[element * channels + channel]
      }
      for input in 0..<inputCount {
        pointwise +=
          Double(parameters.pointwiseWeight[input * channels + channel])
          * products[(centre + input) * channels + channel]
      }
      let gradient = sums[channel]
      sums[channels + channel] =
        Double(constants[channel]) * dense + Double(constants[channels + channel]) * gradient
      sums[2 * channels + channel] =
        Double(constants[2 * channels + channel]) * pointwise
        + Double(constants[3 * channels + channel]) * gradient
    }
  }

  /// Σ p·dz with dz = a·g + d + e·(r·z + s), for the elements of both kernels.
  override func differentiate(_ inputs: [ShardImages], previous: TrainingBlock?) {
    counter.sum(into: parameters.pointwiseGradient, count: parameters.gradientCount) {
      shard, partial in
      guard inputs[shard].count > 0 else {
        partial.update(repeating: 0, count: parameters.gradientCount)
        return
      }
      beginGradients(shard: shard, images: inputs[shard].count, into: partial)
      let constants = statistics.backwardConstants(set: set(ofShard: shard))
      let forward = moments + shard * stem.momentCount + 4 * channels
      let backward = backwardProducts + shard * stem.backwardSums
      let patchSums = forward + (patch + inputCount) * channels
      write(
        rows: patch, constants: constants, gradients: backward, values: forward, sums: patchSums,
        into: partial + parameters.denseGradientOffset)
      write(
        rows: inputCount, constants: constants + 5 * channels,
        gradients: backward + centre * channels, values: forward + patch * channels,
        sums: patchSums + centre, into: partial)
    }
  }

  private func write(
    rows: Int, constants: UnsafePointer<Float>, gradients: UnsafePointer<Double>,
    values: UnsafePointer<Double>, sums: UnsafePointer<Double>,
    into target: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      for channel in 0..<channels {
        func constant(_ number: Int) -> Double { Double(constants[number * channels + channel]) }
        let place = row * channels + channel
        let standardised = constant(0) * values[place] + constant(1) * sums[row]
        target[place] = Float(
          constant(2) * gradients[place] + constant(3) * sums[row] + constant(4) * standardised)
      }
    }
  }
}
