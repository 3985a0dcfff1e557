import Glibc

/// Memory that ranks share, and what stays behind of it.
extension Doctor {
  private static let singleCopyName = "btl_vader_single_copy_mechanism"

  /// How ranks of one host read each other's memory.
  var singleCopy: Finding {
    let name = Self.singleCopyName
    let setting = settings[name]?.value
    guard library.permitsSingleCopy else {
      return .fault(
        "single copy", setting ?? "forbidden here: two copies",
        setting == nil || setting == "none"
          ? nil
          : "\(settings.removal(name)): this system forbids process_vm_readv, and every message would "
            + "say so; the program then chooses what works")
    }
    if setting == "none" {
      return .advice(
        "single copy", "none",
        "\(settings.removal(name)): this system permits one copy instead of two between ranks")
    }
    let scope = Int(here.text("/proc/sys/kernel/yama/ptrace_scope") ?? "") ?? 0
    return .advice(
      "single copy", setting ?? "as this system permits",
      scope > 0
        ? "kernel.yama.ptrace_scope is \(scope), so messages are copied twice: sysctl "
          + "kernel.yama.ptrace_scope=0 where that is allowed" : nil)
  }

  /// Where Open MPI keeps the memory that ranks of one host talk through.
  private var backing: String {
    settings["btl_vader_backing_directory"]?.value ?? here.root + "/dev/shm"
  }

  var sharedMemory: Finding {
    guard let free = Self.free(backing) else {
      return .fault(
        "/dev/shm", "\(backing) is missing",
        settings["btl_vader_backing_directory"] == nil
          ? "mount a tmpfs on /dev/shm: ranks of one host talk through it"
          : settings.removal("btl_vader_backing_directory"))
    }
    let value =
      "\(free.bytes / 1_048_576) MiB free"
      + (settings["btl_vader_backing_directory"] == nil ? "" : " in \(backing)")
    guard access(backing, W_OK) == 0 else {
      return .fault(
        "/dev/shm", value,
        "\(backing): \(String(cString: strerror(errno))); chmod 1777 it, or set "
          + "OMPI_MCA_btl_vader_backing_directory")
    }
    // Open MPI takes 4 MiB a rank and some more for its own books.
    let needed = here.ranks * 6_291_456
    return .fault(
      "/dev/shm", value,
      free.bytes < needed
        ? "\(here.ranksText) need about \(needed / 1_048_576) MiB, else they die with SIGBUS: enlarge "
          + "it (docker run --shm-size), or set OMPI_MCA_btl_vader_backing_directory" : nil)
  }

  /// What killed jobs left: segments that no process has mapped, session directories whose mpirun is
  /// gone. Only those of this user.
  var leftovers: Finding {
    var dead = deadSegments
    let directory = sessionRoot
    for name in here.names(directory) where name.hasPrefix("pid.") {
      if let process = Int32(name.dropFirst(4)), kill(process, 0) != 0, errno == ESRCH {
        dead.append("\(directory)/\(name)")
      }
    }
    return .advice(
      "leftovers", dead.isEmpty ? "none of dead jobs" : "\(dead.count) of dead jobs",
      dead.isEmpty
        ? nil
        : "rm -r \(dead.prefix(4).joined(separator: " "))"
          + (dead.count > 4 ? " and \(dead.count - 4) more" : ""))
  }

  /// `$TMPDIR/ompi.HOST.UID`, without the root.
  private var sessionRoot: String {
    let host = Machine.hostName.prefix { $0 != "." }
    return "\(temporaryPath)/ompi.\(host).\(getuid())"
  }

  private var deadSegments: [String] {
    let paths = here.names("/dev/shm").filter { $0.hasPrefix("vader_segment.") }.map {
      "/dev/shm/\($0)"
    }
    .filter { path in
      var status = stat()
      // A young one may be about to be mapped.
      return stat(here.root + path, &status) == 0 && status.st_uid == getuid()
        && status.st_mtim.tv_sec + 60 < here.wallClock
    }
    guard !paths.isEmpty else { return [] }
    var mapped = ""
    for process in here.names("/proc") where Int32(process) != nil {
      for line in (here.text("/proc/\(process)/maps") ?? "").split(separator: "\n")
      where line.contains("/vader_segment.") {
        mapped += line + "\n"
      }
    }
    return paths.filter { !mapped.contains($0) && access(here.root + $0, F_OK) == 0 }
  }

  /// As Open MPI looks for it.
  private var temporaryPath: String {
    ["TMPDIR", "TEMP", "TMP"].compactMap { here.variables[$0] }.first ?? "/tmp"
  }

  /// Where mpirun keeps a job's sockets and books.
  var temporaryDirectory: Finding {
    let path = temporaryPath
    let mend = "set TMPDIR to a local directory that this user may write, such as /tmp"
    let existing = Self.nearestExisting(path)
    let kind = fileSystem(of: existing)
    guard path.hasPrefix("/"), Self.isDirectory(existing), access(existing, W_OK) == 0,
      kind != "proc", kind != "sysfs"
    else { return .fault("TMPDIR", "\(path) cannot be written", mend) }
    let free = Self.free(existing)?.bytes ?? .max
    if free < 67_108_864 {
      return .fault(
        "TMPDIR", "\(path), \(free / 1_048_576) MiB free", "free space there, or \(mend)")
    }
    return .advice(
      "TMPDIR", "\(path), \(kind)",
      Self.networkFileSystems.contains { kind.hasPrefix($0) }
        ? "\(mend): mpirun is slow, and clashes with other hosts, on \(kind)" : nil)
  }

  static let networkFileSystems = [
    "nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "9p", "fuse",
  ]

  /// `path`, or the nearest directory above it that exists.
  static func nearestExisting(_ path: String) -> String {
    var path = path
    while !path.isEmpty, path != "/", access(path, F_OK) != 0, errno == ENOENT {
      guard let slash = path.lastIndex(of: "/") else { return "." }
      path = String(path[..<slash])
    }
    return path.isEmpty ? "/" : path
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
