/// The one table of commands and options. Parsing, help and shell completion read it, and nothing
/// else knows an option's name but the command that uses it.
enum CommandLineTable {
  static func specification(of name: CommandName) -> CommandSpecification {
    switch name {
    case .train: train
    case .plan: plan
    case .evaluate: evaluate
    case .fuse: fuse
    case .inspect: inspect
    case .replay: replay
    case .bench: bench
    case .doctor: doctor
    case .collect: collect
    case .completion: completion
    case .help: help
    case .version: version
    }
  }

  private static let train = CommandSpecification(
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
      threads,
      OptionSpecification(
        name: "--progress",
        value: .choice(placeholder: "MODE", ["auto", "live", "plain", "none"]),
        help: "How progress is shown: auto, live, plain or none (default: auto)"),
      OptionSpecification(
        name: "--quiet", value: .flag, help: "Show nothing but errors; the files say it all"),
    ], rules: [.excludes("--quiet", "--progress")])

  private static let plan = CommandSpecification(
    name: .plan, summary: "Show what a configuration would run",
    details: [
      "Shapes, parameters, multiply-accumulates, memory, messages, steps, and the",
      "mpirun command. Nothing is written.",
    ],
    positional: configuration,
    options: [
      assignment,
      OptionSpecification(
        name: "--ranks", value: .integer(placeholder: "N", 1...65536),
        help: "Ranks to plan for (default: 1, or those of mpirun)"),
      threads, json,
    ])

  private static let evaluate = CommandSpecification(
    name: .evaluate, summary: "Measure a network on a dataset",
    details: [
      "Training and deploy weights are told apart by their keys, which may be named as",
      "in the published code, in timm or in mmpretrain. Only the split that is used",
      "needs to be there.",
    ],
    positional: .one("MODEL", "Weights, a safetensors file"),
    options: [
      OptionSpecification(
        name: "--config", value: .text(placeholder: "CONFIG", .files), isRequired: true,
        help: "Configuration that names the data and the architecture"),
      OptionSpecification(
        name: "--split", value: .choice(placeholder: "NAME", ["test", "train"]),
        help: "Samples to use: test or train (default: test)"),
      OptionSpecification(
        name: "--logits", value: .text(placeholder: "FILE", .files),
        help: "Write the logits and labels to this safetensors file"),
      OptionSpecification(
        name: "--images", value: .flag,
        help: "Write also the images, as the network sees them, to that file"),
      assignment, threads, json,
    ], rules: [.needs("--images", "--logits")])

  private static let fuse = CommandSpecification(
    name: .fuse, summary: "Turn training weights into deploy weights",
    details: ["Refuses to write (exit code 76) when both forms do not compute the same."],
    positional: .one("MODEL", "Training weights, a safetensors file"),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "FILE", .files), isRequired: true,
        help: "Deploy weights to write, a safetensors file"),
      OptionSpecification(
        name: "--certificate", value: .text(placeholder: "FILE", .files),
        help: "Write how far both forms differ to this JSON file"),
    ])

  private static let inspect = CommandSpecification(
    name: .inspect, summary: "List what a safetensors file holds",
    details: ["Kind of network, tensors, shapes, parameters and checksum."],
    positional: .one("FILE", "A safetensors file"), options: [json])

  private static let replay = CommandSpecification(
    name: .replay, summary: "Compute a golden state again and compare",
    details: [
      "Prints the worst error of each quantity; exit code 76 outside the tolerance."
    ],
    positional: .one("GOLDEN", "A golden state, a safetensors file"), options: [threads, json])

  private static let bench = CommandSpecification(
    name: .bench, summary: "Measure the training step, the collectives or the kernels",
    details: [
      "Under mpirun all ranks take part; the kernels are measured on one rank.",
      "Images are random.",
    ],
    positional: .one(
      "WHAT", "step, collectives or kernels", choices: ["step", "collectives", "kernels"],
      completion: .nothing),
    options: [
      OptionSpecification(
        name: "--model", value: .text(placeholder: "NAME|CONFIG", .files),
        help: "Architecture, or a configuration with its image size (default: RepVGG-A0)"),
      OptionSpecification(
        name: "--stem-stride", value: .choice(placeholder: "S", ["1", "2"]),
        help: "Stride of the first block (default: the model's)"),
      OptionSpecification(
        name: "--batch", value: .integer(placeholder: "N", 1...65536),
        help: "Images of a rank's batch (default: 32)"),
      OptionSpecification(
        name: "--resolution", value: .integer(placeholder: "R", 1...4096),
        help: "Pixels of an image's side (default: 224, or the configuration's)"),
      threads,
      OptionSpecification(
        name: "--batch-norm", value: .choice(placeholder: "MODE", ["sync", "local"]),
        help: "Statistics of the global batch or of each shard (default: sync)"),
      OptionSpecification(
        name: "--steps", value: .integer(placeholder: "N", 1...1_000_000),
        help: "Steps or repetitions to measure (default: 10, of kernels 5)"),
      OptionSpecification(
        name: "--svg", value: .text(placeholder: "FILE", .files),
        help: "Kernels: draw the roofline picture into this file"),
      json,
    ],
    rules: [
      .only(
        ["step", "kernels"],
        ["--model", "--stem-stride", "--batch", "--resolution", "--threads"]),
      .only(["step"], ["--batch-norm"]), .only(["kernels"], ["--svg"]),
    ])

  private static let doctor = CommandSpecification(
    name: .doctor, summary: "Check this machine: CPU, BLAS, MPI, binding, limits",
    details: [
      "Under mpirun it speaks for every host of the job.",
      "Exit code 78 where something is to be mended.",
    ],
    options: [
      OptionSpecification(
        name: "--ranks", value: .integer(placeholder: "N", 1...65536),
        help: "Ranks that are meant to run here (default: 1, or those of mpirun)"),
      json,
    ])

  private static let collect = CommandSpecification(
    name: .collect, summary: "Gather the artifacts of several runs with a table",
    positional: PositionalSpecification(
      placeholder: "RUN", help: "Directories of finished runs", count: 1...Int.max,
      completion: .directories),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "DIR", .directories), isRequired: true,
        help: "Directory to gather them in")
    ])

  private static let completion = CommandSpecification(
    name: .completion, summary: "Print a completion script for a shell",
    details: ["For bash: source <(repvgg completion bash)"],
    positional: .one(
      "SHELL", "bash, zsh or fish", choices: ["bash", "zsh", "fish"], completion: .nothing))

  private static let help = CommandSpecification(
    name: .help, summary: "Explain the program or a command",
    positional: PositionalSpecification(
      placeholder: "COMMAND", help: "The command to explain", count: 0...1,
      choices: CommandName.allCases.map(\.rawValue), completion: .nothing))

  private static let version = CommandSpecification(
    name: .version, summary: "Print the program's version")

  private static let configuration = PositionalSpecification.one(
    "CONFIG", "Configuration file (YAML)")

  private static let assignment = OptionSpecification(
    name: "--set", value: .assignment, isRepeatable: true,
    help: "Override a key of the configuration, such as training.epochs=3")

  private static let threads = OptionSpecification(
    name: "--threads", value: .integer(placeholder: "N", 1...1024),
    help: "Threads of a rank (default: 1)")

  private static let json = OptionSpecification(
    name: "--json", value: .flag, help: "Print one JSON object and nothing else")
}
