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
    package var split: String
    package var result: Evaluation.Result
    package var imagesPerSecond: Double
    /// Where asked for: `logits` [N, classes], `labels` [N] and `images` [N, C, H, W] as the network
    /// saw them, on every rank.
    package var tensors: NamedTensors
  }

  private let model: String
  private let configuration: String
  private let overrides: [String]
  private let split: String
  private let threads: Int

  package init(
    model: String, configuration: String, overrides: [String], split: String, threads: Int
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
    let result = try evaluation.run(form)
    let seconds = monotonicSeconds() - start
    var tensors = NamedTensors()
    if keepingLogits {
      tensors = try evaluation.tensors(form, dataset: dataset, keepingImages: keepingImages)
    }
    return Outcome(
      form: file.form, split: split, result: result,
      imagesPerSecond: Double(result.count) / seconds, tensors: tensors)
  }

  private typealias Prepared = (
    file: ModelFile, dataset: any Dataset, evaluation: Evaluation, form: Evaluation.Form
  )

  private func prepare(_ communicator: any Communicator) throws -> Prepared {
    let config = try RunConfig.load(path: configuration, overrides: overrides)
    let file = try ModelFile.read(path: model)
    let (train, test) = try Datasets.open(config: config)
    let dataset = split == "train" ? train : test
    let transform = try SampleTransform(config: config, form: dataset.form).deterministic
    let blocks = config.model.architecture.blocks(
      inputChannels: transform.channels, height: transform.height, width: transform.width)
    let training = config.training
    // The chunks of training's own evaluation, so that the same weights give the same bits.
    let shape = NetworkShape(
      blocks: blocks, classes: config.model.classes, shards: threads,
      shardCapacity: (training.globalBatch + training.shards - 1) / training.shards)
    try MemoryLimit.require(
      file.form == .deploy ? .evaluationOfDeployForm : .evaluationOfTrainingForm,
      of: CostModel(blocks: blocks, classes: config.model.classes),
      load: CostModel.Load(
        shards: threads, shardSize: shape.shardCapacity, threads: threads, prefetch: 0,
        datasetBytes: 0),
      subject: "\(configuration): \(config.model.architecture.name) on images of "
        + "\(transform.height) x \(transform.width)")
    let pool = Machine.pool(threads: threads)
    let form: Evaluation.Form
    do {
      switch file.form {
      case .training:
        let network = TrainingNetwork(shape: shape, pool: pool)
        try network.load(file.tensors)
        form = Evaluation.Form(network)
      case .deploy:
        form = Evaluation.Form(
          try DeployNetwork(shape: shape, tensors: file.tensors, pool: pool))
      }
    } catch let error as ModelTensorsError {
      throw JobFailure(.badData, "\(model): \(error)")
    }
    let evaluation = Evaluation(
      dataset: dataset, transform: transform, shape: shape, communicator: communicator)
    return (file, dataset, evaluation, form)
  }
}
