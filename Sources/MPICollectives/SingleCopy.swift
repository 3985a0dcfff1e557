import CMPI
import Glibc

/// Ranks of one host can read each other's memory in one copy where the system lets them
/// (`process_vm_readv`), instead of two copies through shared memory: a quarter of a step with small
/// images. Containers often forbid it, and Open MPI 4 then complains about every message: so it is
/// told beforehand. (A kernel that restricts ptrace, Open MPI notices itself.)
enum SingleCopy {
  static let variable = "OMPI_MCA_btl_vader_single_copy_mechanism"

  /// Before MPI starts: without a choice in the environment, chooses what works here.
  static func choose() {
    if getenv(variable) == nil && !isPermitted { setenv(variable, "none", 0) }
  }

  /// Whether the system call is allowed at all, tried on this process's own memory.
  static var isPermitted: Bool {
    var (source, target): (UInt64, UInt64) = (0x5eed, 0)
    let length = MemoryLayout<UInt64>.size
    let count = cmpi_read_own_memory(&source, &target, UInt(length))
    return count == length && target == source
  }
}
