@testable import RunPlanning

/// Small configurations and plans for the tests of this room.
enum Sample {
  static func config(_ text: String, set: [String] = []) throws(ConfigurationError) -> RunConfig {
    try RunConfig.decode(text: text, file: "config.yaml", overrides: set)
  }

  /// The size of Fashion-MNIST.
  static let fashion = DataSummary(
    trainCount: 60_000, testCount: 10_000, classes: 10, channels: 1, height: 28, width: 28,
    fingerprint: "f0", residentBytes: 70_000 * 28 * 28)

  static let machine = MachineSummary(
    cpu: "Test CPU", physicalMemoryBytes: 1 << 50, cores: 2, blasKernel: "SkylakeX",
    blasEnvironment: [:], mpiVersion: "4.1.4", programVersion: "0.1.0")

  /// A plan for `data`, or for what is assumed where that is nil.
  static func plan(
    _ text: String, set: [String] = [], ranks: Int = 1, threads: Int = 1,
    data: DataSummary? = fashion, machine: MachineSummary = machine
  ) throws(ConfigurationError) -> RunPlan {
    let config = try config(text, set: set)
    return try RunPlan.resolve(
      config: config, worldSize: ranks, threads: threads, data: data ?? .assumed(for: config),
      machine: machine)
  }

  /// Five blocks, small images: `data.directory` is named, not opened.
  static let small = """
    model:
      architecture: {stem: 8, depths: [2, 2], widths: [8, 16], groups: {2: 2}}
      strides: [1, 2, 2]
    data: {directory: /data}
    training: {global_batch: 32, shards: 8, epochs: 2}
    """
}
