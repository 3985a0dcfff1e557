import RunPlanning
import Testing
import _TestSupport

@testable import Orchestration

@Suite struct CoreTopologyTests {
  /// Two packages of two cores of two threads each, numbered as Linux numbers them on such machines:
  /// first the first threads of all cores, then the second ones; each package is a NUMA domain.
  private func machine(_ scratch: ScratchDirectory) throws -> Doctor.Surroundings {
    for core in 0..<8 {
      let place = "sys/devices/system/cpu/cpu\(core)/topology/"
      try scratch.write("\(core % 4 / 2)\n", to: place + "physical_package_id")
      try scratch.write("\(core % 2)\n", to: place + "core_id")
    }
    try scratch.write("0-1,4-5\n", to: "sys/devices/system/node/node0/cpulist")
    try scratch.write("2-3,6-7\n", to: "sys/devices/system/node/node1/cpulist")
    var here = Doctor.Surroundings(ranks: 1)
    here.root = scratch.path
    here.allowedCores = Array(0..<8)
    here.onlineCores = 8
    return here
  }

  private func write(
    _ scratch: ScratchDirectory, process: Int, name: String = "repvgg", cores: String
  ) throws {
    try scratch.write(name + "\n", to: "proc/\(process)/comm")
    try scratch.write(
      "Name:\t\(name)\nCpus_allowed_list:\t\(cores)\n", to: "proc/\(process)/status")
  }

  @Test func onePlaceForEachPhysicalCore() throws {
    let scratch = try ScratchDirectory()
    var here = try machine(scratch)
    let whole = CoreTopology(here)
    #expect(whole.cores.map(\.number) == [0, 1, 2, 3])
    #expect(whole.cores.map(\.domain) == [0, 0, 1, 1])
    // A container with three of the threads, two of them of one core.
    here.allowedCores = [2, 5, 6]
    #expect(CoreTopology(here).cores.map(\.number) == [5, 2])
  }

  @Test func coresOfWhichNothingIsKnownCount() throws {
    var here = Doctor.Surroundings(ranks: 1)
    here.root = try ScratchDirectory().path
    here.allowedCores = [0, 1, 7]
    #expect(CoreTopology(here).cores.map(\.number) == [0, 1, 7])
  }

  @Test func coresOfOtherJobsAreLeftAlone() throws {
    let scratch = try ScratchDirectory()
    let topology = CoreTopology(try machine(scratch))
    try write(scratch, process: 10, cores: "0")
    try write(scratch, process: 11, cores: "2-3")
    // Who may run everywhere holds nothing, and other programs are not ours to judge.
    try write(scratch, process: 12, cores: "0-7")
    try write(scratch, process: 13, name: "stress", cores: "1")
    try write(scratch, process: 14, cores: "")
    try scratch.write("repvgg\n", to: "proc/15/comm")
    #expect(topology.neighbours(besides: [11]).map(\.process) == [10])
    // Unless it says that it does, as one does whose threads are as many as the cores.
    try scratch.write(
      "Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 0 2 1 9 @repvgg-holds-all-cores-12\n"
        + "0: 2 0 0 2 1 9 /run/x@y\n0: 2 0 0 2 1 9\n", to: "proc/net/unix")
    #expect(topology.neighbours(besides: [10, 11]).map(\.process) == [12])
    #expect(topology.host(own: [], isBoundAlready: false).cores.isEmpty)
    try scratch.write("", to: "proc/net/unix")
    let host = topology.host(own: [], isBoundAlready: false)
    #expect(host.cores == [1] && host.domains == [0])
    #expect(host.neighbours == ["process 10 (cores 0)", "process 11 (cores 2-3)"])
  }

  @Test func lists() {
    #expect(CoreTopology.list("0-3,8") == [0, 1, 2, 3, 8])
    #expect(CoreTopology.list("").isEmpty && CoreTopology.list("3-1,x,-").isEmpty)
  }
}
