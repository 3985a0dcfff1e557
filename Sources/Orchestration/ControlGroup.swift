/// What control groups leave to this process: containers and batch systems limit so. Nil where a
/// resource has no limit. Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
struct ControlGroup {
  /// Bytes of memory.
  private(set) var memory: Int?
  /// Processor time in cores.
  private(set) var cores: Double?
  /// Processes and threads.
  private(set) var processes: Int?

  init(_ here: Doctor.Surroundings) {
    for line in (here.text("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      for directory in Self.directories(controllers: String(parts[1]), path: String(parts[2])) {
        take(here, directory)
      }
    }
  }

  /// The group's directory and all above it, since each may limit; in a container the path is often
  /// that of the host, and what counts lies at the top.
  private static func directories(controllers: String, path: String) -> [String] {
    let tops =
      controllers.isEmpty
      ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] : ["/sys/fs/cgroup/\(controllers)"]
    var parts = path.split(separator: "/")[...]
    var below = [""]
    while !parts.isEmpty {
      below.append("/" + parts.joined(separator: "/"))
      parts.removeLast()
    }
    return tops.flatMap { top in below.map { top + $0 } }
  }

  private mutating func take(_ here: Doctor.Surroundings, _ directory: String) {
    func number(_ name: String) -> Int? {
      here.text("\(directory)/\(name)").flatMap { Int($0) }
    }
    for name in ["memory.max", "memory.limit_in_bytes"] {
      // The first version says "none" with a number near 2^63.
      if let bytes = number(name), bytes < 1 << 60 { memory = min(memory ?? bytes, bytes) }
    }
    if let count = number("pids.max") { processes = min(processes ?? count, count) }
    let words = (here.text("\(directory)/cpu.max") ?? "").split(separator: " ").map { Int($0) }
    let quota = words.count == 2 ? words[0] : number("cpu.cfs_quota_us")
    let period = words.count == 2 ? words[1] : number("cpu.cfs_period_us")
    if let quota, let period, quota > 0, period > 0 {
      let share = Double(quota) / Double(period)
      cores = min(cores ?? share, share)
    }
  }
}
