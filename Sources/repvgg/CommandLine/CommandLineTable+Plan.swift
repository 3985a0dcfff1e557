extension CommandLineTable {
  static let plan = CommandSpecification(
    name: .plan, summary: "Show what a configuration would run",
    details: [
      "Shapes, parameters, multiply-accumulates, memory, messages, steps, and the",
      "mpirun command. With several numbers of ranks, or an option that says where",
      "they run: a table of what such runs would take, from the curves of a machine,",
      "as bench --save measures them. Nothing is written but the picture.",
    ],
    positional: configuration,
    options: [
      assignment,
      OptionSpecification(
        name: "--ranks", value: .text(placeholder: "N,...", .nothing),
        help: "Ranks to plan for (default: 1, or those of mpirun)"),
      threadsOrAuto, hostList, interface,
      OptionSpecification(
        name: "--machine", value: .text(placeholder: "FILE", .files),
        help: "Curves to predict from (default: machine.json)"),
      OptionSpecification(
        name: "--network", value: .text(placeholder: "SPEED", .nothing),
        help: "What joins the hosts, as in bandwidth=25Gb/s,latency=10us"),
      OptionSpecification(
        name: "--ranks-per-host", value: .integer(placeholder: "N", 1...65536),
        help: "Ranks that share a host (default: as many as have cores of their own)"),
      OptionSpecification(
        name: "--cores-per-host", value: .integer(placeholder: "N", 1...65536),
        help: "Cores of a host (default: as the machine has)"),
      OptionSpecification(
        name: "--images-per-rank", value: .integer(placeholder: "N", 1...65536),
        help: "A shard of N images for each rank (default: the configuration's batch)"),
      OptionSpecification(
        name: "--price", value: .text(placeholder: "P", .nothing),
        help: "Of an hour of a core, as in 0.05: adds what the runs cost"),
      OptionSpecification(
        name: "--svg", value: .text(placeholder: "FILE", .files),
        help: "Draw the prediction into this file"),
      json,
    ], rules: [.needs("--interface", "--hosts")])

  /// Of bench step and bench collectives.
  static let save = OptionSpecification(
    name: "--save", value: .text(placeholder: "FILE", .files),
    help: "Step, collectives: add what was measured to this machine's curves")
}
