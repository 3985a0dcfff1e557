import Kernels
import RepVGGModel
import RunPlanning
import Testing
import Training

@Suite struct WeightAverageTests {
  /// More parameters than one task takes.
  private func network(threads: Int) throws -> TrainingNetwork {
    let architecture = Architecture(stemWidth: 16, depths: [1, 2], widths: [16, 96])
    let network = TrainingNetwork(
      shape: NetworkShape(
        blocks: architecture.blocks(inputChannels: 3, height: 8, width: 8), classes: 10, shards: 1,
        shardCapacity: 1),
      pool: WorkerPool(threads: threads))
    try network.initialise(seed: 1)
    #expect(network.parameters.count > 65_536)
    return network
  }

  /// What training might make of the weights in a step.
  private func change(_ network: TrainingNetwork, step: Int) {
    for index in 0..<network.parameters.count {
      network.parameters.base[index] += Float((index + 3 * step) % 11) / 8 - 0.5
    }
    for index in network.runningStatistics.indices {
      network.runningStatistics[index] += Float((index + step) % 5)
    }
  }

  private func values(_ network: TrainingNetwork) -> [Float] {
    Array(network.parameters.all) + Array(network.runningStatistics)
  }

  @Test(arguments: [0.5, 0.99]) func weightsAndStatisticsAreAveraged(decay: Double) throws {
    let network = try network(threads: 1)
    let average = WeightAverage(network, decay: decay)
    average.begin()
    var expected = values(network).map(Double.init)
    for step in 1...30 {
      change(network, step: step)
      average.update(step: step)
      let kept = min(decay, Double(1 + step) / Double(10 + step))
      for (index, value) in values(network).enumerated() {
        expected[index] = kept * expected[index] + (1 - kept) * Double(value)
      }
    }
    let trained = values(network)
    average.whileInUse {
      let found = values(network)
      #expect(
        found.indices.allSatisfy { abs(Double(found[$0]) - expected[$0]) < 1e-4 })
      #expect(found != trained && average.isInUse)
    }
    #expect(values(network) == trained && !average.isInUse)
  }

  @Test func threadsDoNotChangeItsBits() throws {
    let averages = try [1, 3].map { threads in
      let network = try network(threads: threads)
      let average = WeightAverage(network, decay: 0.9)
      average.begin()
      for step in 1...3 {
        change(network, step: step)
        average.update(step: step)
      }
      average.exchange()
      return values(network)
    }
    #expect(averages[0] == averages[1])
  }
}
