import Kernels
import RepVGGModel
import Tensors

/// An exponential moving average of a network's parameters and running statistics:
/// a ← d·a + (1 − d)·w after every step.
///
/// While a run is young it keeps less, d = min(decay, (1 + t)/(10 + t)) at step t, as the initial
/// values would otherwise weigh for 1/(1 − d) steps.
/// Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; the
/// young run's share as TensorFlow's ExponentialMovingAverage has it.
package final class WeightAverage {
  private let network: TrainingNetwork
  private let decay: Double
  /// Laid out like the network's own.
  private let parameters: Arena
  private let statistics: Arena
  /// Whether the network computes with the average, and the trained weights lie here.
  package private(set) var isInUse = false

  package init(_ network: TrainingNetwork, decay: Double) {
    self.network = network
    self.decay = decay
    parameters = Arena(count: network.parameters.count)
    statistics = Arena(count: network.runningStatistics.count)
  }

  /// Begins with the network's present weights.
  package func begin() {
    precondition(!isInUse, "the trained weights are away")
    parameters.base.update(from: network.parameters.base, count: parameters.count)
    if let source = network.runningStatistics.baseAddress {
      statistics.base.update(from: source, count: statistics.count)
    }
  }

  /// Takes in the network's weights after step `step`, counted from 1.
  package func update(step: Int) {
    precondition(!isInUse, "the trained weights are away")
    let kept = min(decay, Double(1 + step) / Double(10 + step))
    let share = Float(1 - kept)
    moveTowards(
      network.parameters.base, from: parameters.base, count: parameters.count, share: share)
    if let source = network.runningStatistics.baseAddress {
      moveTowards(source, from: statistics.base, count: statistics.count, share: share)
    }
  }

  private func moveTowards(
    _ target: UnsafePointer<Float>, from values: UnsafeMutablePointer<Float>, count: Int,
    share: Float
  ) {
    let part = 65_536
    network.pool.run((count + part - 1) / part) { task, _ in
      average(
        values + task * part, towards: target + task * part,
        count: min(part, count - task * part), share: share)
    }
  }

  /// Exchanges the average with the network's weights for as long as `body` runs.
  package func whileInUse<Result, Failure>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    exchange()
    defer { exchange() }
    return try body()
  }

  /// Exchanges the average with the network's weights.
  package func exchange() {
    for index in 0..<parameters.count {
      swap(&parameters.base[index], &network.parameters.base[index])
    }
    let running = network.runningStatistics
    for index in 0..<statistics.count { swap(&statistics.base[index], &running[index]) }
    isInUse.toggle()
  }

  /// What lies here now: the average, or the trained weights while that is in use.
  package func copy() -> NetworkCopy {
    network.copy(parameters: parameters, statistics: statistics)
  }

  /// What every rank must have alike when a run is taken up.
  package var bytes: [UnsafeMutableRawBufferPointer] {
    [UnsafeMutableRawBufferPointer(parameters.all), UnsafeMutableRawBufferPointer(statistics.all)]
  }
}
