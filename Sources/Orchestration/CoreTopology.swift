import Glibc
import RunPlanning

/// The cores of this host, as the kernel lays them out, and who holds some of them.
struct CoreTopology {
  /// One for each physical core that may be used, neighbours in caches and memory side by side.
  let cores: [(number: Int, domain: Int)]
  private let here: Doctor.Surroundings

  init(_ here: Doctor.Surroundings) {
    self.here = here
    let domains = Self.domains(here)
    var seen: Set<[Int]> = []
    let all = here.allowedCores.map { core in
      let place = "/sys/devices/system/cpu/cpu\(core)/topology/"
      func number(_ name: String) -> Int { here.text(place + name).flatMap { Int($0) } ?? 0 }
      let isKnown = here.text(place + "core_id") != nil
      return (
        number: core, domain: domains[core] ?? 0,
        // A core of which nothing is known is one by itself.
        package: isKnown ? number("physical_package_id") : -1,
        physical: isKnown ? number("core_id") : core
      )
    }.sorted {
      ($0.domain, $0.package, $0.physical, $0.number) < (
        $1.domain, $1.package, $1.physical, $1.number
      )
    }
    // The second thread of a core computes with what the first one leaves.
    cores = all.filter { seen.insert([$0.package, $0.physical]).inserted }
      .map { ($0.number, $0.domain) }
  }

  /// NUMA domain by core; empty where the kernel names none.
  private static func domains(_ here: Doctor.Surroundings) -> [Int: Int] {
    let place = "/sys/devices/system/node/"
    var domains: [Int: Int] = [:]
    for name in here.names(place) where name.hasPrefix("node") {
      guard let domain = Int(name.dropFirst(4)) else { continue }
      for core in list(here.text(place + name + "/cpulist") ?? "") { domains[core] = domain }
    }
    return domains
  }

  /// Of `0-3,8`.
  static func list(_ text: String) -> [Int] {
    text.split(separator: ",").flatMap { item -> [Int] in
      let ends = item.split(separator: "-").compactMap { Int($0.trimmingPrefix { $0 == " " }) }
      guard let first = ends.first, let last = ends.last, first <= last, last - first < 65_536
      else { return [] }
      return Array(first...last)
    }
  }

  /// Begins the name of the socket by which a process says that it holds all cores.
  static let holder = "repvgg-holds-all-cores-"

  /// Processes of this program, other than `own`, that hold cores: those that they are bound to, or all
  /// where they say so.
  func neighbours(besides own: Set<Int>) -> [(process: Int, cores: Set<Int>)] {
    let usable = Set(here.allowedCores)
    let holders = (here.text("/proc/net/unix") ?? "").split(separator: "\n").compactMap { line in
      line.split(separator: "@").last.flatMap { name in
        name.hasPrefix(Self.holder) ? Int(name.dropFirst(Self.holder.count)) : nil
      }
    }
    return here.names("/proc").compactMap { name in
      guard let process = Int(name), !own.contains(process),
        here.text("/proc/\(name)/comm") == "repvgg",
        let status = here.text("/proc/\(name)/status"),
        let line = status.split(separator: "\n").first(where: {
          $0.hasPrefix("Cpus_allowed_list:")
        })
      else { return nil }
      let text = line.drop { $0 != ":" }.dropFirst().filter { $0 != "\t" && $0 != " " }
      let cores = Set(Self.list(text)).intersection(usable)
      guard !cores.isEmpty else { return nil }
      // Who may run everywhere holds nothing, unless it says so.
      return cores == usable && !holders.contains(process) ? nil : (process, cores)
    }
  }

  /// A container's share of time, where it is less than the cores that it may use.
  private var quota: Int? {
    guard let share = ControlGroup(here).cores, share < Double(here.allowedCores.count) else {
      return nil
    }
    return max(1, Int(share))
  }

  /// This host for a placement. `own`: processes of the job itself.
  func host(own: Set<Int>, isBoundAlready: Bool) -> Placement.Host {
    let neighbours = neighbours(besides: own)
    let held = neighbours.reduce(into: Set<Int>()) { $0.formUnion($1.cores) }
    let free = cores.filter { !held.contains($0.number) }
    return Placement.Host(
      name: Machine.hostName, cores: free.map(\.number), domains: free.map(\.domain), quota: quota,
      neighbours: neighbours.prefix(8).map {
        "process \($0.process) (cores \(Placement.text(Array($0.cores))))"
      }, isBoundAlready: isBoundAlready)
  }
}
