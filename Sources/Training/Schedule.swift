import Glibc
import RunPlanning

/// The learning rate of every step.
///
/// Progress is counted in steps over the configured epochs, whether or not `max_steps` ends the run
/// before: a run that is cut short and continued has the rates of one that was not.
package struct Schedule: Sendable {
  private let configuration: RunConfig.Schedule
  private let stepsPerEpoch: Int
  private let totalSteps: Int

  package init(_ configuration: RunConfig.Schedule, stepsPerEpoch: Int, epochs: Int) {
    self.configuration = configuration
    self.stepsPerEpoch = stepsPerEpoch
    totalSteps = stepsPerEpoch * epochs
  }

  /// Learning rate of step `step`, counted from 0.
  package func learningRate(step: Int) -> Double {
    let base = configuration.learningRate
    let warmup = configuration.warmupEpochs * Double(stepsPerEpoch)
    if Double(step) < warmup {
      let progress = Double(step) / warmup
      return base * (configuration.warmupStart + (1 - configuration.warmupStart) * progress)
    }
    let span = max(1, Double(totalSteps) - warmup)
    let progress = min(1, (Double(step) - warmup) / span)
    let final = configuration.finalLearningRate
    switch configuration.kind {
    case .constant: return base
    case .cosine: return final + (base - final) * (1 + cos(Double.pi * progress)) / 2
    case .poly: return final + (base - final) * pow(1 - progress, configuration.power)
    case .step:
      let epoch = Double(step) / Double(stepsPerEpoch)
      let passed = configuration.milestones.count { $0 <= epoch }
      return base * pow(configuration.gamma, Double(passed))
    }
  }
}
