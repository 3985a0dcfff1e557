import Deployment
import Kernels
import RunPlanning

extension Classifier {
  /// Loads the weights that a person names (`ModelPath`), with the names of classes beside them.
  ///
  /// `resolution`: pixels of a side in place of the model's own; 0 takes that. `note` takes what a person should know.
  ///
  /// - Throws: what reading and recognising the file throws, and `.configuration` where the network on
  ///   images of its size is more than this machine holds.
  package static func load(
    _ path: String, settings: Settings, resolution: Int = 0, note: (String) -> Void = { _ in }
  ) throws -> Classifier {
    let path = try ModelPath.weights(path, note: note)
    let file = try ModelFile.read(path: path)
    var description = try ModelDescription(of: file, source: path)
    if resolution > 0 { description.resize(to: resolution) }
    try MemoryLimit.require(
      .evaluationOfDeployForm,
      of: CostModel(blocks: description.blocks, classes: description.classes),
      load: CostModel.Load(
        shards: 1, shardSize: settings.batch, threads: settings.threads, prefetch: 0,
        datasetBytes: 0),
      subject: "\(path): \(description.architecture.name) on \(settings.batch) images of "
        + "\(description.height) x \(description.width)")
    return try Classifier(
      file, description: description,
      names: LabelFile.names(beside: path, classes: description.classes), settings: settings,
      pool: Machine.pool(threads: settings.threads))
  }
}
