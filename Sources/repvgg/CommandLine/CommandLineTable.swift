import Deployment
import Orchestration
import RunPlanning

/// The one table of commands and options. Parsing, help and shell completion read it, and nothing
/// else knows an option's name but the command that uses it.
enum CommandLineTable {
  static func specification(of name: CommandName) -> CommandSpecification {
    switch name {
    case .train: train
    case .plan: plan
    case .evaluate: evaluate
    case .fuse: fuse
    case .certify: certify
    case .classify: classify
    case .convert: convert
    case .inspect: inspect
    case .replay: replay
    case .bench: bench
    case .doctor: doctor
    case .hosts: hosts
    case .collect: collect
    case .data: data
    case .checkpoint: checkpoint
    case .completion: completion
    case .help: help
    case .version: version
    }
  }

  private static let evaluate = CommandSpecification(
    name: .evaluate, summary: "Measure a network on a dataset",
    details: [
      "Training and deploy weights are told apart by their keys, which may be named as",
      "in the published code, in timm or in mmpretrain. Only the split that is used",
      "needs to be there.",
    ],
    positional: .one("MODEL", "Weights: a file, a checkpoint or a run"),
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

  private static let classify = CommandSpecification(
    name: .classify, summary: "Name the likeliest classes of image files",
    details: [
      "Images are resized and cropped as in evaluation; training weights are fused.",
      "labels.txt beside the weights names the classes, if it is there. An image that",
      "cannot be read is named, and the exit code is that error's.",
    ],
    positional: .one("MODEL", "Weights of either form: a file, a checkpoint or a run"),
    subject: PositionalSpecification(
      placeholder: "IMAGE", help: "JPEG or PNG files", count: 1...Int.max),
    options: [
      OptionSpecification(
        name: "--top", value: .integer(placeholder: "N", 1...100_000),
        help: "Classes to name (default: 5)"),
      OptionSpecification(
        name: "--resolution", value: .integer(placeholder: "R", 1...4096),
        help: "Pixels of a side that the network sees (default: the model's)"),
      threads, json,
    ])

  private static let inspect = CommandSpecification(
    name: .inspect, summary: "List what a file of tensors holds",
    details: [
      "Kind of network, tensors, shapes, parameters and checksum. Of a PyTorch file, as",
      "torch.save writes them (.pth, .pt), only tensors are read; nothing in it is run.",
    ],
    positional: .one("FILE", "A file of tensors, a checkpoint or a run"), options: [json])

  private static let replay = CommandSpecification(
    name: .replay, summary: "Compute a golden state again and compare",
    details: [
      "Prints the worst error of each quantity; exit code 76 outside the tolerance."
    ],
    positional: .one("GOLDEN", "A golden state, a safetensors file"), options: [threads, json])

  private static let bench = CommandSpecification(
    name: .bench, summary: "Measure training steps, inference, the loader, collectives, kernels",
    details: [
      "Under mpirun all ranks take part; inference and kernels run on one rank.",
      "Images are random but for the loader, which reads those of --data.",
    ],
    positional: .one(
      "WHAT", "step, inference, loader, collectives or kernels",
      choices: ["step", "inference", "loader", "collectives", "kernels"], completion: .nothing),
    options: [
      OptionSpecification(
        name: "--model", value: .text(placeholder: "NAME|FILE", .files),
        help: "Architecture, configuration, or (inference) weights (default: RepVGG-A0)"),
      OptionSpecification(
        name: "--form", value: .choice(placeholder: "FORM", ["deploy", "training"]),
        help: "Inference: of the fused network or of the trained one (default: deploy)"),
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
        name: "--reduction",
        value: .choice(placeholder: "HOW", RunConfig.Reduction.allCases.map(\.rawValue)),
        help: "Step, collectives: as communication.reduction (default: halving)"),
      OptionSpecification(
        name: "--bytes", value: .integer(placeholder: "N", 8...2_147_483_640),
        help: "Collectives: this size alone (default: 1 KiB to 32 MiB)"),
      OptionSpecification(
        name: "--data", value: .text(placeholder: "DIR|FILE", .files),
        help: "Loader: folder of classes, tar archives, or one image over and over"),
      OptionSpecification(
        name: "--decode", value: .choice(placeholder: "MODE", ["exact", "fast"]),
        help: "Loader: exact or fast (default: exact)"),
      OptionSpecification(
        name: "--augmentation",
        value: .choice(
          placeholder: "NAME", RunConfig.Augmentation.allCases.map(\.rawValue)),
        help: "Loader: random operations, as data.augmentation (default: none)"),
      OptionSpecification(
        name: "--count", value: .integer(placeholder: "N", 1...100_000_000),
        help: "Loader: images of a rank to measure (default: 1000)"),
      OptionSpecification(
        name: "--svg", value: .text(placeholder: "FILE", .files),
        help: "Kernels: draw the roofline picture into this file"),
      save, json,
    ],
    rules: [
      .only(["step", "inference", "kernels"], ["--model", "--stem-stride"]),
      .only(["step", "inference", "kernels", "loader"], ["--batch", "--resolution", "--threads"]),
      .only(["step", "inference", "kernels", "collectives"], ["--steps"]),
      .only(["step", "collectives"], ["--reduction"]), .only(["collectives"], ["--bytes"]),
      .only(["step"], ["--batch-norm"]), .only(["inference"], ["--form"]),
      .only(["kernels"], ["--svg"]), .only(["step", "collectives"], ["--save"]),
      .excludes("--save", "--batch-norm"),
      .only(["loader"], ["--data", "--decode", "--augmentation", "--count"]),
      .demands("loader", "--data"),
    ])

