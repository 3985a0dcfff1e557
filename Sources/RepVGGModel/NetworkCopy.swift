import RunPlanning
import Tensors

/// The state of a network at one moment, or any arenas laid out like its own: copied as fast as memory
/// goes, to be brought into the order of files later, by another thread.
package struct NetworkCopy: Sendable {
  fileprivate let table: ParameterTable
  fileprivate let layout: ArenaLayout
  fileprivate let statisticsPlaces: [String: Slot]
  fileprivate let parameters: [Float]
  /// Empty where only what is trained was copied.
  fileprivate let statistics: [Float]
  fileprivate let batchCounts: [String: Int64]

  /// Parameters, running statistics and batch counts under published names and in published shapes:
  /// the contents of `model.safetensors`.
  package func tensors() -> NamedTensors {
    var tensors = NamedTensors()
    let trainable = trainableTensors()
    for entry in table.entries {
      if let slot = statisticsPlaces[entry.name] {
        guard !statistics.isEmpty else { continue }
        let values = Array(statistics[slot.offset..<slot.offset + slot.count])
        tensors[entry.name] = Tensor(shape: entry.shape, values)
      } else if let count = batchCounts[entry.name] {
        tensors[entry.name] = Tensor(shape: [], integers: [count])
      } else {
        tensors[entry.name] = trainable[entry.name]
      }
    }
    return tensors
  }

  /// What is trained alone.
  package func trainableTensors() -> NamedTensors {
    parameters.withUnsafeBufferPointer { parameters in
      guard let base = parameters.baseAddress else { return NamedTensors() }
      return layout.tensors(of: base)
    }
  }
}

extension ArenaLayout {
  /// The arena at `base` as tensors with published names and shapes.
  func tensors(of base: UnsafePointer<Float>) -> NamedTensors {
    var tensors = NamedTensors()
    for place in places {
      var values = [Float](repeating: 0, count: place.entry.count)
      values.withUnsafeMutableBufferPointer { buffer in
        guard let file = buffer.baseAddress else { return }
        WeightOrder.toFile(base + place.offset, entry: place.entry, into: file)
      }
      tensors[place.entry.name] = Tensor(shape: place.entry.shape, values)
    }
    return tensors
  }
}

extension TrainingNetwork {
  /// The network's state as it is now, or with parameters and running statistics of other arenas in
  /// the place of its own.
  package func copy(parameters: Arena? = nil, statistics: Arena? = nil) -> NetworkCopy {
    NetworkCopy(
      table: table, layout: layout, statisticsPlaces: statisticsPlaces,
      parameters: Array((parameters ?? self.parameters).all),
      statistics: Array((statistics ?? statisticsArena).all), batchCounts: batchCounts)
  }

  /// An arena of the network's layout, such as the momentum.
  package func copy(ofTrainable arena: Arena) -> NetworkCopy {
    precondition(arena.count == layout.count, "an arena of another network")
    return NetworkCopy(
      table: table, layout: layout, statisticsPlaces: statisticsPlaces,
      parameters: Array(arena.all), statistics: [], batchCounts: [:])
  }

  /// Everything of `load`, copied out: the contents of `model.safetensors`.
  package func tensors() -> NamedTensors { copy().tensors() }

  /// An arena of the network's layout (parameters, gradients, momentum) as tensors with published
  /// names and shapes.
  package func trainableTensors(of arena: Arena) -> NamedTensors {
    precondition(arena.count == layout.count, "an arena of another network")
    return layout.tensors(of: arena.base)
  }
}
