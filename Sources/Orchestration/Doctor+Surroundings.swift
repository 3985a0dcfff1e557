import Glibc

extension Doctor {
  /// What the checks look at. Tests hand in another machine: other variables, another root.
  package struct Surroundings: Sendable {
    /// The environment.
    package var variables: [String: String]
    /// Stands before `/proc`, `/sys`, `/etc` and `/dev`.
    package var root: String
    /// Ranks of this host, those that run or those that are meant to.
    package var ranks: Int
    /// Soft limits by the number of `setrlimit`; none where unlimited.
    package var limits: [Int: UInt64]
    package var isSuperuser: Bool
    /// Cores of the machine, and those that this process may use, by number.
    package var onlineCores: Int
    package var allowedCores: [Int]
    /// Seconds since 1970 by the wall clock, and nanoseconds of the monotonic one read twice.
    package var wallClock: Int
    package var monotonic: [UInt64]

    /// As this process finds them. `ranks`: meant to run here; nil asks mpirun.
    package init(ranks: Int?) {
      var variables: [String: String] = [:]
      var entry = environ
      while let text = entry.pointee {
        let parts = String(cString: text).split(
          separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
        entry += 1
      }
      self.variables = variables
      root = ""
      self.ranks = ranks ?? Machine.toldLocalRanks ?? 1
      limits = [:]
      for resource in Self.resources {
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(UInt32(resource)), &limit) == 0, limit.rlim_cur != .max {
          limits[resource] = UInt64(limit.rlim_cur)
        }
      }
      isSuperuser = getuid() == 0
      onlineCores = Machine.onlineCores
      allowedCores = Machine.allowedCores
      wallClock = time(nil)
      monotonic = [Self.monotonicNanoseconds()]
      usleep(1000)
      monotonic.append(Self.monotonicNanoseconds())
    }

    /// Those that the checks ask for.
    private static let resources = [
      RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_CORE, __RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_AS,
    ].map { Int($0.rawValue) }

    private static func monotonicNanoseconds() -> UInt64 {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// `1 rank`, `8 ranks`.
    var ranksText: String { ranks == 1 ? "1 rank" : "\(ranks) ranks" }

    func limit(_ resource: __rlimit_resource) -> UInt64? { limits[Int(resource.rawValue)] }

    /// Whether mpirun, or Slurm with PMIx, started this process.
    var isLaunched: Bool {
      variables["OMPI_COMM_WORLD_SIZE"] != nil || variables["PMIX_RANK"] != nil
    }

    /// A regular file of the system or of its user as text without the line breaks at its end; nil
    /// where it cannot be read. `path`: absolute, without the root.
    func text(_ path: String) -> String? {
      // What is no file might keep its reader waiting.
      let descriptor = open(root + path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      guard descriptor >= 0 else { return nil }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
      var bytes: [UInt8] = []
      var piece = [UInt8](repeating: 0, count: 65_536)
      while bytes.count < 8_388_608 {
        let count = read(descriptor, &piece, piece.count)
        guard count > 0 else { break }
        bytes += piece.prefix(count)
      }
      while let last = bytes.last, last == 0x0a { bytes.removeLast() }
      return String(decoding: bytes, as: UTF8.self)
    }

    /// Names in a directory, in order; empty where there is none.
    func names(_ path: String) -> [String] {
      guard let directory = opendir(root + path) else { return [] }
      defer { closedir(directory) }
      var names: [String] = []
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
      }
      return names.sorted()
    }
  }

  /// Free bytes of a file system, and free inodes where it counts them; nil where `path` is not there.
  static func free(_ path: String) -> (bytes: Int, inodes: Int?)? {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    let bytes = Int(
      clamping: UInt64(status.f_bavail).multipliedReportingOverflow(
        by: UInt64(status.f_frsize)
      ).partialValue)
    return (bytes, status.f_files == 0 ? nil : Int(clamping: UInt64(status.f_favail)))
  }

  /// The type of the file system that holds an existing path, as /proc/self/mountinfo calls it.
  func fileSystem(of path: String) -> String {
    guard let resolved = realpath(path, nil) else { return "unknown" }
    defer { Glibc.free(resolved) }
    let real = String(cString: resolved)
    var best = (length: -1, type: "unknown")
    for line in (here.text("/proc/self/mountinfo") ?? "").split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 4, let dash = words.firstIndex(of: "-"), dash + 1 < words.count
      else { continue }
      let mount = words[4].replacing("\\040", with: " ")
      // A later mount hides an earlier one at the same place.
      if mount == "/" || real == mount || real.hasPrefix(mount + "/"),
        mount.utf8.count >= best.length
      {
        best = (mount.utf8.count, String(words[dash + 1]))
      }
    }
    return best.type
  }
}
