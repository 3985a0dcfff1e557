import Glibc
import Testing
import _TestSupport

@testable import Orchestration

/// Machines that no test can be run on: other files of the kernel, other limits, another library.
@Suite struct DoctorTests {
  private static let library = Doctor.Library(
    name: "Open MPI v4.1.4", headers: "4.1.4", permitsSingleCopy: true)

  /// Two cores and nothing set.
  private static func machine(
    _ scratch: ScratchDirectory, files: [String: String] = [:],
    _ change: (inout Doctor.Surroundings) -> Void = { _ in }
  ) throws -> Doctor.Surroundings {
    for (name, text) in files { try scratch.write(text, to: name) }
    try scratch.write("", to: "dev/shm/other")
    var here = Doctor.Surroundings(ranks: 2)
    here.variables = ["TMPDIR": scratch.path]
    here.root = scratch.path
    here.limits = [Int(RLIMIT_CORE.rawValue): 0]
    here.isSuperuser = false
    (here.onlineCores, here.allowedCores) = (2, [0, 1])
    change(&here)
    return here
  }

  private static func finding(
    _ name: String, _ here: Doctor.Surroundings, _ library: Doctor.Library = library
  ) throws -> Doctor.Finding {
    try #require(Doctor(here, library: library).examine().first { $0.name == name })
  }

  struct Fault: Sendable, CustomStringConvertible {
    var name: String
    var says: String
    var isAdvice = false
    var files: [String: String] = [:]
    var change: @Sendable (inout Doctor.Surroundings) -> Void = { _ in }
    var library = DoctorTests.library
    var description: String { "\(name): \(says)" }
  }

  private static let group = "0::/jobs/7\n"

  static let faults: [Fault] = [
    Fault(
      name: "memory", says: "below 2 GiB",
      files: ["proc/self/cgroup": group, "sys/fs/cgroup/jobs/7/memory.max": "1000000000\n"]),
    Fault(
      name: "memory", says: "below 2 GiB",
      files: [
        "proc/self/cgroup": "4:memory:/a/b\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n",
      ]),
    Fault(
      name: "memory", says: "vm.overcommit_memory=0", isAdvice: true,
      files: ["proc/sys/vm/overcommit_memory": "2\n"]),
    Fault(
      name: "CPU quota", says: "--cpus",
      files: [
        "proc/self/cgroup": group, "sys/fs/cgroup/jobs/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/jobs/7/cpu.max": "max 100000\n",
      ]),
    Fault(
      name: "ranks and cores", says: "spin",
      files: [
        "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
        "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
      ]),
    Fault(
      name: "processes", says: "--pids-limit",
      files: ["proc/self/cgroup": group, "sys/fs/cgroup/jobs/7/pids.max": "20\n"]),
    Fault(name: "processes", says: "ulimit -u") { $0.limits[Int(__RLIMIT_NPROC.rawValue)] = 20 },
    Fault(name: "core dumps", says: "ulimit -c 0", isAdvice: true) { $0.limits = [:] },
    Fault(
      name: "single copy", says: "kernel.yama.ptrace_scope=0", isAdvice: true,
      files: ["proc/sys/kernel/yama/ptrace_scope": "1\n"]),
    Fault(
      name: "clock", says: "clocksource=tsc", isAdvice: true,
      files: ["sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n"]),
    Fault(name: "clock", says: "stands still") { $0.monotonic = [7, 7] },
    Fault(name: "clock", says: "set it") { $0.wallClock = 0 },
    Fault(name: "user", says: "OMPI_ALLOW_RUN_AS_ROOT") { $0.isSuperuser = true },
    Fault(name: "binding", says: "taskset") { $0.allowedCores = [1] },
    Fault(name: "binding", says: "slot:PE=4", isAdvice: true) {
      $0.variables["OMPI_COMM_WORLD_SIZE"] = "2"
      ($0.onlineCores, $0.allowedCores) = (8, [1])
    },
    Fault(
      name: "MCA files", says: "sets mpi_leave_pinned", isAdvice: true,
      files: ["etc/openmpi/openmpi-mca-params.conf": "mtl = ^ofi\nmpi_leave_pinned=1\n"]),
    Fault(
      name: "slots", says: "--oversubscribe",
      files: ["etc/openmpi/openmpi-default-hostfile": "# none\nlocalhost slots=1\n"]),
    Fault(
      name: "MPI", says: "library and headers differ",
      library: .init(name: "Open MPI v4.1.6", headers: "4.1.4", permitsSingleCopy: true)),
    Fault(
      name: "MPI", says: "4.1.4 or newer",
      library: .init(name: "Open MPI v4.0.9", headers: "4.0.9", permitsSingleCopy: true)),
    Fault(
      name: "MPI", says: "is not Open MPI",
      library: .init(name: "MPICH Version:\t4.0.2", headers: "4.1.4", permitsSingleCopy: true)),
  ]

  @Test(arguments: faults) func isFound(_ fault: Fault) throws {
    let scratch = try ScratchDirectory()
    let before = try Self.finding(fault.name, Self.machine(scratch))
    #expect(before.mend == nil, "\(before)")
    let here = try Self.machine(scratch, files: fault.files, fault.change)
    let finding = try Self.finding(fault.name, here, fault.library)
    #expect(finding.mend?.contains(fault.says) == true, "\(finding)")
    #expect(finding.isAdvice == fault.isAdvice)
  }

