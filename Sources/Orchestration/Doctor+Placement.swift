/// Ranks on cores.
extension Doctor {
  /// Cores' worth of time: a container may have less than the machine.
  private var cores: Double { min(Double(here.onlineCores), group.cores ?? .infinity) }

  /// How many ranks mpirun starts without being told that more are meant.
  var slots: Finding {
    if here.isLaunched { return .good("slots", "the job has started") }
    let setting = settings["orte_default_hostfile"]
    let path = setting?.value ?? "/etc/openmpi/openmpi-default-hostfile"
    guard let text = here.text(path) else {
      return .fault(
        "slots", setting == nil ? "\(here.onlineCores), one a core" : "\(path) cannot be read",
        setting == nil
          ? crowding(slots: here.onlineCores)
          : "\(settings.removal("orte_default_hostfile")), or write that file: mpirun ends without it"
      )
    }
    let hosts = text.split(separator: "\n").map { $0.prefix { $0 != "#" } }
      .map { $0.split(separator: " ").map(String.init) }.filter { !$0.isEmpty }
    guard !hosts.isEmpty else {
      return .fault(
        "slots", "\(here.onlineCores), one a core", crowding(slots: here.onlineCores))
    }
    let names = ["localhost", "127.0.0.1", Machine.hostName]
    guard let own = hosts.first(where: { names.contains($0[0]) }) else {
      return .advice(
        "slots", "\(path) names \(hosts.count) other hosts",
        "mpirun starts nothing on this host: add \(Machine.hostName) to \(path) if it should")
    }
    let slots =
      own.first { $0.hasPrefix("slots=") }.flatMap { Int($0.dropFirst(6)) } ?? here.onlineCores
    return .fault("slots", "\(slots) by \(path)", crowding(slots: slots))
  }

  private func crowding(slots: Int) -> String? {
    here.ranks <= slots || settings.isOn("rmaps_base_oversubscribe") || yields
      ? nil
      : "mpirun refuses \(here.ranksText): give it --oversubscribe, or use launch/train"
  }

  /// Whether ranks that wait let others compute. mpirun sees to it by itself only where it knows that
  /// slots are fewer than ranks: a hostfile with many slots hides that.
  private var yields: Bool {
    settings.isOn("mpi_yield_when_idle")
      || settings["mpi_yield_when_idle"] == nil && settings.isOn("mpi_oversubscribe")
  }

  var oversubscription: Finding {
    let isNeeded = Double(here.ranks) > cores
    return .fault(
      "ranks and cores",
      "\(here.ranksText) on \(here.onlineCores) cores\(isNeeded && yields ? ", idle ranks yield" : "")",
      isNeeded && !yields
        ? "ranks above cores spin while they wait: set OMPI_MCA_mpi_yield_when_idle=1 and give "
          + "mpirun --oversubscribe --bind-to none, or use launch/train" : nil)
  }

  var binding: Finding {
    let (allowed, online) = (here.allowedCores.count, here.onlineCores)
    let value = "this process may use \(allowed) of \(online) cores"
    // What mpirun binds, it binds anew; a mask from before it holds for all ranks together.
    if !here.isLaunched, allowed < min(here.ranks, online) {
      return .fault(
        "binding", value,
        "\(here.ranksText) would share \(allowed == 1 ? "it" : "them"): start without taskset, or give "
          + "the container or batch job more cores")
    }
    return .advice(
      "binding", value,
      here.isLaunched && allowed == 1 && online >= 2 * here.ranks
        ? "cores lie idle: with several threads in a rank give mpirun --bind-to none, or --map-by "
          + "slot:PE=\(online / here.ranks)" : nil)
  }

  var quota: Finding {
    guard let share = group.cores else { return .good("CPU quota", "none") }
    let needed = min(here.ranks, here.onlineCores)
    let text = "\((share * 100).rounded() / 100) cores' time"
    return .fault(
      "CPU quota", text,
      share < Double(needed)
        ? "\(needed) ranks at work would be stopped again and again: start fewer, or raise it "
          + "(docker --cpus, the batch job's cores)" : nil)
  }
}
