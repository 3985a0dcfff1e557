import Glibc
import Reporting

/// What the shell, the batch system or a container allows a process.
extension Doctor {
  /// Below 64 even mpirun of two ranks hangs.
  var openFiles: Finding {
    limited("open files", RLIMIT_NOFILE, least: 256, mend: "raise it: ulimit -n 1024")
  }

  /// A rank has its own threads, those of the loader, OpenBLAS's and Open MPI's.
  var processes: Finding {
    let needed = here.ranks * (2 * here.onlineCores + 16)
    if let count = group.processes, count < needed {
      return .fault(
        "processes", "up to \(count) in this container",
        "\(here.ranksText) start up to \(needed) threads: raise it (docker --pids-limit)")
    }
    // The kernel does not hold the superuser to it.
    if here.isSuperuser { return .good("processes", "root has no limit") }
    return limited(
      "processes", __RLIMIT_NPROC, least: UInt64(needed),
      mend: "\(here.ranksText) start up to \(needed) threads: raise it, e.g. ulimit -u 4096")
  }

  /// Where memory cannot be mapped, OpenBLAS tries for ever: a job hangs instead of failing.
  var addressSpace: Finding {
    limited(
      "address space", RLIMIT_AS, least: 4_294_967_296, isBytes: true,
      mend: "libraries and arenas do not fit, and OpenBLAS would wait for ever: ulimit -v unlimited"
    )
  }

  var fileSize: Finding {
    limited(
      "file size", RLIMIT_FSIZE, least: 1_073_741_824, isBytes: true,
      mend: "checkpoints of large networks do not fit: ulimit -f unlimited")
  }

  var processorTime: Finding {
    guard let seconds = here.limit(RLIMIT_CPU) else { return .good("CPU time", "unlimited") }
    return .fault(
      "CPU time", "\(seconds) s for each rank",
      "a rank would be killed by SIGXCPU in the middle of its work: ulimit -t unlimited")
  }

  var coreDumps: Finding {
    let limit = here.limit(RLIMIT_CORE)
    return .advice(
      "core dumps",
      limit == 0 ? "none" : limit.map { "up to \(Quantity.bytes(Int(clamping: $0)))" } ?? "whole",
      limit == 0
        ? nil : "a crash writes the memory of every rank to disk first: ulimit -c 0")
  }

  var memory: Finding {
    let bytes = min(Machine.physicalMemory, group.memory ?? .max)
    let gibibytes = Double(bytes) / 1_073_741_824
    let value =
      "\((gibibytes * 10).rounded() / 10) GiB\(group.memory.map { $0 <= bytes } ?? false ? " in this container" : "")"
    if gibibytes < 2 {
      return .fault(
        "memory", value,
        "below 2 GiB even small networks need a small batch: give it more, or set "
          + "training.global_batch lower")
    }
    return .advice(
      "memory", value,
      here.text("/proc/sys/vm/overcommit_memory") == "2"
        ? "vm.overcommit_memory is 2, which refuses memory that is only reserved: sysctl "
          + "vm.overcommit_memory=0" : nil)
  }

  private func limited(
    _ name: String, _ resource: __rlimit_resource, least: UInt64, isBytes: Bool = false,
    mend: String
  ) -> Finding {
    guard let limit = here.limit(resource) else { return .good(name, "unlimited") }
    return .fault(
      name, "up to \(isBytes ? Quantity.bytes(Int(clamping: limit)) : "\(limit)")",
      limit < least ? mend : nil)
  }
}
