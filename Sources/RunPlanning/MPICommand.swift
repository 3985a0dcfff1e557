/// How mpirun is to be called for a job.
package struct MPICommand: Sendable, Equatable {
  package var ranks: Int
  /// As `HostList.argument` gives them; nil: this host.
  package var hosts: String?
  /// Whether the ranks of a host have more threads than it has cores: those that wait would otherwise
  /// take the cores from those that compute.
  package var isCrowded: Bool

  package init(ranks: Int, hosts: String? = nil, isCrowded: Bool) {
    self.ranks = ranks
    self.hosts = hosts
    self.isCrowded = isCrowded
  }

  /// The words before the program's own.
  package var words: [String] {
    // Ranks bind themselves, and a list of hosts says how many each takes.
    var words = ["mpirun", "--oversubscribe", "--bind-to", "none"]
    if let hosts { words += ["--map-by", "slot", "--host", hosts] }
    if isCrowded { words += ["--mca", "mpi_yield_when_idle", "1"] }
    return words + ["-np", String(ranks)]
  }
}
