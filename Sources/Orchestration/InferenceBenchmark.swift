import Deployment
import ImageData
import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// `repvgg bench inference`: a network on random images that lie in memory, on one rank alone.
package struct InferenceBenchmark {
  /// What is measured: a network of random weights, or a weights file.
  package enum Subject: Sendable {
    case architecture(Architecture, channels: Int, height: Int, width: Int, classes: Int)
    case file(String)
  }

  package struct Settings: Sendable {
    package var subject: Subject
    package var form = ModelForm.deploy
    package var batch = 32
    package var threads = 1
    /// Pixels of a side; 0 takes the subject's.
    package var resolution = 0
    /// Batches that are measured, beside one to warm up.
    package var steps = 10

    package init(subject: Subject) { self.subject = subject }
  }

  package struct Report: Sendable {
    package var name: String
    package var height: Int
    package var width: Int
    package var channels: Int
    package var classes: Int
    /// From the median batch.
    package var imagesPerSecond: Double
    package var secondsPerBatch: Double
    package var fastestBatch: Double
    package var slowestBatch: Double
    /// From nothing to the logits of the first batch: the file read (or weights drawn), transformed,
    /// and run.
    package var secondsToFirstResult: Double
    package var peakResidentBytes: Int
    /// Of weights, as the kernels read them, and everything that a pass works in; of the deploy form.
    package var networkBytes: Int
  }

  private let settings: Settings

  package init(_ settings: Settings) { self.settings = settings }

  package func run() throws -> Report {
    BLAS.useOneThread()
    let start = monotonicSeconds()
    let (network, description) = try makeNetwork()
    let count = settings.batch * network.shape.imageCount
    let pixels = Arena(count: count)
    var random = CounterRandom(seed: 1, epoch: 0, sample: 0, purpose: .synthetic)
    let drawing = monotonicSeconds()
    for place in 0..<count { pixels.base[place] = 2 * random.uniform() - 1 }
    let drawn = monotonicSeconds() - drawing
    let images = [ShardImages(pixels: UnsafePointer(pixels.base), count: settings.batch)]
    network.evaluate(images)
    let first = monotonicSeconds() - start - drawn
    let seconds = (0..<settings.steps).map { _ in
      let start = monotonicSeconds()
      network.evaluate(images)
      return monotonicSeconds() - start
    }.sorted()
    let median = seconds[seconds.count / 2]
    return Report(
      name: description.name ?? description.architecture.name, height: description.height,
      width: description.width, channels: description.channels, classes: description.classes,
      imagesPerSecond: Double(settings.batch) / median, secondsPerBatch: median,
      fastestBatch: seconds[0], slowestBatch: seconds[seconds.count - 1],
      secondsToFirstResult: first, peakResidentBytes: Machine.peakResidentBytes,
      networkBytes: network.bytes)
  }

  /// Either form, as far as it is needed here.
  private struct Network {
    var shape: NetworkShape
    var evaluate: ([ShardImages]) -> Void
    var bytes: Int
  }

  private func makeNetwork() throws -> (Network, ModelDescription) {
    switch settings.subject {
    case .architecture(let architecture, let channels, let height, let width, let classes):
      let description = ModelDescription(
        architecture: architecture, classes: classes, channels: channels,
        height: settings.resolution > 0 ? settings.resolution : height,
        width: settings.resolution > 0 ? settings.resolution : width)
      return (try network(description, weights: nil), description)
    case .file(let path):
      let file = try ModelFile.read(path: path)
      var description = try ModelDescription(of: file, source: path)
      if settings.resolution > 0 { description.resize(to: settings.resolution) }
      if settings.form == .training {
        _ = try file.require(.training, source: path)
        return (try network(description, weights: file.completedTensors), description)
      }
      let deploy =
        file.form == .deploy ? file.tensors : try Fuse.deployTensors(from: file.tensors)
      _ = consume file
      return (try network(description, weights: deploy), description)
    }
  }

  private func network(
    _ description: ModelDescription, weights: consuming NamedTensors?
  ) throws -> Network {
    let shape = NetworkShape(
      blocks: description.blocks, classes: description.classes, shards: 1,
      shardCapacity: settings.batch)
    try MemoryLimit.require(
      settings.form == .deploy ? .evaluationOfDeployForm : .evaluationOfTrainingForm,
      of: CostModel(blocks: shape.blocks, classes: shape.classes),
      load: CostModel.Load(
        shards: 1, shardSize: settings.batch, threads: settings.threads, prefetch: 0,
        datasetBytes: 0),
      subject: "\(description.architecture.name) on \(settings.batch) images of "
        + "\(description.height) x \(description.width)")
    let pool = Machine.pool(threads: settings.threads)
    if settings.form == .training {
      let network = TrainingNetwork(shape: shape, pool: pool)
      if let weights { try network.load(weights) } else { try network.initialise(seed: 1) }
      return Network(shape: shape, evaluate: network.evaluate, bytes: 0)
    }
    let network = try DeployNetwork(
      shape: shape, tensors: weights ?? Self.randomWeights(shape), pool: pool)
    return Network(shape: shape, evaluate: network.evaluate, bytes: network.bytes)
  }

  /// Weights that keep activations of one size through all layers: uniform in ±√(6 / fan-in).
  private static func randomWeights(_ shape: NetworkShape) -> NamedTensors {
    var tensors = NamedTensors()
    let table = ParameterTable.deploy(blocks: shape.blocks, classes: shape.classes)
    for (index, entry) in table.entries.enumerated() {
      var random = CounterRandom(seed: 1, epoch: 0, sample: index, purpose: .synthetic)
      let bound =
        entry.kind == .bias
        ? 0.1 : (6 / Double(entry.shape.dropFirst().reduce(1, *))).squareRoot()
      tensors[entry.name] = Tensor(
        shape: entry.shape,
        (0..<entry.count).map { _ in (2 * random.uniform() - 1) * Float(bound) })
    }
    return tensors
  }
}
