import Kernels
import RepVGGModel
import RunPlanning
import Tensors

/// Stochastic gradient descent with momentum over a network's flat arenas.
///
/// Weight decay is a property of a place (`ParameterTable.Entry.decays`): neighbouring places with
/// the same decay are one run of the flat loop.
package final class SGD {
  /// The momentum buffer v, laid out like the parameters.
  package let momentum: Arena
  private let configuration: RunConfig.Optimizer
  private let runs: [Run]

  private struct Run {
    var range: Range<Int>
    var decays: Bool
  }

  package init(_ configuration: RunConfig.Optimizer, layout: ArenaLayout) {
    self.configuration = configuration
    momentum = Arena(count: layout.count)
    var runs: [Run] = []
    for (index, place) in layout.places.enumerated() {
      let next = index + 1 < layout.places.count ? layout.places[index + 1].offset : layout.count
      if let last = runs.last, last.decays == place.entry.decays {
        runs[runs.count - 1].range = last.range.lowerBound..<next
      } else {
        runs.append(Run(range: place.offset..<next, decays: place.entry.decays))
      }
    }
    self.runs = runs
  }

  /// Updates `parameters` by `gradients` (both laid out like the momentum), which the pool's threads
  /// share.
  package func update(
    _ parameters: Arena, gradients: Arena, learningRate: Double, pool: WorkerPool
  ) {
    for run in runs {
      let coefficients = SGDCoefficients(
        learningRate: Float(learningRate), momentum: Float(configuration.momentum),
        weightDecay: run.decays ? Float(configuration.weightDecay) : 0,
        nesterov: configuration.nesterov)
      pool.run((run.range.count + Self.part - 1) / Self.part) { task, _ in
        let offset = run.range.lowerBound + task * Self.part
        updateSGD(
          parameters: parameters.base + offset, gradients: gradients.base + offset,
          momentum: momentum.base + offset,
          count: min(Self.part, run.range.upperBound - offset), coefficients: coefficients)
      }
    }
  }

  /// Parameters of a task.
  private static let part = 65_536
}
