import Kernels
import RepVGGModel
import RunPlanning
import Testing

/// The plan's memory against what the network allocates.
@Suite struct MemoryTests {
  @Test(arguments: [("RepVGG-A0", 64, 1, 1), ("RepVGG-A0", 64, 2, 2), ("RepVGG-B1g4", 32, 4, 1)])
  func planIsWhatIsAllocated(name: String, size: Int, shards: Int, threads: Int) throws {
    let architecture = try #require(Architecture.zoo.first { $0.name == name })
    try check(architecture, size: size, shards: shards, threads: threads)
  }

  /// Images so small that what squeeze-and-excitation keeps is more than a tenth of all.
  @Test(arguments: [(1, 1), (2, 2)]) func excitationIsPlanned(shards: Int, threads: Int) throws {
    try check(
      Architecture(
        stemWidth: 32, depths: [2, 2], widths: [64, 256], groups: [1: 2], squeezeExcitation: true),
      size: 8, shards: shards, threads: threads)
  }

  private func check(
    _ architecture: Architecture, size: Int, shards: Int, threads: Int
  ) throws {
    let blocks = architecture.blocks(inputChannels: 3, height: size, width: size)
    let network = TrainingNetwork(
      shape: NetworkShape(blocks: blocks, classes: 10, shards: shards, shardCapacity: 4),
      pool: WorkerPool(threads: threads))
    let memory = CostModel(blocks: blocks, classes: 10).memory(
      layout: network.layout,
      load: CostModel.Load(
        shards: shards, shardSize: 4, threads: threads, prefetch: 2, datasetBytes: 0))
    let planned =
      memory.shardScratch + memory.activations + memory.activationGradients + memory.scratch
    let error = Double(abs(planned - network.workingBytes)) / Double(network.workingBytes)
    #expect(error < 0.01, "\(planned) planned, \(network.workingBytes) allocated")
    #expect(memory.parameters == network.parameters.count * 4)
  }
}
