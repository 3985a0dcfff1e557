import Collectives
import Deployment
import ImageData
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// `repvgg evaluate`: a weights file of either form on a split of a configuration's data.
package struct ModelEvaluation {
  package struct Outcome {
    package var form: ModelForm
    package var scheme: KeyScheme
    package var split: Datasets.Split
    package var result: Evaluation.Result
    package var imagesPerSecond: Double
    /// Where asked for: `logits` [N, classes], `labels` [N] and `images` [N, C, H, W] as the network
    /// saw them, on every rank.
    package var tensors: NamedTensors
  }

  private let model: String
  private let configuration: String
  private let overrides: [String]
  private let split: Datasets.Split
  private let threads: Int

  package init(
    model: String, configuration: String, overrides: [String], split: Datasets.Split,
    threads: Int
  ) {
    self.model = model
    self.configuration = configuration
    self.overrides = overrides
    self.split = split
    self.threads = threads
  }

  package func run(
    over communicator: any Communicator, keepingLogits: Bool, keepingImages: Bool
  ) throws -> Outcome {
    BLAS.useOneThread()
    let (file, dataset, evaluation, form) = try Agreement.all(communicator) {
      try prepare(communicator)
    }
    let start = monotonicSeconds()
    let (result, tensors): (Evaluation.Result, NamedTensors)
    if keepingLogits {
      (result, tensors) = try evaluation.runKeepingLogits(
        form, dataset: dataset, keepingImages: keepingImages)
    } else {
      (result, tensors) = (try evaluation.run(form), NamedTensors())
    }
    try Agreement.settle(communicator, evaluation.failure, ofOneRank: true)
    let seconds = monotonicSeconds() - start
    return Outcome(
      form: file.form, scheme: file.scheme, split: split, result: result,
      imagesPerSecond: Double(result.count) / seconds, tensors: tensors)
  }

  /// Of the names that lie beside the weights or in the directory of their run, if any, and of the
  /// data, if they have any: where they differ, every accuracy would be wrong.
  private func requireSameClasses(_ dataset: some Dataset, path: String) throws {
    guard !dataset.classNames.isEmpty else { return }
    guard let path = LabelFile.path(beside: path) else { return }
    let names = try ClassNames.read(path: path)
    // What is written beside a network whose data had no names says nothing about them.
    guard names != ClassNames.numbers(names.count) else { return }
    if let (label, ours, theirs) = ClassNames.difference(names, dataset.classNames) {
      throw JobFailure(
        .badData,
        "\(path): class \(label) of the model is \(ours), that of the data \(theirs); evaluate on data "
          + "of the same classes, or remove that file where it is not of this model")
    }
  }

  private typealias Prepared = (
    file: ModelFile, dataset: any Dataset, evaluation: Evaluation, form: Evaluation.Form
  )

  private func prepare(_ communicator: any Communicator) throws -> Prepared {
    let config = try RunConfig.load(path: configuration, overrides: overrides)
    let path = try ModelPath.weights(model)
    let file = try ModelFile.read(path: path)
    let (setting, forms) = try prepare([(path, file)], config)
    return (file, setting.dataset, setting.evaluation(over: communicator), forms[0])
  }

  /// Images and how networks see them.
  struct Setting {
    let dataset: any Dataset
    let transform: SampleTransform
    let shape: NetworkShape

    func evaluation(over communicator: any Communicator) -> Evaluation {
      Evaluation(
        dataset: dataset, transform: transform, shape: shape, communicator: communicator)
    }
  }

  /// Opens the data and makes a network of each of `files`, which are of one architecture.
  func prepare(
    _ files: [(path: String, file: ModelFile)], _ config: RunConfig
  ) throws -> (setting: Setting, forms: [Evaluation.Form]) {
    for (path, file) in files { try requireArchitecture(of: file, path: path, config) }
    let dataset = try Datasets.open(split, config: config)
    for (path, _) in files { try requireSameClasses(dataset, path: path) }
    let transform = try SampleTransform(config: config, form: dataset.form).deterministic
    let blocks = config.model.architecture.blocks(
      inputChannels: transform.channels, height: transform.height, width: transform.width)
    let training = config.training
    // The chunks of training's own evaluation, so that the same weights give the same bits.
    let shape = NetworkShape(
      blocks: blocks, classes: config.model.classes, shards: threads,
      shardCapacity: (training.globalBatch + training.shards - 1) / training.shards)
    try MemoryLimit.require(
      files.allSatisfy { $0.file.form == .deploy }
        ? .evaluationOfDeployForm : .evaluationOfTrainingForm,
      of: CostModel(blocks: blocks, classes: config.model.classes),
      load: CostModel.Load(
        shards: threads, shardSize: shape.shardCapacity, threads: threads, prefetch: 0,
        datasetBytes: 0),
      subject: "\(configuration): \(config.model.architecture.name) on images of "
        + "\(transform.height) x \(transform.width)")
    let pool = Machine.pool(threads: threads)
    return (
      Setting(dataset: dataset, transform: transform, shape: shape),
      try files.map { try form(of: $0.file, path: $0.path, shape: shape, pool: pool) }
    )
  }

  private func form(
    of file: ModelFile, path: String, shape: NetworkShape, pool: WorkerPool
  ) throws -> Evaluation.Form {
    do {
      switch file.form {
      case .training:
        let network = TrainingNetwork(shape: shape, pool: pool)
        try network.load(file.completedTensors)
        return Evaluation.Form(network)
      case .deploy:
        return Evaluation.Form(
          try DeployNetwork(shape: shape, tensors: file.tensors, pool: pool))
      }
    } catch let error as ModelTensorsError {
      throw JobFailure(.badData, "\(path): \(error)\(file.outline.remarkOnNames)")
    }
  }

  /// Where the file holds another published network than the configuration's, says which.
  private func requireArchitecture(
    of file: ModelFile, path: String, _ config: RunConfig
  ) throws {
    let (wanted, classes) = (config.model.architecture, config.model.classes)
    // The same network with other strides differs in ways that a name does not tell.
    guard !file.holds(wanted, classes: classes), let found = file.publishedNetwork,
      found.architecture.name != wanted.name || found.classes != classes
    else { return }
    let mend =
      (found.architecture.name == wanted.name
        ? "" : " --set model.architecture=\(found.architecture.name)")
      + (found.classes == classes ? "" : " --set model.classes=\(found.classes)")
    throw JobFailure(
      .badData,
      "\(path): holds \(found.architecture.name) for \(found.classes) classes, but \(configuration) "
        + "asks for \(wanted.name) for \(classes); add\(mend)")
  }
}
