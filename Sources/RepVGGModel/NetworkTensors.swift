import RunPlanning
import Tensors

extension TrainingNetwork {
  /// Sets parameters, running statistics and batch counts from tensors with published names and
  /// shapes. Nothing is changed when one does not fit.
  package func load(_ tensors: NamedTensors) throws {
    try TensorCheck.check(tensors, against: table)
    for entry in table.entries {
      if let slot = statisticsPlaces[entry.name], let values = tensors[entry.name]?.floats {
        for (place, value) in values.enumerated() { statisticsArena[slot][place] = value }
      }
      if let count = tensors[entry.name]?.integers?.first { batchCounts[entry.name] = count }
    }
    loadTrainable(tensors, into: parameters)
  }

  /// Sets the count of one BatchNorm's batches, for copying state between ranks.
  package func setBatchCount(_ count: Int64, of name: String) {
    precondition(batchCounts[name] != nil, "no BatchNorm of this network")
    batchCounts[name] = count
  }

  /// The inverse of `trainableTensors`; throws where a tensor is missing or has another shape.
  package func setTrainable(_ tensors: NamedTensors, in arena: Arena) throws {
    precondition(arena.count == layout.count, "an arena of another network")
    let trainable = ParameterTable(entries: table.entries.filter(\.kind.isTrainable))
    try TensorCheck.check(tensors, against: trainable)
    loadTrainable(tensors, into: arena)
  }

  private func loadTrainable(_ tensors: NamedTensors, into arena: Arena) {
    for place in layout.places {
      tensors[place.entry.name]?.floats?.withUnsafeBufferPointer { buffer in
        guard let file = buffer.baseAddress else { return }
        WeightOrder.toMemory(file, entry: place.entry, into: arena.base + place.offset)
      }
    }
  }

  /// Initial values of the published code: convolution and linear weights, and biases, uniform in
  /// ±1/√fan_in; γ = 1, β = 0, running mean 0, running variance 1. Every tensor draws from a counter
  /// of its own.
  package func initialise(seed: UInt64) throws {
    var tensors = NamedTensors()
    var fanIn = 1
    for (index, entry) in table.entries.enumerated() {
      var random = CounterRandom(seed: seed, epoch: 0, sample: index, purpose: .initialisation)
      switch entry.kind {
      case .convolutionWeight, .linearWeight, .bias:
        // A bias follows its weight in the table and shares its bound.
        if entry.kind != .bias { fanIn = entry.shape.dropFirst().reduce(1, *) }
        let bound = 1 / Double(fanIn).squareRoot()
        let values = (0..<entry.count).map { _ in
          Float((2 * random.uniformDouble() - 1) * bound)
        }
        tensors[entry.name] = Tensor(shape: entry.shape, values)
      case .batchNormScale, .runningVariance:
        tensors[entry.name] = Tensor(
          shape: entry.shape, [Float](repeating: 1, count: entry.count))
      case .batchNormShift, .runningMean:
        tensors[entry.name] = Tensor(
          shape: entry.shape, [Float](repeating: 0, count: entry.count))
      case .batchCount:
        tensors[entry.name] = Tensor(shape: [], integers: [0])
      }
    }
    try load(tensors)
  }
}
