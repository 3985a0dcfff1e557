import Foundation
import RunPlanning
import Testing
import Training

@Suite struct ScheduleTests {
  private func schedule(_ change: (inout RunConfig.Schedule) -> Void) -> Schedule {
    var configuration = RunConfig.Schedule()
    configuration.learningRate = 0.4
    change(&configuration)
    return Schedule(configuration, stepsPerEpoch: 10, epochs: 4)
  }

  private func expect(
    _ schedule: Schedule, _ rates: [Int: Double],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for (step, rate) in rates {
      #expect(
        abs(schedule.learningRate(step: step) - rate) < 1e-12, "step \(step)",
        sourceLocation: sourceLocation)
    }
  }

  @Test func kinds() {
    expect(schedule { $0.kind = .constant }, [0: 0.4, 39: 0.4])
    expect(
      schedule { $0.kind = .cosine },
      [
        0: 0.4, 20: 0.2, 10: 0.2 + 0.2 * cos(Double.pi / 4),
        39: 0.2 * (1 + cos(Double.pi * 39 / 40)),
      ])
    expect(
      schedule {
        $0.kind = .cosine
        $0.finalLearningRate = 0.1
      }, [0: 0.4, 20: 0.25, 40: 0.1])
    expect(
      schedule {
        $0.kind = .step
        $0.milestones = [1, 2.5]
      }, [0: 0.4, 9: 0.4, 10: 0.04, 24: 0.04, 25: 0.004, 39: 0.004])
    expect(
      schedule {
        $0.kind = .poly
        $0.power = 2
      }, [0: 0.4, 20: 0.1, 40: 0])
  }

  @Test func warmupIsLinearAndTheRestStartsAfterIt() {
    expect(
      schedule {
        $0.kind = .cosine
        $0.warmupEpochs = 1
        $0.warmupStart = 0.5
      }, [0: 0.2, 5: 0.3, 10: 0.4, 25: 0.2, 40: 0])
  }
}
