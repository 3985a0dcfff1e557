import RunPlanning
import Tensors

/// Reproducible values of every tensor of a network, as training could have left them.
package func testWeights(_ table: ParameterTable) -> NamedTensors {
  var tensors = NamedTensors()
  for (index, entry) in table.entries.enumerated() {
    let values = testValues(entry.count, seed: UInt64(index + 1))
    tensors[entry.name] =
      switch entry.kind {
      case .batchCount: Tensor(shape: [], integers: [Int64(index)])
      case .batchNormScale, .runningVariance: Tensor(shape: entry.shape, values.map { 1.5 + $0 })
      default: Tensor(shape: entry.shape, values)
      }
  }
  return tensors
}