  private static let collect = CommandSpecification(
    name: .collect, summary: "Gather the artifacts of several runs with a table",
    details: [
      "DIR gets a directory of each run, and table.md, table.csv and table.json: size,",
      "work, accuracy and speed, the least work first. It may be renewed.",
    ],
    positional: PositionalSpecification(
      placeholder: "RUN", help: "Directories of finished runs", count: 1...Int.max,
      completion: .directories),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "DIR", .directories), isRequired: true,
        help: "Directory to gather them in"),
      OptionSpecification(
        name: "--measure", value: .flag,
        help: "Measure how fast each deploy network is here, on one thread"),
    ])

  private static let data = CommandSpecification(
    name: .data, summary: "Pack images into archives, verify them, or show them",
    details: [
      "SOURCE is a configuration, or a directory of classes or of archives.",
      "pack writes tar archives that a cluster reads fast; the same command again goes",
      "on where it was stopped. verify decodes every image; exit code 65 for damage.",
      "show draws what the network sees of a configuration's images, side by side.",
    ],
    positional: .one(
      "ACTION", "pack, verify or show", choices: ["pack", "verify", "show"],
      completion: .nothing),
    subject: .one("SOURCE", "A configuration, or (pack, verify) a directory of images"),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "PATH", .files),
        help: "pack: directory of the archives; show: a .png or .html file (default: "
          + "NAME-SPLIT.png)"),
      OptionSpecification(
        name: "--shards", value: .integer(placeholder: "N", 1...1_000_000),
        help: "pack: archives of each split"),
      OptionSpecification(
        name: "--shard-bytes", value: .integer(placeholder: "N", 1...(1 << 50)),
        help: "pack: size of an archive (default: 1073741824, 1 GiB)"),
      OptionSpecification(
        name: "--shuffle", value: .integer(placeholder: "SEED", 0...Int.max),
        help: "pack: mix the samples of each split (default: as they are)"),
      OptionSpecification(
        name: "--jpeg", value: .integer(placeholder: "QUALITY", 1...100),
        help: "pack: make JPEGs of stored pixels (default: PNGs, which lose nothing)"),
      OptionSpecification(
        name: "--list", value: .text(placeholder: "FILE", .files),
        help: "verify: write the damaged images' names, as data.exclude takes them"),
      assignment,
      OptionSpecification(
        name: "--threads", value: .integer(placeholder: "N", 1...1024),
        help: "pack, verify: threads (default: the processors)"),
      progress, json,
    ] + showing,
    rules: [
      .demands("pack", "--output"), .excludes("--shards", "--shard-bytes"),
      .excludes("--samples", "--count"),
      .only(["pack", "show"], ["--output"]),
      .only(["pack"], ["--shards", "--shard-bytes", "--shuffle", "--jpeg"]),
      .only(["verify"], ["--list"]), .only(["pack", "verify"], ["--threads", "--progress"]),
      .only(["show"], showing.map(\.name)),
    ])

  private static let showing = [
    OptionSpecification(
      name: "--split", value: .choice(placeholder: "SPLIT", ["train", "test"]),
      help: "show: train as in training, or test as in evaluation (default: train)"),
    OptionSpecification(
      name: "--count", value: .integer(placeholder: "N", 1...DataPreview.largestCount),
      help: "show: images, the first of the epoch or of the test set (default: 16)"),
    OptionSpecification(
      name: "--samples", value: .text(placeholder: "A,B,C", .nothing),
      help: "show: these images, counted from 0"),
    OptionSpecification(
      name: "--epoch", value: .integer(placeholder: "E", 0...1_000_000),
      help: "show: as they are in this epoch, counted from 0 (default: 0)"),
    OptionSpecification(
      name: "--repeat", value: .integer(placeholder: "R", 1...DataPreview.largestCount),
      help: "show: each image in R epochs side by side (default: 1)"),
    OptionSpecification(
      name: "--columns", value: .integer(placeholder: "C", 1...DataPreview.largestCount),
      help: "show: images in a row (default: R, or as many as make a square)"),
    OptionSpecification(
      name: "--zoom", value: .integer(placeholder: "Z", 1...64),
      help: "show: pixels for a pixel, across and down (default: 1)"),
  ]

  private static let checkpoint = CommandSpecification(
    name: .checkpoint, summary: "List, verify or prune the checkpoints of a run",
    details: [
      "RUN is the directory of a run, or of its checkpoints.",
      "verify reads every file and holds it against its checksum; exit code 65 where",
      "one is damaged, 66 without any. prune waits for no job (exit code 77), keeps",
      "the best checkpoint too, and never removes the last good one.",
    ],
    positional: .one(
      "ACTION", "list, verify or prune", choices: ["list", "verify", "prune"],
      completion: .nothing),
    subject: .one("RUN", "Directory of a run", completion: .directories),
    options: [
      OptionSpecification(
        name: "--step", value: .integer(placeholder: "N", 0...Int.max),
        help: "verify: only the checkpoint of this step (default: all)"),
      OptionSpecification(
        name: "--keep", value: .integer(placeholder: "N", 1...1_000_000),
        help: "prune: newest ones to keep (default: checkpoint.keep of the run, or 3)"),
      OptionSpecification(
        name: "--dry-run", value: .flag, help: "prune: say what would be removed"),
      json,
    ],
    rules: [.only(["verify"], ["--step"]), .only(["prune"], ["--keep", "--dry-run"])])

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

  static let configuration = PositionalSpecification.one(
    "CONFIG", "Configuration file (YAML)")

  static let assignment = OptionSpecification(
    name: "--set", value: .assignment, isRepeatable: true,
    help: "Override a key of the configuration, such as training.epochs=3")

  static let threads = OptionSpecification(
    name: "--threads", value: .integer(placeholder: "N", 1...1024),
    help: "Threads of a rank (default: 1)")

  static let progress = OptionSpecification(
    name: "--progress",
    value: .choice(placeholder: "MODE", ["auto", "live", "plain", "none"]),
    help: "How progress is shown: auto, live, plain or none (default: auto)")

  static let keys = OptionSpecification(
    name: "--keys", value: .choice(placeholder: "SCHEME", KeyScheme.allCases.map(\.rawValue)),
    help: "Names to write: published, timm or mmpretrain (default: published)")

  static let json = OptionSpecification(
    name: "--json", value: .flag, help: "Print one JSON object and nothing else")
}
