/// How mpirun is to be called for a job.
package struct MPICommand: Sendable, Equatable {
  package var ranks: Int
  /// As `HostList.argument` gives them; nil: this host.
  package var hosts: String?
  /// Network interfaces or networks, with commas, that the hosts talk over; nil: those that MPI takes.
  package var interface: String?
  /// Names of MCA parameters that the environment sets: it holds, and not what is said here.
  package var settings: Set<String>
  /// Whether the ranks of a host have more threads than it has cores: those that wait would otherwise
  /// take the cores from those that compute.
  package var isCrowded: Bool

  package init(
    ranks: Int, hosts: String? = nil, interface: String? = nil,
    settings: Set<String> = [], isCrowded: Bool
  ) {
    self.ranks = ranks
    self.hosts = hosts
    self.interface = interface
    self.settings = settings
    self.isCrowded = isCrowded
  }

  /// The words before the program's own.
  package var words: [String] {
    // Ranks bind themselves, and a list of hosts says how many each takes.
    var words = ["mpirun", "--oversubscribe", "--bind-to", "none"]
    if let hosts {
      words += ["--map-by", "slot", "--host", hosts]
      // A host that falls silent is given up within half a minute, not a quarter of an hour.
      for (name, value) in [("time", "10"), ("intvl", "5"), ("probes", "3")] {
        let parameter = "oob_tcp_keepalive_\(name)"
        if !settings.contains(parameter) { words += ["--mca", parameter, value] }
      }
    }
    if let interface {
      for layer in ["btl", "oob"] { words += ["--mca", "\(layer)_tcp_if_include", interface] }
    }
    if isCrowded { words += ["--mca", "mpi_yield_when_idle", "1"] }
    return words + ["-np", String(ranks)]
  }
}
