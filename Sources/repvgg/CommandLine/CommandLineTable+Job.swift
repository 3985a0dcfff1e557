/// Of jobs and the hosts that they run on.
extension CommandLineTable {
  static let train = CommandSpecification(
    name: .train, summary: "Train a network, fuse it, and write the artifacts",
    details: [
      "Alone it trains on one rank; under mpirun every rank takes its share of each",
      "batch. The same command again goes on from the newest good checkpoint.",
      "From a checkpoint named by --resume PATH a run begins in a new --output.",
      "SIGUSR1 or SIGTERM saves a checkpoint and stops with exit code 75.",
    ],
    positional: configuration,
    options: [
      assignment,
      OptionSpecification(
        name: "--output", value: .text(placeholder: "DIR", .directories),
        help: "Directory of the run (default: output of the configuration)"),
      OptionSpecification(
        name: "--resume", value: .text(placeholder: "auto|never|PATH", .directories),
        help: "Checkpoint to go on from (default: auto, the newest good one)"),
      threadsOrAuto,
      OptionSpecification(
        name: "--bind", value: .choice(placeholder: "WHERE", ["auto", "none"]),
        help: "auto: to cores of its own, if the host has as many free (default: none)"),
      progress,
      OptionSpecification(
        name: "--quiet", value: .flag, help: "Show nothing but errors; the files say it all"),
    ], rules: [.excludes("--quiet", "--progress")])

  static let doctor = CommandSpecification(
    name: .doctor, summary: "Check this machine: CPU, BLAS, MPI, limits, files",
    details: [
      "Under mpirun, or with --hosts, it speaks for every host of the job and compares",
      "them.",
      "✓ is well, ! is advice, ✗ is to be mended: then the exit code is 78.",
    ],
    options: [
      OptionSpecification(
        name: "--ranks", value: .integer(placeholder: "N", 1...65536),
        help:
          "Ranks that are meant to run (default: 1, or one a slot of the hosts, or those of mpirun)"
      ),
      hostList, interface,
      OptionSpecification(
        name: "--output", value: .text(placeholder: "DIR", .directories),
        help: "Directory of the run that is meant (default: here)"),
      json,
    ], rules: [.needs("--interface", "--hosts")])

  static let hosts = CommandSpecification(
    name: .hosts, summary: "Lay the ranks of a job out over hosts",
    details: [
      "Says which ranks each host gets: neighbours share a host, so that sums are made",
      "inside it before anything crosses the network. Nothing is started.",
    ],
    positional: .one("HOSTS", "host:slots,..., or a file with lines `name slots=N`"),
    options: [
      OptionSpecification(
        name: "--ranks", value: .integer(placeholder: "N", 1...65536),
        help: "Ranks of the job (default: as many as there are slots, or hosts)"),
      OptionSpecification(
        name: "--without", value: .text(placeholder: "HOST,...", .nothing),
        help: "Hosts that do not answer; ranks are a power of two that fits without them"),
      json,
    ])

  static let threadsOrAuto = OptionSpecification(
    name: "--threads", value: .integerOr("auto", placeholder: "N|auto", 1...1024),
    help: "Threads of a rank; auto: as many as it can have cores of its own (default: 1)")

  static let hostList = OptionSpecification(
    name: "--hosts", value: .text(placeholder: "FILE|HOST:SLOTS,...", .files),
    help: "Hosts of the job: a list, or a file with lines `name slots=N`")

  static let interface = OptionSpecification(
    name: "--interface", value: .text(placeholder: "NAMES", .nothing),
    help: "Network interfaces, or networks such as 10.0.0.0/8, that they talk over")
}
