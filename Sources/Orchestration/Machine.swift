import Glibc
import Kernels
import RunPlanning
import Tensors

/// The machine as this process finds it.
package enum Machine {
  package static let programVersion = "0.1.0"

  /// `mpiVersion`: what the collectives' backend says of its library.
  package static func summary(mpiVersion: String) -> MachineSummary {
    MachineSummary(
      cpu: processor, physicalMemoryBytes: usableMemory, cores: cores,
      blasKernel: BLAS.kernelName, blasEnvironment: blasEnvironment, mpiVersion: mpiVersion,
      programVersion: programVersion,
      localRanks: localRanks,
      instructionSets: KernelBuild.instructionSets, panelWidth: KernelBuild.panelWidth)
  }

  private static var localRanks: Int { toldLocalRanks ?? 1 }

  /// Ranks of the job on this host, where mpirun or srun says it.
  package static var toldLocalRanks: Int? {
    if let count = environment("OMPI_COMM_WORLD_LOCAL_SIZE").flatMap({ Int($0) }) { return count }
    guard let tasks = environment("SLURM_STEP_TASKS_PER_NODE"),
      let node = environment("SLURM_NODEID").flatMap({ Int($0) })
    else { return nil }
    return slurmTasks(tasks, node: node)
  }

  /// Whether srun has given every task cores of its own, by what it says of them: `mask_cpu:` or `map_cpu:`
  /// and not `none`.
  static func isSlurmBinding(_ type: String) -> Bool {
    type.hasPrefix("mask_") || type.hasPrefix("map_")
  }

  /// The tasks of a node out of Slurm's list for all, e.g. 4 of `2,4(x3)` for nodes 1 to 3. Nil where there
  /// is no such node.
  static func slurmTasks(_ list: String, node: Int) -> Int? {
    var first = 0
    for part in list.split(separator: ",") {
      let words = part.split(separator: "(x", omittingEmptySubsequences: false)
      guard let tasks = Int(words[0]), tasks > 0, words.count < 3,
        let repeats = words.count == 1
          ? 1 : words[1].last == ")" ? Int(words[1].dropLast()) : nil, repeats > 0
      else { return nil }
      first += repeats
      if node < first { return node < 0 ? nil : tasks }
    }
    return nil
  }

  /// The threads of this rank, which wait according to whether there is a core for every thread of
  /// every rank here. Cores of a rank's mask are its own where it has bound itself; and are taken to be
  /// where mpirun bound it and the host has as many for every rank.
  package static func pool(threads: Int) -> WorkerPool {
    let isBound =
      environment("OMPI_MCA_orte_bound_at_launch") == "1"
      || isSlurmBinding(environment("SLURM_CPU_BIND_TYPE") ?? "")
    let ownsMask = RankPlacement.isBound || isBound && cores * localRanks <= onlineCores
    let sharing = ownsMask ? 1 : localRanks
    return WorkerPool(threads: threads, ownCores: threads * sharing <= cores)
  }

  package static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return String(
      decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Names of the MCA parameters that the environment sets.
  package static var mpiSettings: Set<String> {
    let prefix = "OMPI_MCA_"
    return Set(
      Doctor.Surroundings(ranks: nil).variables
        .filter { $0.key.hasPrefix(prefix) && !$0.value.isEmpty }.map {
          String($0.key.dropFirst(prefix.count))
        })
  }

  /// Where the program's file lies.
  package static var programPath: String {
    guard let path = realpath("/proc/self/exe", nil) else { return CommandLine.arguments[0] }
    defer { free(path) }
    return String(cString: path)
  }

  /// Runs another program, found on PATH, in this one's place; returns only with the reason why not.
  /// mpirun's own leave for the superuser is given.
  package static func become(_ words: [String]) -> String {
    if getuid() == 0 {
      for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        setenv(name, "1", 1)
      }
    }
    fflush(nil)
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    defer { arguments.forEach { free($0) } }
    arguments.append(nil)
    execvp(words[0], arguments)
    return String(cString: strerror(errno))
  }

  /// How an error calls a rank of this host: `rank 2`, and `rank 2 on node7` where the job's `size` ranks
  /// are spread over several hosts.
  package static func name(ofRank rank: Int, of size: Int) -> String {
    let here = toldLocalRanks ?? size
    return here < size ? "rank \(rank) on \(hostName)" : "rank \(rank)"
  }

  /// What MPI cannot start without, it does not always say: address space (code 78), and space where it
  /// keeps a job's files (code 74). A rank would end by a signal in it, or hang.
  package static func requireSpaceForMPI() throws {
    try MemoryLimit.requireAddressSpaceForMPI()
    let path = ["TMPDIR", "TEMP", "TMP"].lazy.compactMap(environment).first ?? "/tmp"
    guard let free = Doctor.free(path)?.bytes, free < 131_072 else { return }
    let rank = environment("OMPI_COMM_WORLD_RANK") ?? "0"
    throw JobFailure(
      .inputOutput,
      "rank \(rank) on \(hostName): \(path): \(free / 1024) KiB free, too little for MPI to start; "
        + "free space there, or set TMPDIR to another local directory")
  }

  /// Hash of the program's file; empty where it cannot be read. By pieces: it must not need memory, or a
  /// rank that has little would look like one with another program.
  static var programHash: String {
    let descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 64) { piece in
      var hash = StateHash()
      while true {
        let count = read(descriptor, piece.baseAddress, piece.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { return "" }
        if count == 0 { return String(hash.value, radix: 16) }
        hash.combine(UnsafeRawBufferPointer(rebasing: piece[..<count]))
      }
    }
  }

  /// Another one after every start of the machine; empty where the system does not say.
  static var bootIdentifier: String {
    guard let file = fopen("/proc/sys/kernel/random/boot_id", "re") else { return "" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 64)
    guard fgets(&line, Int32(line.count), file) != nil else { return "" }
    return String(decoding: line.prefix { $0 > 0x20 }.map(UInt8.init), as: UTF8.self)
  }

  /// Cores that this process may use: its binding mask.
  package static var cores: Int {
    let mask = field("Cpus_allowed", of: "/proc/self/status") ?? ""
    let bits = mask.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
    return max(1, bits == 0 ? sysconf(Int32(_SC_NPROCESSORS_ONLN)) : bits)
  }

  /// Numbers of the cores that this process may use.
  package static var allowedCores: [Int] {
    // Hexadecimal digits in words of 32 bits, the highest first.
    let digits = (field("Cpus_allowed", of: "/proc/self/status") ?? "").reversed()
      .compactMap(\.hexDigitValue)
    let cores = digits.enumerated().flatMap { place, digit in
      (0..<4).filter { digit >> $0 & 1 == 1 }.map { 4 * place + $0 }
    }
    return cores.isEmpty ? Array(0..<onlineCores) : cores
  }

  /// Cores of the machine.
  package static var onlineCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  package static var physicalMemory: Int {
    sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
  }

  /// Bytes that the processes of this machine, or of this container where it has a limit, may take.
  package static var usableMemory: Int {
    min(physicalMemory, ControlGroup(Doctor.Surroundings(ranks: nil)).memory ?? .max)
  }

  /// Largest resident size of this process so far, in bytes.
  package static var peakResidentBytes: Int {
    // Not getrusage's: that begins with what the process had that started this one.
    let kilobytes = field("VmHWM", of: "/proc/self/status").flatMap { value in
      Int(value.prefix { $0.isNumber })
    }
    return (kilobytes ?? 0) * 1024
  }

  /// Variables that override OpenBLAS's own choice of kernel or blocking.
  package static var blasEnvironment: [String: String] {
    var found: [String: String] = [:]
    for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"] {
      found[name] = environment(name)
    }
    return found
  }

  /// What the system says of the processor. REPVGG_CPUINFO names another file, with which tests stand
  /// on another machine.
  private static var processorFile: String { environment("REPVGG_CPUINFO") ?? "/proc/cpuinfo" }

  /// Model name of the processor.
  package static var processor: String {
    field("model name", of: processorFile) ?? "unknown processor"
  }

  /// Instruction-set flags of the processor.
  package static var processorFlags: Set<String> {
    Set((field("flags", of: processorFile) ?? "").split(separator: " ").map(String.init))
  }

  package static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }

  /// The value of the first line `name: value` of a file of the kernel.
  private static func field(_ name: String, of path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 8192)
    while fgets(&line, Int32(line.count), file) != nil {
      let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      let text = String(decoding: bytes, as: UTF8.self)
      guard text.prefix(while: { $0 != ":" && $0 != "\t" }) == name,
        let colon = text.firstIndex(of: ":")
      else { continue }
      let value = text[text.index(after: colon)...]
      return String(value.drop { $0 == " " || $0 == "\t" }.prefix { $0 != "\n" })
    }
    return nil
  }
}
