import Collectives
import Deployment
import ImageData
import Kernels
import RunPlanning
import Tensors
import Training

/// `repvgg certify TRAIN DEPLOY`: whether two files hold one network in its two forms, whoever made
/// them, block by block and, with a configuration, by the logits of a split of its data.
package struct Certification {
  /// On which images both networks are compared.
  package struct Images {
    /// Path of the configuration that names them.
    package var configuration: String
    package var overrides: [String]
    package var split: Datasets.Split
    package var threads: Int

    package init(
      configuration: String, overrides: [String], split: Datasets.Split, threads: Int
    ) {
      self.configuration = configuration
      self.overrides = overrides
      self.split = split
      self.threads = threads
    }
  }

  package struct Outcome {
    package var certificate: FuseCertificate
    /// Paths as they were given, told apart by what the files hold.
    package var training: String
    package var deploy: String
  }

  private let paths: [String]
  private let images: Images?

  /// `first` and `second`: files of weights, checkpoints or runs, one of each form in any order.
  package init(_ first: String, _ second: String, images: Images?) {
    paths = [first, second]
    self.images = images
  }

  /// Compares and judges; the tolerances are those of the configuration, or the defaults.
  ///
  /// - Throws: `.badData` where both are of one form, `DeploymentError` where they are no networks
  ///   or not of the same blocks; what reading throws. One that does not hold is returned.
  package func run() throws -> Outcome {
    BLAS.useOneThread()
    let files = try paths.map { path in
      let resolved = try ModelPath.weights(path)
      return (given: path, path: resolved, file: try ModelFile.read(path: resolved))
    }
    let form = files[0].file.form
    guard form != files[1].file.form else {
      throw JobFailure(
        .badData,
        "\(paths[0]) and \(paths[1]): these are both \(form.rawValue) weights; give one file in "
          + "training form and one in deploy form")
    }
    let (training, deploy) = form == .training ? (files[0], files[1]) : (files[1], files[0])
    let tensors = (
      training: try training.file.require(.training, source: training.given),
      deploy: try deploy.file.require(.deploy, source: deploy.given)
    )
    // The blocks first: what is no pair of networks is not worth a pass over images.
    var certificate = try FuseCertificate(
      model: training.given, training: tensors.training, deploy: tensors.deploy, comparison: nil,
      tolerances: RunConfig.Fuse())
    if let images {
      let config = try RunConfig.load(path: images.configuration, overrides: images.overrides)
      certificate = try FuseCertificate(
        model: training.given, training: tensors.training, deploy: tensors.deploy,
        comparison: try comparison(
          images, config, [(training.path, training.file), (deploy.path, deploy.file)]),
        tolerances: config.fuse)
    }
    certificate.trainingFileSHA256 = try SHA256Digest.hex(ofFile: training.path)
    certificate.deployFileSHA256 = try SHA256Digest.hex(ofFile: deploy.path)
    return Outcome(certificate: certificate, training: training.given, deploy: deploy.given)
  }

  private func comparison(
    _ images: Images, _ config: RunConfig, _ files: [(path: String, file: ModelFile)]
  ) throws -> FuseCertificate.Comparison {
    let evaluation = ModelEvaluation(
      model: files[0].path, configuration: images.configuration, overrides: images.overrides,
      split: images.split, threads: images.threads)
    let (setting, forms) = try evaluation.prepare(files, config)
    let results = try setting.evaluation(over: SoloCommunicator()).compare(forms[0], forms[1])
    return FuseCertificate.Comparison(results, split: images.split.rawValue)
  }
}

extension FuseCertificate.Comparison {
  /// Of both networks on the images of `split`, the training form first.
  init(
    _ results: (
      first: Evaluation.Result, second: Evaluation.Result, comparison: Evaluation.Comparison
    ), split: String
  ) {
    let comparison = results.comparison
    self.init(
      split: split, count: comparison.count, agreement: comparison.agreement,
      largestDifference: comparison.largestDifference, largestLogit: comparison.largestLogit,
      trainingTop1: results.first.top1, deployTop1: results.second.top1)
  }
}
