import Checkpoints
import Deployment
import RepVGGModel
import RunPlanning
import Tensors

/// The weights with which a run begins where its configuration names a file of them
/// (`model.initialize_from`): fine-tuning.
///
/// Parameters, running statistics and counts of batches are taken over as they are. The classifier is
/// only where the file's is for as many classes; else it keeps the values that the seed gives it.
package struct InitialWeights: Sendable {
  package enum Classifier: Sendable, Equatable {
    case kept
    /// The file's is for another number of classes, or (nil) it has none.
    case new(fileClasses: Int?)
  }

  package let path: String
  /// The names in the file.
  package let scheme: KeyScheme
  package let classifier: Classifier
  /// Under published names; without a classifier where that is new.
  package let tensors: NamedTensors
  /// Of all that the file holds, under published names.
  package let weightsSHA256: String
  private let classes: Int

  /// Reads the file that `plan` names, and checks it; nil where it names none.
  ///
  /// - Throws: what reading throws, and `.badData` where the tensors are not the network's.
  package init?(_ plan: RunPlan) throws {
    guard let path = plan.config.model.initializeFrom else { return nil }
    let file = try ModelFile.read(path: ModelPath.weights(path))
    let classifier = try Self.check(file.outline, for: plan, path: path)
    var tensors = file.completedTensors
    if classifier != .kept {
      for name in Self.classifierNames { tensors.removeValue(name) }
    }
    self.path = path
    scheme = file.scheme
    self.classifier = classifier
    self.tensors = tensors
    weightsSHA256 = file.tensors.weightsSHA256()
    classes = plan.classes
  }

  /// Throws what `init` would, without reading more of the file than its kind needs for that; nothing
  /// where the run has checkpoints: then it goes on from one, and the file may be gone.
  package static func check(_ plan: RunPlan) throws {
    guard let path = plan.config.model.initializeFrom,
      try CheckpointStore(directory: plan.paths.checkpoints, keep: 1).list().isEmpty
    else { return }
    _ = try check(ModelOutline.read(path: ModelPath.weights(path)), for: plan, path: path)
  }

  /// A line for people.
  package var summary: String {
    let beginning = "begins with the weights of \(path) (\(scheme.rawValue) names)"
    switch classifier {
    case .kept: return beginning
    case .new(let fileClasses?):
      return beginning
        + "; the classifier is new: the file has \(fileClasses) classes, this run \(classes)"
    case .new(nil): return beginning + "; the classifier is new: the file has none"
    }
  }

  private static let classifierNames = ["linear.weight", "linear.bias"]

  private static func check(
    _ outline: ModelOutline, for plan: RunPlan, path: String
  ) throws -> Classifier {
    guard outline.form == .training else {
      throw JobFailure(
        .badData,
        "\(path): these are \(outline.form.rawValue) weights; model.initialize_from needs training "
          + "weights")
    }
    let classifier = fate(ofClassifierIn: outline, for: plan)
    var tensors = outline.tensors + outline.missingBatchCounts.map(TensorOutline.count)
    var table = plan.trainingTable
    if classifier != .kept {
      tensors.removeAll { classifierNames.contains($0.name) }
      table.entries.removeAll { classifierNames.contains($0.name) }
    }
    do {
      try TensorCheck.check(tensors, against: table)
    } catch {
      throw JobFailure(.badData, "\(path): \(error)\(outline.remarkOnNames)")
    }
    return classifier
  }

  /// What is no whole classifier for features of this network is left to the check of all tensors.
  private static func fate(
    ofClassifierIn outline: ModelOutline, for plan: RunPlan
  ) -> Classifier {
    let shapes = classifierNames.map { name in
      outline.tensors.first { $0.name == name }?.shape
    }
    if shapes == [nil, nil] { return .new(fileClasses: nil) }
    let features = plan.blocks.last?.outputChannels ?? 0
    guard let weight = shapes[0], let bias = shapes[1], weight.count == 2, weight[0] > 0,
      weight[0] != plan.classes, weight[1] == features, bias == [weight[0]]
    else { return .kept }
    return .new(fileClasses: weight[0])
  }
}
