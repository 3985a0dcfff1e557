import RunPlanning

extension RunPlan.Place {
  /// Where a job would go on `hosts`, each taken to be like this one; `threads` nil: as many as fit.
  ///
  /// Throws `JobFailure` where the ranks do not fit into the hosts' slots.
  package init(hosts: HostList, ranks: Int, threads: Int?, interface: String? = nil) throws {
    let here = Doctor.Surroundings(ranks: nil)
    let host = CoreTopology(here).host(own: [], isBoundAlready: false)
    do {
      self.init(
        placement: try Placement(hosts, ranks: ranks, threads: threads, binds: true, like: host),
        hosts: try hosts.argument(ranks: ranks), network: Self.network(here, interface),
        interface: interface, settings: Machine.mpiSettings)
    } catch {
      throw JobFailure(.configuration, "--hosts: \(error)")
    }
  }

  private static func network(_ here: Doctor.Surroundings, _ interface: String?) -> String {
    let ways = NetworkInterface.all.filter(\.leadsToOthers).map(\.text)
    let chosen = interface ?? MCASettings(here)["btl_tcp_if_include"]?.value
    return (ways.isEmpty ? "none leads to other hosts" : ways.joined(separator: ", "))
      + (chosen.map { "; MPI takes \($0)" } ?? "; MPI takes what is up")
  }
}
