import Foundation
import _TestSupport

/// A machine that is set up wrong in one thing, as far as a test may: variables, limits, files, and
/// with the rights for it mounts, networks and failing system calls.
struct MisconfiguredMachine: Sendable, CustomStringConvertible {
  var description: String
  /// The finding that must tell, and what its value or mend says.
  var finding: String
  var says: String
  var isAdvice = false
  /// `%` stands for the scratch directory, here and in the words.
  var variables: [String: String] = [:]
  var arguments: [String] = []
  /// Commands around the program.
  var wrapper: [String] = []
  var files: [String: String] = [:]

  init(
    _ description: String, _ finding: String, _ says: String, isAdvice: Bool = false,
    variables: [String: String] = [:], arguments: [String] = [], wrapper: [String] = [],
    files: [String: String] = [:]
  ) {
    self.description = description
    self.finding = finding
    self.says = says
    self.isAdvice = isAdvice
    self.variables = variables
    self.arguments = arguments
    self.wrapper = wrapper
    self.files = files
  }

  private static func limited(
    _ option: String, _ finding: String, _ says: String, isAdvice: Bool = false
  ) -> MisconfiguredMachine {
    .init(option, finding, says, isAdvice: isAdvice, wrapper: ["prlimit", option])
  }

  private static func set(
    _ name: String, _ value: String, _ finding: String, _ says: String, isAdvice: Bool = false
  ) -> MisconfiguredMachine {
    .init("\(name)=\(value)", finding, says, isAdvice: isAdvice, variables: [name: value])
  }

  private static let mpi = "OMPI_MCA_"
  private static let userFile = ".openmpi/mca-params.conf"

  static let everywhere: [MisconfiguredMachine] = [
    .init(
      "a CPU without vectors", "CPU", "built for avx", variables: ["REPVGG_CPUINFO": "%/cpuinfo"],
      files: ["cpuinfo": "model name\t: Old CPU\nflags\t\t: fpu sse sse2\n"]),
    set("OPENBLAS_CORETYPE", "Nehalem", "BLAS", "unset OPENBLAS_CORETYPE"),
    set("OPENBLAS_L2_SIZE", "4711", "BLAS", "unset OPENBLAS_L2_SIZE"),
    set("PATH", "%", "mpirun", "openmpi-bin"),
    .init(
      "the mpirun of another MPI", "mpirun", "not Open MPI's",
      variables: ["PATH": "%:/usr/bin:/bin"],
      files: ["mpirun": "#!/bin/sh\necho HYDRA build details:\n"]),
    .init(
      "an old mpirun", "mpirun", "differ", variables: ["PATH": "%:/usr/bin:/bin"],
      files: ["mpirun": "#!/bin/sh\necho 'mpirun (Open MPI) 3.0.1'\n"]),
    set("PMI_SIZE", "4", "launcher", "alone"),
    set("SLURM_STEP_NUM_TASKS", "8", "launcher", "--mpi=pmix"),
    set(
      "\(mpi)ess_base_forward_signals", "none", "signals", "unset \(mpi)ess_base_forward_signals"),
    .init(
      "no signals, by the user's file", "signals", "remove ess_hnp_forward_signals from %/.openmpi",
      files: [userFile: "ess_hnp_forward_signals = none  # why?\n"]),
    set("\(mpi)coll_libnbc_iallreduce_algorithm", "3", "collectives", "iallreduce"),
    .init(
      "dynamic rules, by the user's file", "collectives", "remove coll_tuned_use_dynamic_rules",
      files: [userFile: "coll_tuned_use_dynamic_rules=1\n"]),
    set("\(mpi)coll", "basic,self", "collectives", "unset \(mpi)coll "),
    set("\(mpi)btl", "tcp", "transports", "self"),
    set("\(mpi)btl", "^self", "transports", "self"),
    set("\(mpi)btl", "self,tcp", "transports", "without vader", isAdvice: true),
    set("\(mpi)btl_tcp_if_include", "lo,eth99", "transports", "no interface eth99"),
    .init(
      "some setting in the user's file", "MCA files", "sets mpi_leave_pinned", isAdvice: true,
      files: [userFile: "\n# a comment = 1\nmpi_leave_pinned = 1\n"]),
    .init("too many ranks", "slots", "--oversubscribe", arguments: ["--ranks", "9999"]),
    .init("ranks that spin", "ranks and cores", "spin", arguments: ["--ranks", "9999"]),
    set("\(mpi)orte_default_hostfile", "%/none", "slots", "cannot be read"),
    .init(
      "a hostfile that hides the crowd", "ranks and cores", "spin", arguments: ["--ranks", "9999"],
      files: [userFile: "orte_default_hostfile = %/hosts\n", "hosts": "localhost slots=9999\n"]),
    .init(
      "a hostfile of others", "slots", "starts nothing on this host", isAdvice: true,
      variables: ["\(mpi)orte_default_hostfile": "%/hosts"], files: ["hosts": "# x\nb7 slots=4\n"]),
    .init(
      "bound before mpirun", "binding", "taskset", arguments: ["--ranks", "2"],
      wrapper: ["taskset", "-c", "0"]),
    set("\(mpi)btl_vader_single_copy_mechanism", "none", "single copy", "one copy", isAdvice: true),
    set("\(mpi)btl_vader_backing_directory", "%/none", "/dev/shm", "unset \(mpi)btl_vader_backing"),
    set("TMPDIR", "/proc/x", "TMPDIR", "cannot be written"),
    .init(
      "TMPDIR is a file", "TMPDIR", "cannot be written", variables: ["TMPDIR": "%/file"],
      files: ["file": ""]),
    limited("--nofile=64", "open files", "ulimit -n"),
    limited("--fsize=100000000", "file size", "ulimit -f"),
    limited("--cpu=600", "CPU time", "SIGXCPU"),
    set("REPVGG_FAILPOINT", "step.updated@1:trap", "failpoints", "unset REPVGG_FAILPOINT"),
    .init(
      "the run's directory is a file", "run directory", "choose another",
      arguments: ["--output", "%/file"],
      files: ["file": ""]),
    .init(
      "the run's directory lies in a file", "run directory", "Not a directory",
      arguments: ["--output", "%/file/a"], files: ["file": ""]),
    .init(
      "a job in the run's directory", "run lock", "held by node7 4711",
      arguments: ["--output", "%/run"],
      wrapper: ["flock", "%/run/.lock"], files: ["run/.lock": "node7 4711\n"]),
  ]

