import Glibc
import Kernels

/// `repvgg doctor`: what a run needs of this machine, each with the mend where it is missing.
package struct Doctor {
  package struct Finding: Sendable, Codable {
    package var name: String
    package var value: String
    /// Nil where all is well.
    package var mend: String?
  }

  private let ranks: Int
  private let mpiVersion: String

  /// `ranks`: of the job that asks, or that is meant to run here.
  package init(ranks: Int, mpiVersion: String) {
    self.ranks = ranks
    self.mpiVersion = mpiVersion
  }

  package func examine() -> [Finding] {
    [
      processor, blas, blasThreads, mpi, mpirun, oversubscription, binding, rootPermission,
      singleCopy, sharedMemory, openFiles, memory,
    ]
  }

  private var processor: Finding {
    let flags = Machine.processorFlags
    let vectors = ["avx512f", "avx2", "fma"].filter(flags.contains)
    let missing = Machine.missingFeatures(KernelBuild.features, flags: flags)
    return Finding(
      name: "CPU",
      value: "\(Machine.processor), \(Machine.onlineCores) cores, "
        + (vectors.isEmpty ? "no AVX" : vectors.joined(separator: " ")),
      mend: missing.isEmpty
        ? nil
        : "the program was built for \(missing.joined(separator: ", ")), which this CPU has not; "
          + "build here, or with launch/build --cpu x86-64-v3")
  }

  private var blas: Finding {
    let environment = Machine.blasEnvironment.sorted { $0.key < $1.key }
    let forced = environment.map(\.key)
    let settings = environment.map { "\($0.key)=\($0.value)" }
    return Finding(
      name: "BLAS",
      value: "OpenBLAS kernel \(BLAS.kernelName)"
        + (settings.isEmpty ? "" : ", \(settings.joined(separator: ", "))"),
      mend: forced.isEmpty
        ? nil : "unset \(forced.joined(separator: " and ")): OpenBLAS's own choice is faster here")
  }

  private var blasThreads: Finding {
    BLAS.useOneThread()
    return Finding(
      name: "BLAS threads", value: "\(BLAS.threads) in each calling thread",
      mend: BLAS.threads == 1
        ? nil : "this OpenBLAS ignores openblas_set_num_threads; set OPENBLAS_NUM_THREADS=1")
  }

  private var mpi: Finding {
    Finding(
      name: "MPI", value: mpiVersion == "none" ? "not started by mpirun: one rank" : mpiVersion,
      mend: nil)
  }

  private var mpirun: Finding {
    let places = (Machine.environment("PATH") ?? "").split(separator: ":")
    let found = places.map { String($0) + "/mpirun" }.first { access($0, X_OK) == 0 }
    return Finding(
      name: "mpirun", value: found ?? "not on PATH",
      mend: found == nil ? "apt-get install openmpi-bin, or run launch/install" : nil)
  }

  private var oversubscription: Finding {
    let cores = Machine.onlineCores
    let yields = Machine.environment("OMPI_MCA_mpi_yield_when_idle") == "1"
    let isNeeded = ranks > cores
    return Finding(
      name: "ranks and cores",
      value: "\(ranks) ranks on \(cores) cores\(isNeeded && yields ? ", idle ranks yield" : "")",
      mend: isNeeded && !yields
        ? "ranks above cores spin while they wait: set OMPI_MCA_mpi_yield_when_idle=1 and give "
          + "mpirun --oversubscribe --bind-to none, or use launch/train" : nil)
  }

  private var binding: Finding {
    let (allowed, online) = (Machine.cores, Machine.onlineCores)
    let isBoundTight = ranks > 1 && allowed < online && allowed == 1
    return Finding(
      name: "binding", value: "this process may use \(allowed) of \(online) cores",
      mend: isBoundTight ? "with several threads in a rank give mpirun --bind-to none" : nil)
  }

  private var rootPermission: Finding {
    guard getuid() == 0 else { return Finding(name: "user", value: "not root", mend: nil) }
    let isAllowed = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"].allSatisfy {
      Machine.environment($0) == "1"
    }
    return Finding(
      name: "user", value: "root\(isAllowed ? ", allowed to Open MPI" : "")",
      mend: isAllowed
        ? nil
        : "mpirun refuses root: set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, "
          + "or use launch/train")
  }

  private var singleCopy: Finding {
    let setting = Machine.environment("OMPI_MCA_btl_vader_single_copy_mechanism")
    let isContainer = access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0
    return Finding(
      name: "single copy", value: setting ?? "as this system permits",
      mend: isContainer && setting != nil && setting != "none"
        ? "unset OMPI_MCA_btl_vader_single_copy_mechanism: the program then chooses what a container "
          + "permits" : nil)
  }

  private var sharedMemory: Finding {
    var status = statvfs()
    guard statvfs("/dev/shm", &status) == 0 else {
      return Finding(
        name: "/dev/shm", value: "missing",
        mend: "mount a tmpfs on /dev/shm: ranks of one host talk through it")
    }
    let free = Int(status.f_bavail) * Int(status.f_frsize)
    // Open MPI takes 4 MiB a rank and some more for its own books.
    let needed = ranks * 6_291_456
    return Finding(
      name: "/dev/shm", value: "\(free / 1_048_576) MiB free",
      mend: free < needed
        ? "\(ranks) ranks need about \(needed / 1_048_576) MiB: enlarge it (docker run --shm-size), "
          + "or set OMPI_MCA_btl_vader_backing_directory" : nil)
  }

  private var openFiles: Finding {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Finding(
      name: "open files", value: "up to \(limit.rlim_cur)",
      mend: limit.rlim_cur < 256 ? "raise it: ulimit -n 1024" : nil)
  }

  private var memory: Finding {
    let gibibytes = Double(Machine.physicalMemory) / 1_073_741_824
    return Finding(
      name: "memory", value: "\((gibibytes * 10).rounded() / 10) GiB",
      mend: gibibytes < 2 ? "below 2 GiB even small networks need a small batch" : nil)
  }
}
