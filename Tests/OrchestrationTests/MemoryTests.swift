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
        shards: shards, shardSize: 4, threads: threads, prefetch: 2, datasetBytes: 0,
        panelWidth: KernelBuild.panelWidth))
    let planned =
      memory.shardScratch + memory.activations + memory.activationGradients + memory.scratch
    let error = Double(abs(planned - network.workingBytes)) / Double(network.workingBytes)
    #expect(error < 0.01, "\(planned) planned, \(network.workingBytes) allocated")
    #expect(memory.parameters == network.parameters.count * 4)
  }

  /// What is computed at several sizes takes what the largest takes, or more where a smaller one's
  /// path works in more.
  @Test(arguments: [[64], [32, 64, 48], [224, 176]])
  func sizesShareTheirMemory(sides: [Int]) throws {
    let architecture = try #require(Architecture.zoo.first { $0.name == "RepVGG-A0" })
    let sizes = sides.map { architecture.blocks(inputChannels: 3, height: $0, width: $0) }
    let largest = try #require(sizes.max { $0[0].inputHeight < $1[0].inputHeight })
    let network = TrainingNetwork(
      shape: NetworkShape(blocks: largest, classes: 10, shards: 1, shardCapacity: 4),
      otherSizes: sizes, pool: WorkerPool(threads: 2))
    let memory = CostModel(blocks: largest, classes: 10).memory(
      layout: network.layout,
      load: CostModel.Load(
        shards: 1, shardSize: 4, threads: 2, prefetch: 2, datasetBytes: 0,
        panelWidth: KernelBuild.panelWidth),
      otherSizes: sizes)
    let planned =
      memory.shardScratch + memory.activations + memory.activationGradients + memory.scratch
    for blocks in sizes {
      network.resize(to: blocks)
      #expect(Double(network.workingBytes) < 1.01 * Double(planned))
    }
    network.resize(to: largest)
    #expect(Double(planned) < 1.01 * Double(network.workingBytes))
  }
}