  private static func mounted(
    _ description: String, _ finding: String, _ says: String, isAdvice: Bool = false,
    mount: String, arguments: [String] = ["--output", "%/place/run"]
  ) -> MisconfiguredMachine {
    .init(
      description, finding, says, isAdvice: isAdvice, arguments: arguments,
      wrapper: ["unshare", "-m", "sh", "-c", "mount -t tmpfs \(mount) && exec \"$0\" \"$@\""],
      files: ["place/empty": ""])
  }

  /// Of those who may mount.
  static let privileged: [MisconfiguredMachine] = [
    mounted(
      "a small /dev/shm", "/dev/shm", "SIGBUS", mount: "-o size=8m x /dev/shm",
      arguments: ["--ranks", "8"]),
    mounted("no /dev/shm", "/dev/shm", "mount a tmpfs", mount: "x /dev", arguments: []),
    mounted(
      "a run in memory", "run directory", "disk", isAdvice: true, mount: "x %/place"),
    mounted("a full disk", "free space", "free at least", mount: "-o size=1m x %/place"),
    mounted("few inodes", "free inodes", "small files", mount: "-o nr_inodes=20 x %/place"),
    mounted("no inode", "write", "No space", mount: "-o nr_inodes=1 x %/place"),
    mounted("a read-only disk", "write", "Read-only", mount: "-o ro x %/place"),
    mounted(
      "a full TMPDIR", "TMPDIR", "free space there", mount: "-o size=1m x $TMPDIR", arguments: []),
    .init("no network", "network", "ip link set lo up", wrapper: ["unshare", "-n"]),
  ]

  private static func failing(
    _ call: String, _ error: String, _ finding: String, _ says: String,
    variables: [String: String] = [:]
  ) -> MisconfiguredMachine {
    .init(
      "\(call) fails", finding, says, variables: variables,
      wrapper: ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=\(call):error=\(error)"])
  }

  /// With strace.
  static let failing: [MisconfiguredMachine] = [
    failing("fsync", "EIO", "fsync", "Input/output error"),
    failing("rename", "EPERM", "rename", "no checkpoint"),
    failing("flock", "ENOLCK", "file locks", "No locks available"),
    failing(
      "process_vm_readv", "EPERM", "single copy", "forbids process_vm_readv",
      variables: ["\(mpi)btl_vader_single_copy_mechanism": "cma"]),
  ]

  private static func works(_ command: [String]) -> Bool {
    (try? runExecutable("/usr/bin/env", command).status) == 0
  }

  private static let littleSpace = limited("--as=2000000000", "address space", "ulimit -v")

  /// A build for the address sanitizer reserves terabytes.
  static var startsInLittleSpace: Bool {
    guard let program = try? builtProgram("repvgg") else { return false }
    return works(littleSpace.wrapper + [program, "version"])
  }

  static let here: [MisconfiguredMachine] =
    everywhere + (startsInLittleSpace ? [littleSpace] : [])
    + (works(["unshare", "-m", "sh", "-c", "mount -t tmpfs x /mnt && unshare -n true"])
      ? privileged : [])
    + (works(["strace", "-o", "/dev/null", "true"]) ? failing : [])

  /// Well set up, as far as variables say it.
  static func soundVariables(_ scratch: ScratchDirectory) throws -> [String: String] {
    try FileManager.default.createDirectory(
      atPath: scratch.path("tmp"), withIntermediateDirectories: true)
    var variables = withoutMPI
    for name in ProcessInfo.processInfo.environment.keys
    where ["OMPI_", "PMI", "OPENBLAS_", "SLURM_", "REPVGG_"].contains(where: name.hasPrefix) {
      variables[name] = ""
    }
    return variables.merging([
      "HOME": scratch.path, "TMPDIR": scratch.path("tmp"), "OMPI_ALLOW_RUN_AS_ROOT": "1",
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    ]) { $1 }
  }

  /// Sets it up and asks the doctor.
  func examined() throws -> ProgramResult {
    let scratch = try ScratchDirectory()
    func placed(_ text: String) -> String { text.replacing("%", with: scratch.path) }
    for (name, content) in files {
      let path = URL(fileURLWithPath: scratch.path(name))
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try scratch.write(placed(content), to: name)
      chmod(path.path, 0o755)
    }
    // `env` looks the commands around up in a PATH that the machine may spoil.
    let spoilt = variables.map { "\($0)=\(placed($1))" }
    let environment = try Self.soundVariables(scratch)
    defer { withExtendedLifetime(scratch) {} }
    return try runExecutable(
      "/usr/bin/env",
      (wrapper.map(placed) + ["/usr/bin/env"] + spoilt + [
        builtProgram("repvgg"), "doctor", "--json",
      ]
        + arguments.map(placed)),
      environment: environment, directory: scratch.path)
  }
}
