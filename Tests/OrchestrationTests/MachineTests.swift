import Testing

@testable import Orchestration

/// What a process finds out about its place.
@Suite struct MachineTests {
  @Test(
    arguments: [
      ("4", 0, 4), ("4", 1, nil), ("2(x3)", 2, 2), ("2(x3)", 3, nil), ("2,4(x3),1", 0, 2),
      ("2,4(x3),1", 3, 4), ("2,4(x3),1", 4, 1), ("2", -1, nil), ("", 0, nil), ("x(x2)", 0, nil),
      ("2(x)", 0, nil), ("2(x31", 0, nil), ("2(x", 0, nil), ("2(x-1)", 0, nil),
      ("2(x1)(x2)", 0, nil),
    ] as [(String, Int, Int?)])
  func slurmSaysHowManyShareANode(list: String, node: Int, tasks: Int?) {
    #expect(Machine.slurmTasks(list, node: node) == tasks)
  }

  @Test func slurmSaysWhetherTasksHaveCores() {
    #expect(Machine.isSlurmBinding("mask_cpu:") && Machine.isSlurmBinding("map_cpu:"))
    #expect(!Machine.isSlurmBinding("none") && !Machine.isSlurmBinding(""))
  }
}
