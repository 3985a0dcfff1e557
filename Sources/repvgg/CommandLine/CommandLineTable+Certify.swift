extension CommandLineTable {
  static let certify = CommandSpecification(
    name: .certify, summary: "Check that two files are one network in its two forms",
    details: [
      "Every block of DEPLOY is held against a Float64 fuse of TRAIN's; with --config",
      "both networks also see the images of a split. Whoever made the files: they are",
      "told apart by their keys. Exit code 76 where they are not the same network.",
    ],
    positional: .one("TRAIN", "Training weights: a file, a checkpoint or a run"),
    subject: .one("DEPLOY", "Deploy weights, a file"),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "FILE", .files),
        help: "Write the certificate to this JSON file, whether it holds or not"),
      OptionSpecification(
        name: "--config", value: .text(placeholder: "CONFIG", .files),
        help: "Configuration that names data, architecture and tolerances"),
      OptionSpecification(
        name: "--split", value: .choice(placeholder: "NAME", ["test", "train"]),
        help: "Images that both networks see: test or train (default: test)"),
      assignment, threads, json,
    ],
    rules: [
      .needs("--split", "--config"), .needs("--set", "--config"), .needs("--threads", "--config"),
    ])
}
