// Runs that begin with smaller images (Howard, fast.ai's entry to DAWNBench, 2018; Tan and Le,
// "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, section 4).

extension RunPlan {
  /// Epochs in which the network is trained on images of one size. The largest is the plan's own,
  /// with which every run ends and on which is evaluated.
  package struct Phase: Sendable, Equatable {
    /// Counted from 0.
    package var epochs: Range<Int>
    /// In forward order, for images of this size.
    package var blocks: [BlockShape]
    /// Of one image forward.
    package var macsTraining: Int

    package var height: Int { blocks[0].inputHeight }
    package var width: Int { blocks[0].inputWidth }
  }

  /// The phases of a configuration; one where `data.resolutions` says nothing. `blocks`: for
  /// the resolution with which is evaluated, and with which the last phase trains.
  static func phases(
    _ config: RunConfig, inputChannels: Int, blocks: [BlockShape]
  ) -> [Phase] {
    var phases: [Phase] = []
    let epochs = config.training.epochs
    let starts = config.data.resolutions.keys.filter { $0 < epochs }.sorted()
    for start in starts.isEmpty ? [0] : starts {
      let side = config.data.resolutions[start] ?? config.data.resolution
      let isLargest = starts.isEmpty || side == config.data.resolution
      let own =
        isLargest
        ? blocks
        : config.model.architecture.blocks(
          inputChannels: inputChannels, height: side, width: side)
      if let last = phases.last, last.blocks == own { continue }
      if !phases.isEmpty {
        phases[phases.count - 1].epochs = phases[phases.count - 1].epochs.lowerBound..<start
      }
      let cost = CostModel(blocks: own, classes: config.model.classes)
      phases.append(
        Phase(epochs: start..<epochs, blocks: own, macsTraining: cost.trainingMACs))
    }
    return phases
  }

  /// Whether the size of the images changes.
  package var hasPhases: Bool { phases.count > 1 }

  /// The phase of an epoch counted from 0; behind the last one the last phase.
  package func phase(epoch: Int) -> Phase {
    phases[phases.lastIndex { $0.epochs.lowerBound <= epoch } ?? 0]
  }

  /// The steps of a phase that this run does, counted from 0.
  package func steps(of phase: Phase) -> Range<Int> {
    let (first, end) = (phase.epochs.lowerBound, phase.epochs.upperBound)
    return min(first * stepsPerEpoch, totalSteps)..<min(end * stepsPerEpoch, totalSteps)
  }

  /// What is left after `step` steps, as steps that cost as much as the one just done.
  package func costLeft(after step: Int) -> Double {
    let current = phase(epoch: max(0, step - 1) / stepsPerEpoch).macsTraining
    return phases.reduce(0) { sum, phase in
      let steps = steps(of: phase)
      let left = steps.upperBound - max(steps.lowerBound, min(step, steps.upperBound))
      return sum + Double(left) * Double(phase.macsTraining) / Double(current)
    }
  }

  /// Refuses what the network cannot compute at the smaller sizes.
  static func checkPhases(
    _ phases: [Phase], _ config: RunConfig, trainCount: Int
  ) throws(ConfigurationError) {
    for phase in phases.dropLast() {
      do throws(ConfigurationError) {
        try checkStatistics(config, trainCount: trainCount, blocks: phase.blocks)
      } catch {
        throw ConfigurationError(
          key: "data.resolutions", "on \(phase.height) x \(phase.width) pixels: \(error.problem)")
      }
    }
  }
}
