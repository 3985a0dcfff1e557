import RunPlanning
import _TestSupport

extension FuzzedReader {
  /// Curves of a machine; what is taken must do to predict from.
  static func curves() throws -> FuzzedReader {
    let config = try RunConfig.decode(
      text: """
        model:
          architecture: {stem: 8, depths: [2, 1], widths: [8, 16], groups: {2: 2}}
          strides: [1, 2, 2]
        data: {resolution: 16}
        training: {global_batch: 32, shards: 8}
        """, file: "config.yaml")
    let machine = MachineCurves.Host(
      name: "n", cpu: "c", cores: 2, memoryBytes: 1 << 30, instructionSets: ["fma"], panelWidth: 16,
      programVersion: "0.1.0")
    func plan(_ ranks: Int) throws -> RunPlan {
      try RunPlan.resolve(
        config: config, worldSize: ranks, threads: 1, data: .assumed(for: config),
        machine: MachineSummary(
          cpu: "c", physicalMemoryBytes: 0, cores: 2, blasKernel: "", blasEnvironment: [:],
          mpiVersion: "none", programVersion: "0.1.0"))
    }
    let plans = try [1, 4].map(plan)
    var curves = MachineCurves(machine: machine)
    for shards in [1, 4] {
      curves.add(
        MachineCurves.Step(
          model: "m", classes: 10, parameters: 5000, ranks: 1, threads: 1, shards: shards,
          shardImages: 4,
          blocks: plans[0].blocks.map { .init(shape: $0, forward: 0.1, backward: 0.2) }, head: 0.01,
          update: 0.02))
    }
    curves.add(MachineCurves.Sum(ranks: 2, type: .float64, bytes: 1024, seconds: 1e-5))
    let words = [
      "-1", "1e400", "9223372036854775807", "0", "null", "[]", "{}", "\"\"", "0.5", "true", "NaN",
      "\"float32\"", "\\u0000", "\n", "[[[[", "\"sums\"", "\"steps\"", "\"blocks\"",
    ]
    return FuzzedReader("curves", seeds: [try curves.json()], words: words.map { Array($0.utf8) }) {
      let curves: MachineCurves
      do {
        curves = try MachineCurves(json: $0)
      } catch let error as MachineCurves.Damage {
        try require(!error.description.contains("\n"), "an error of several lines: \(error)")
        return false
      }
      for plan in plans {
        let cluster = RunPrediction.Cluster(
          curves: curves, threads: 1, ranksPerHost: 2,
          network: NetworkSpeed(bytesPerSecond: 1e9, latency: 1e-5))
        do {
          let run = try RunPrediction(plan, curves: curves, cluster: cluster)
          try require(run.step.seconds >= 0, "a step of \(run.step.seconds) s")
        } catch is RunPrediction.Missing {
          continue
        }
      }
      return true
    }
  }
}
