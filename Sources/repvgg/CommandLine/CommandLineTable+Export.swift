// Networks on their way to other programs.

extension CommandLineTable {
  static let fuse = CommandSpecification(
    name: .fuse, summary: "Turn training weights into deploy weights",
    details: [
      "Refuses to write (exit code 76) when both forms do not compute the same. With",
      "--artifacts a checkpoint gives all that a job delivers at its end: both forms,",
      "ONNX, labels, configuration, model card, and a certificate by the test images.",
    ],
    positional: .one("MODEL", "Training weights: a file, a checkpoint or a run"),
    options: [
      OptionSpecification(
        name: "--output", value: .text(placeholder: "FILE", .files),
        help: "Deploy weights to write, a safetensors file"),
      OptionSpecification(
        name: "--artifacts", value: .text(placeholder: "DIR", .directories),
        help: "Directory for all artifacts of a checkpoint"),
      OptionSpecification(
        name: "--certificate", value: .text(placeholder: "FILE", .files),
        help: "Write how far both forms differ to this JSON file"),
      keys,
      OptionSpecification(
        name: "--onnx", value: .text(placeholder: "FILE", .files),
        help: "Write the deploy network also to this ONNX file"),
    ] + exporting + [assignment, threads],
    rules: [
      .one(["--output", "--artifacts"]), .needs("--certificate", "--output"),
      .needs("--onnx", "--output"), .needs("--resolution", "--onnx"),
      .needsAny("--pixels", ["--onnx", "--artifacts"]), .needs("--set", "--artifacts"),
      .needs("--threads", "--artifacts"),
    ])

  static let convert = CommandSpecification(
    name: .convert, summary: "Write a model for another program",
    details: [
      "IN is in training or deploy form, and its tensors are named as in the published",
      "code, in timm or in mmpretrain. OUT is the same network as safetensors, or, for",
      "deploy weights and a name that ends in .onnx, as ONNX.",
    ],
    positional: .one("IN", "Weights of either form"),
    subject: .one("OUT", "Safetensors or ONNX file to write"),
    options: [keys] + exporting + [json])

  /// What an ONNX file takes for images.
  private static let exporting = [
    OptionSpecification(
      name: "--pixels", value: .flag,
      help: "ONNX: take values 0 to 255 and normalise them in the model"),
    OptionSpecification(
      name: "--resolution", value: .integer(placeholder: "R", 1...4096),
      help: "ONNX: pixels of an image's side (default: as trained, or 224)"),
  ]
}
