import Checkpoints
import Collectives
import Deployment
import Foundation
import ImageData
import Kernels
import RunPlanning
import Tensors

/// `repvgg fuse MODEL --artifacts DIR`: of any checkpoint what a job leaves behind at its end.
package struct CheckpointDelivery {
  private let model: String
  private let directory: String
  private let overrides: [String]
  private let scheme: KeyScheme
  private let onnxInput: ONNX.Input
  private let threads: Int

  package struct Outcome {
    package var paths: RunPlan.Paths
    package var certificate: FuseCertificate
    /// After which the weights are the run's.
    package var step: Int
  }

  /// - Parameters:
  ///   - model: a checkpoint, or a run, of which the newest good one is taken.
  ///   - directory: for the artifacts; made where it is missing.
  ///   - overrides: `key=value` in place of the run's configuration, where the data lie now, say.
  package init(
    model: String, directory: String, overrides: [String], scheme: KeyScheme,
    onnxInput: ONNX.Input, threads: Int
  ) {
    self.model = model
    self.directory = directory
    self.overrides = overrides
    self.scheme = scheme
    self.onnxInput = onnxInput
    self.threads = threads
  }

  /// Fuses, compares both forms on the test images of the run, and writes the artifacts.
  ///
  /// - Throws: `.badData` where `model` is no checkpoint or the data are not the run's, `.cannotCreate`
  ///   where the directory holds something else, `.numerics` where the fuse misses its tolerance.
  package func run(note: (String) -> Void) throws -> Outcome {
    BLAS.useOneThread()
    guard let checkpoint = try ModelPath.checkpoint(model, note: note) else { throw noCheckpoint }
    let path = checkpoint.path(RunSnapshot.modelFile)
    let state = try RunSnapshot.readState(of: checkpoint)
    let config = try RunConfig.decode(
      text: state.config.yaml(), file: model, overrides: overrides)
    try requireFree(besides: checkpoint.directory, name: config.name)
    let plan = try plan(config, state)
    // Before the work that it is for.
    try OutputDirectory.make(directory, option: "--artifacts")
    let file = try ModelFile.read(path: path)
    let training = try file.require(.training, source: path)
    let deploy = try Fuse.deployTensors(from: training)
    let results = try compare(file, deploy, path: path, config)
    let certificate = try FuseCertificate(
      model: config.name, training: training, deploy: deploy,
      comparison: FuseCertificate.Comparison(results, split: "test"), tolerances: config.fuse)
    let paths = RunPlan.Paths(
      runDirectory: config.output, name: config.name, artifacts: directory)
    return Outcome(
      paths: paths,
      certificate: try Artifacts(
        plan: plan, step: state.step, best: state.best, training: training, deploy: deploy,
        results: results, certificate: certificate, scheme: scheme, onnxInput: onnxInput
      ).write(to: paths), step: state.step)
  }

  private var noCheckpoint: JobFailure {
    var status = stat()
    let code = stat(model, &status) == 0 ? 0 : errno
    return code == 0
      ? JobFailure(
        .badData,
        "\(model): a file of weights does not say how it was trained; name a checkpoint or a run for "
          + "--artifacts, or write deploy weights alone with --output")
      : JobFailure(
        code == EACCES ? .permission : .missingInput,
        "\(model): \(String(cString: strerror(code)))")
  }

  /// The run's plan as its job made it, for its data as they are now, which must be the same.
  private func plan(_ config: RunConfig, _ state: RunState) throws -> RunPlan {
    let (train, test) = try Datasets.open(config: config)
    let data = DataSummary(train: train, test: test, config: config)
    guard data.fingerprint == state.dataFingerprint else {
      throw JobFailure(
        .badData,
        "\(model): the data differ from those of the run (\(state.dataFingerprint), now "
          + "\(data.fingerprint)); bring them back, or name their place with --set data.directory=…"
      )
    }
    var machine = Machine.summary(mpiVersion: state.mpiVersion)
    // What training needs is not needed here.
    machine.physicalMemoryBytes = 0
    return try RunPlan.resolve(
      config: config, worldSize: state.worldSize, threads: state.threads, data: data,
      machine: machine)
  }

  private func compare(
    _ file: ModelFile, _ deploy: NamedTensors, path: String, _ config: RunConfig
  ) throws -> Artifacts.Results {
    let evaluation = ModelEvaluation(
      model: path, configuration: model, overrides: [], split: .test, threads: threads)
    let fused = try ModelFile(deploy, source: path)
    let (setting, forms) = try evaluation.prepare([(path, file), (path, fused)], config)
    return try setting.evaluation(over: SoloCommunicator()).compare(forms[0], forms[1])
  }
}

// MARK: - The directory

extension CheckpointDelivery {
  /// Only what holds nothing, or older artifacts, is ours to write into; and what a job delivered
  /// is the job's.
  private func requireFree(besides checkpoint: String, name: String) throws {
    let delivered = "\(checkpoint)/../../artifacts"
    if AtomicFile.isSame("\(directory)/certificate.json", "\(delivered)/certificate.json") {
      throw JobFailure(
        .cannotCreate,
        "\(directory): is where the run itself delivers; choose another directory for --artifacts")
    }
    try OutputDirectory.require(
      directory, isEmptyOr: "directory of artifacts",
      // The second where writing them was cut short.
      markedBy: ["certificate.json", "\(name)-config.yaml"], option: "--artifacts")
  }
}
