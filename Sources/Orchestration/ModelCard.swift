import Deployment
import Reporting
import RunPlanning
import Training

/// What a person who finds the weights wants to know of them, as Markdown: what they compute, from
/// which data and by which recipe they came, how good they are, and what proves that both forms are
/// one network (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019).
///
/// The same run gives the same text, on any number of ranks: no times and no places of a machine.
package struct ModelCard {
  let plan: RunPlan
  let step: Int
  let training: Evaluation.Result
  let deploy: Evaluation.Result
  let best: RunState.Best?
  let certificate: FuseCertificate
  let files: [FuseCertificate.File]
  let scheme: KeyScheme

  /// - Parameters:
  ///   - step: of the weights.
  ///   - training: accuracy before the fuse, on the test images; `deploy`: after it.
  ///   - best: of all evaluations of the run.
  ///   - files: what lies beside the card, in the order in which it is listed.
  ///   - scheme: the names of the tensors in the safetensors files.
  package init(
    plan: RunPlan, step: Int, training: Evaluation.Result, deploy: Evaluation.Result,
    best: RunState.Best?, certificate: FuseCertificate, files: [FuseCertificate.File],
    scheme: KeyScheme
  ) {
    self.plan = plan
    self.step = step
    self.training = training
    self.deploy = deploy
    self.best = best
    self.certificate = certificate
    self.files = files
    self.scheme = scheme
  }

  var config: RunConfig { plan.config }

  package var text: String {
    [
      "# \(config.name)", introduction, section("Network", network), section("Input", input),
      section("Data", data), section("Recipe", recipe), section("Accuracy", accuracy),
      section("Certificate", certified), section("Use", use), section("Files", hashes),
      section("Licence", licence),
    ].joined(separator: "\n\n") + "\n"
  }

  private func section(_ title: String, _ body: String) -> String { "## \(title)\n\n\(body)" }

  private var introduction: String {
    "A \(config.model.architecture.name) network (RepVGG, Ding et al., CVPR 2021) that tells "
      + "\(Quantity.count(plan.classes)) classes of images apart. It was trained with three "
      + "branches a block, and is shipped as the plain stack of 3x3 convolutions that they were "
      + "fused into. Made by `repvgg` \(plan.machine.programVersion)."
  }

  // MARK: - What it is

  private var network: String {
    let architecture = config.model.architecture
    let strides = [architecture.stemStride] + architecture.strides
    let groups = Set(architecture.groups.values).union(
      architecture.groups.count < architecture.layerCount ? [1] : [])
    return Self.table(
      ["", "training form", "deploy form"],
      [
        [
          "parameters", Quantity.count(plan.trainingTable.parameterCount),
          Quantity.count(plan.deployTable.parameterCount),
        ],
        [
          "multiply-accumulates an image", Quantity.count(plan.macsTraining),
          Quantity.count(plan.macsDeploy),
        ],
      ])
      + "\n\n"
      + Self.table(
        ["architecture", architecture.name],
        [
          ["channels of the stem", "\(architecture.stemWidth)"],
          ["blocks of the stages", Self.list(architecture.depths)],
          ["channels of the stages", Self.list(architecture.widths)],
          ["strides, the stem's first", Self.list(strides)],
          ["groups that occur", Self.list(groups.sorted())],
          ["squeeze-and-excitation", architecture.squeezeExcitation ? "yes" : "no"],
        ])
  }

  private var input: String {
    let data = config.data
    var rows = [
      [
        "shape",
        "\(plan.inputChannels) x \(plan.height) x \(plan.width) (channels, height, width)",
      ],
      ["normalisation", "bytes / 255, minus the mean, divided by the standard deviation"],
      ["mean", Self.list(data.mean)],
      ["standard deviation", Self.list(data.standardDeviation)],
    ]
    if data.format.isEncoded {
      let side = data.evaluationResize > 0 ? data.evaluationResize : data.standardEvaluationSide
      rows.append([
        "of a file", "shorter side resized to \(side), then the middle cut out",
      ])
    }
    rows.append(["output", "\(Quantity.count(plan.classes)) logits, in the order of `labels.txt`"])
    return Self.table(["", "value"], rows)
  }

  private var data: String {
    let names = plan.data.classNames
    var rows = [
      ["format", config.data.format.rawValue],
      ["training images", Quantity.count(plan.data.trainCount)],
      ["test images", Quantity.count(plan.data.testCount)],
      ["classes", Quantity.count(plan.classes)],
    ]
    if !names.isEmpty {
      let shown = names.prefix(10).joined(separator: ", ")
      rows.append(["named", shown + (names.count > 10 ? ", … (`labels.txt` has all)" : "")])
    }
    if let place = config.data.directory.split(separator: "/").last,
      config.data.format != .synthetic
    {
      rows.insert(["directory", String(place)], at: 0)
    }
    rows.append(["fingerprint", "`\(plan.data.fingerprint)`"])
    return Self.table(["", "value"], rows)
  }

  // MARK: - How it came about

  private var recipe: String {
    let (training, optimizer) = (config.training, config.optimizer)
    var rows = [
      ["epochs", Quantity.count(training.epochs)],
      ["steps", Quantity.count(step)],
      ["global batch", "\(Quantity.count(training.globalBatch)) in \(training.shards) shards"],
      [
        "optimizer",
        "SGD, momentum \(optimizer.momentum)" + (optimizer.nesterov ? " (Nesterov)" : ""),
      ],
      ["weight decay", "\(optimizer.weightDecay)"],
      ["learning rate", plan.scheduleText],
      ["BatchNorm statistics", training.batchNorm == .sync ? "global batch" : "each shard"],
      ["label smoothing", "\(training.labelSmoothing)"],
      ["augmentation", augmentation],
      ["seed", "\(training.seed)"],
    ]
    if training.averageDecay > 0 {
      rows.append(["average of the weights", "keeps \(training.averageDecay) a step"])
    }
    if plan.hasPhases {
      let sizes = plan.phases.map { "\($0.height) from epoch \($0.epochs.lowerBound)" }
      rows.append(["resolutions", sizes.joined(separator: ", ")])
    }
    if let file = config.model.initializeFrom {
      rows.append(["began with", String(file.split(separator: "/").last ?? "")])
    }
    return Self.table(["", "value"], rows)
      + "\n\nEvery key with its value: `\(config.name)-config.yaml`."
  }

  private var augmentation: String {
    let (data, training) = (config.data, config.training)
    var parts: [String] = []
    if data.crop == .randomResized { parts.append("random resized crop") }
    if data.cropPadding > 0 { parts.append("crop padded by \(data.cropPadding)") }
    if data.horizontalFlip { parts.append("horizontal flip") }
    if data.augmentation != .none { parts.append(data.augmentation.rawValue) }
    if data.randomErasing > 0 { parts.append("random erasing \(data.randomErasing)") }
    if training.mixupAlpha > 0 { parts.append("mixup \(training.mixupAlpha)") }
    if training.cutmixAlpha > 0 { parts.append("cutmix \(training.cutmixAlpha)") }
    return parts.isEmpty ? "none" : parts.joined(separator: ", ")
  }
}
