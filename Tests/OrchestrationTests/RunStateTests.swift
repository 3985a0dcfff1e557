import Orchestration
import RunPlanning
import Testing

/// What a resume says of a machine or build that is another than the run's.
@Suite struct RunStateTests {
  private func plan(
    panelWidth: Int, sets: [String], overrides: [String] = []
  ) throws -> RunPlan {
    let config = try RunConfig.decode(
      text: "model: {architecture: RepVGG-A0}", file: "config.yaml", overrides: overrides)
    return try RunPlan.resolve(
      config: config, worldSize: 1, threads: 1, data: .assumed(for: config),
      machine: MachineSummary(
        cpu: "Test CPU", physicalMemoryBytes: 0, cores: 2, blasKernel: "Zen", blasEnvironment: [:],
        mpiVersion: "none", programVersion: "0.1.0", instructionSets: sets,
        panelWidth: panelWidth))
  }

  @Test func anotherBuildIsSaid() throws {
    let old = try plan(panelWidth: 16, sets: ["avx2", "fma"])
    let state = RunState(plan: old, step: 3, best: nil, origin: nil)
    #expect(
      state.kernels?.paths == ["winograd-4x4": 4, "winograd-5x5": 13, "direct": 4, "recomputed": 1])
    #expect(state.differences(from: old) == [])
    let new = try plan(panelWidth: 32, sets: ["avx2", "fma", "avx512f"])
    #expect(
      state.differences(from: new) == [
        "instruction set was avx2, fma and is now avx2, fma, avx512f: the bits from here on may be "
          + "others",
        "panel width was 16 and is now 32: the bits from here on may be others",
      ])
  }

  @Test func initialWeightsThatAreNotReadAreSaid() throws {
    func plan(_ path: String) throws -> RunPlan {
      try self.plan(panelWidth: 16, sets: [], overrides: ["model.initialize_from=\(path)"])
    }
    let old = RunState(plan: try plan("a.safetensors"), step: 3, best: nil, origin: nil)
    #expect(old.differences(from: try plan("a.safetensors")) == [])
    #expect(
      old.differences(from: try plan("b.safetensors")) == [
        "model.initialize_from was a.safetensors and is now b.safetensors: it is not read, as the "
          + "run goes on from a checkpoint"
      ])
    let none = try self.plan(panelWidth: 16, sets: [])
    #expect(old.differences(from: none)[0].contains("is now empty: it is not read"))
  }

  @Test func anotherChoiceOfKernelsIsSaid() throws {
    let plan = try plan(panelWidth: 16, sets: ["avx2", "fma"])
    var state = RunState(plan: plan, step: 3, best: nil, origin: nil)
    state.kernels?.paths = ["direct": 22]
    #expect(
      state.differences(from: plan) == [
        "choice of kernels was 22 direct and is now 4 direct, 1 recomputed, 4 winograd-4x4, "
          + "13 winograd-5x5: the bits from here on may be others"
      ])
    state.kernels = nil
    #expect(state.differences(from: plan).count == 3)
    #expect(state.differences(from: plan)[0].hasPrefix("choice of kernels was not recorded"))
  }
}