  @Test func leftoversOfDeadJobsAreNamed() throws {
    let scratch = try ScratchDirectory()
    // Process numbers end below 2^22.
    let session = "ompi.\(Machine.hostName.prefix { $0 != "." }).\(getuid())"
    for name in ["pid.99999999", "pid.\(getpid())"] {
      try scratch.write("", to: "\(scratch.path.dropFirst())/\(session)/\(name)/x")
    }
    for name in ["vader_segment.a.0.1.0", "vader_segment.a.0.1.1", "vader_segment.young"] {
      try scratch.write("", to: "dev/shm/\(name)")
      var times = [timeval(tv_sec: 1, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]
      if name.hasSuffix("young") {
        times = [timeval(), timeval()].map { _ in
          timeval(tv_sec: time(nil), tv_usec: 0)
        }
      }
      utimes(scratch.path("dev/shm/\(name)"), times)
    }
    // One of them has a process.
    let here = try Self.machine(
      scratch, files: ["proc/7/maps": "7f00-7f01 rw-s 0 0:1 5  /dev/shm/vader_segment.a.0.1.1\n"])
    let finding = try Self.finding("leftovers", here)
    #expect(finding.isAdvice)
    #expect(
      finding.mend
        == "rm -r /dev/shm/vader_segment.a.0.1.0 \(scratch.path)/\(session)/pid.99999999")
  }

  @Test func theEnvironmentIsStrongerThanFiles() throws {
    let scratch = try ScratchDirectory()
    let name = "ess_base_forward_signals"
    let here = try Self.machine(
      scratch,
      files: [
        "etc/openmpi/openmpi-mca-params.conf": "\(name) = none\nonly = here",
        "user/.openmpi/mca-params.conf": " \(name)=\"USR1\" # comment\n= x\nnothing\n",
      ]
    ) { $0.variables["HOME"] = scratch.path("user") }
    let settings = MCASettings(here)
    #expect(settings[name]?.value == "USR1" && settings["only"]?.value == "here")
    #expect(
      settings.removal(name) == "remove \(name) from \(scratch.path)/user/.openmpi/mca-params.conf")
    #expect(settings.names == [name, "only"])
    var louder = here
    louder.variables["OMPI_MCA_\(name)"] = "none"
    #expect(MCASettings(louder)[name]?.file == nil)
    #expect(try Self.finding("signals", here).mend == nil)
    #expect(try Self.finding("signals", louder).mend?.hasPrefix("unset OMPI_MCA_\(name) ") == true)
  }

  private static let apart =
    "no network is common with a: if the job does not start, name one that leads there with "
    + "launch/train --interface"

  @Test func hostsOfOneNetworkAreFound() throws {
    func host(_ name: String, _ address: UInt32, isLoopback: Bool = false) -> Doctor.Message {
      let interface = NetworkInterface(
        name: "eth0", isUp: true, isLoopback: isLoopback, address: address, mask: 0xFFFF_FF00,
        speed: 25_000)
      return .init(
        host: name, findings: [], program: "p", cores: [0], userNamespace: "u",
        interfaces: [interface])
    }
    let settings = MCASettings(try Self.machine(ScratchDirectory()))
    func findings(_ messages: [Doctor.Message]) -> [Doctor.Finding] {
      Doctor.compared(messages, singleCopy: settings).flatMap(\.findings)
        .filter { $0.name == "common network" }
    }
    let near = findings([host("a", 0x0A00_0001), host("b", 0x0A00_0002)])
    #expect(near.map(\.mend) == [nil, nil])
    #expect(near[1].value == "eth0 10.0.0.2/24 at 25 Gb/s")
    let far = findings([host("a", 0x0A00_0001), host("b", 0x0A00_0102)])
    #expect(far.map(\.mend) == [nil, Self.apart])
    let alone = [
      host("a", 0x7F00_0001, isLoopback: true), host("b", 0x7F00_0001, isLoopback: true),
    ]
    #expect(findings(alone)[1].mend == Self.apart)
    #expect(findings([host("a", 1), host("a", 1)]).isEmpty)
  }

  @Test func ranksTogetherShowMore() throws {
    let settings = MCASettings(try Self.machine(ScratchDirectory()))
    func message(_ host: String, program: String = "p", cores: [Int], space: String = "u")
      -> Doctor.Message
    {
      .init(
        host: host, findings: [], program: program, cores: cores, userNamespace: space,
        interfaces: [])
    }
    func mends(_ messages: [Doctor.Message]) -> [[String?]] {
      Doctor.compared(messages, singleCopy: settings).map { $0.findings.map(\.mend) }
    }
    let all = Array(0..<Machine.onlineCores)
    let none: [String?] = [nil, nil, nil]
    // Each rank has a core, another host counts for itself, and cores that all share are crowded at most.
    #expect(
      mends([message("a", cores: [0]), message("a", cores: [1]), message("b", cores: [0])])
        == Array(repeating: none + [nil], count: 2) + [none + [Self.apart]])
    #expect(mends([message("a", cores: all), message("a", cores: all)]) == [none, none])
    if Machine.onlineCores > 1 {
      let shared = mends([message("a", cores: [0]), message("a", cores: [0])])
      #expect(shared.allSatisfy { $0[1]?.contains("--bind-to none") == true })
    }
    let programs = mends([message("a", cores: all), message("b", program: "q", cores: all)])
    #expect(programs[0] == none + [nil] && programs[1][0]?.contains("same program") == true)
    let spaces = mends([message("a", cores: all), message("a", cores: all, space: "v")])
    #expect(spaces.allSatisfy { $0[2]?.contains("one container") == true })
  }
}
