import Failpoints
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
  /// No parameter and no velocity is larger; nil where that is not known.
  private var bounds: (parameter: Double, velocity: Double)?

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

  /// Whether an update by gradients of this largest magnitude leaves every parameter and every
  /// velocity finite. To be asked before `update`, whose results it bounds.
  ///
  /// Bounds are carried from step to step: only where they come near the largest Float are the
  /// arenas looked at. So the answer is a function of their contents, whatever came before.
  package func staysFinite(
    _ parameters: Arena, largestGradient: Float, learningRate: Double
  ) -> Bool {
    if let bounds, let next = next(bounds, largestGradient, learningRate) {
      self.bounds = next
      return true
    }
    let exact = (
      parameter: Double(largestMagnitude(parameters.base, count: parameters.count)),
      velocity: Double(largestMagnitude(momentum.base, count: momentum.count))
    )
    let next = next(exact, largestGradient, learningRate)
    bounds = next
    return next != nil
  }

  /// Bounds after an update; nil where they are too large for a Float.
  private func next(
    _ bounds: (parameter: Double, velocity: Double), _ gradient: Float, _ learningRate: Double
  ) -> (parameter: Double, velocity: Double)? {
    let direction = Double(gradient) + configuration.weightDecay * bounds.parameter
    let velocity = direction + configuration.momentum * bounds.velocity
    let step = configuration.nesterov ? direction + configuration.momentum * velocity : velocity
    let parameter = bounds.parameter + abs(learningRate) * step
    // Rounding of a few operations stays far below the half that is left here.
    let limit = Double(Float.greatestFiniteMagnitude) / 2
    return velocity < limit && step < limit && parameter < limit ? (parameter, velocity) : nil
  }

  /// What is in the arenas has been set from outside.
  package func forgetBounds() { bounds = nil }

  /// Updates `parameters` by `gradients` (both laid out like the momentum), which the pool's threads
  /// share.
  package func update(
    _ parameters: Arena, gradients: Arena, learningRate: Double, pool: WorkerPool
  ) {
    for (index, run) in runs.enumerated() {
      if index == runs.count / 2 { Failpoint.pass(.optimizerHalf) }
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
