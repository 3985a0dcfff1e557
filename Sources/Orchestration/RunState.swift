import Checkpoints
import Deployment
import Foundation
import ImageData
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// What a checkpoint holds beside weights and momentum: whatever makes the continued run end with
/// the same bits, and what a resume is checked against.
///
/// Randomness needs no state: shuffling and augmentation are functions of seed, epoch and sample.
package struct RunState: Sendable, Codable, Equatable {
  package struct Best: Sendable, Codable, Equatable {
    package var step: Int
    package var top1: Double
  }

  package static let currentFormat = 4

  package var format = RunState.currentFormat
  /// Steps done.
  package var step: Int
  package var best: Best?
  package var lossRecord = LossRecord()
  /// The run was stopped after the last step of an epoch, before its evaluation.
  package var owesEvaluation = false
  /// `Checkpoint.identity` of the one that this run was last told to go on from by its path.
  package var origin: String?
  package var config: RunConfig
  package var dataFingerprint: String
  /// By label; empty where the data have none, absent in checkpoints of before it was recorded.
  package var classNames: [String]?
  /// On which arithmetic and world the bits so far came about; a change is said, not refused.
  package var cpu: String
  package var blasKernel: String
  package var mpiVersion: String
  package var programVersion: String
  package var worldSize: Int
  package var threads: Int
  /// Absent in checkpoints of before it was recorded.
  package var kernels: KernelChoices?

  package init(
    plan: RunPlan, step: Int, best: Best?, lossRecord: LossRecord = LossRecord(),
    owesEvaluation: Bool = false, origin: String?
  ) {
    self.step = step
    self.best = best
    self.lossRecord = lossRecord
    self.owesEvaluation = owesEvaluation
    self.origin = origin
    config = plan.config
    dataFingerprint = plan.data.fingerprint
    classNames = plan.data.classNames
    cpu = plan.machine.cpu
    blasKernel = plan.machine.blasKernel
    mpiVersion = plan.machine.mpiVersion
    programVersion = plan.machine.programVersion
    worldSize = plan.worldSize
    threads = plan.threads
    kernels = plan.kernels
  }
}

extension RunState {
  /// What differs between the run so far and the plan that goes on with it, and may: one line each.
  package func differences(from plan: RunPlan) -> [String] {
    let new = plan.kernels.parts
    // A checkpoint of before kernels were recorded may be of any.
    let old = kernels?.parts.map(\.value) ?? new.map { _ in "not recorded" }
    let known = [
      ("BLAS kernel", blasKernel, plan.machine.blasKernel), ("CPU", cpu, plan.machine.cpu),
      ("MPI", mpiVersion, plan.machine.mpiVersion),
      ("program", programVersion, plan.machine.programVersion),
    ]
    let changes = (known + zip(old, new).map { ($1.name, $0, $1.value) }).filter { $0.1 != $0.2 }
      .map { "\($0.0) was \($0.1) and is now \($0.2): the bits from here on may be others" }
    return changes + ignored(by: plan)
  }

  /// What the plan asks for and has no effect any more.
  private func ignored(by plan: RunPlan) -> [String] {
    let (old, new) = (config.model.initializeFrom, plan.config.model.initializeFrom)
    guard old != new else { return [] }
    return [
      "model.initialize_from was \(old ?? "empty") and is now \(new ?? "empty"): it is not read, as "
        + "the run goes on from a checkpoint"
    ]
  }
}

/// A run's state at one moment, in memory's order: what training waits for when it saves.
package struct RunCopy: Sendable {
  package let state: RunState
  private let model: NetworkCopy
  private let optimizer: NetworkCopy
  private let average: NetworkCopy?
  /// What the weights' files say of their network.
  private let metadata: [String: String]

  package init(
    state: RunState, network: TrainingNetwork, optimizer: SGD, average: WeightAverage?
  ) {
    self.state = state
    let description = ModelDescription(state.config, network: network.shape)
    metadata = description.metadata.merging(["format": "pt", "form": "training"]) { $1 }
    let (here, away) = (network.copy(), average?.copy())
    // The trained weights are the model, wherever they lie.
    if let average, average.isInUse, let away {
      (model, self.average) = (away, here)
    } else {
      (model, self.average) = (here, away)
    }
    self.optimizer = network.copy(ofTrainable: optimizer.momentum)
  }

  /// A checkpoint's files, as values.
  package func snapshot() -> RunSnapshot {
    var snapshot = RunSnapshot(
      state: state, model: model.tensors(), optimizer: optimizer.trainableTensors(),
      average: average?.tensors())
    snapshot.model.metadata = metadata
    snapshot.average?.metadata = metadata
    return snapshot
  }
}

/// A checkpoint's files, as values.
package struct RunSnapshot: Sendable {
  package var state: RunState
  /// Parameters, running statistics and batch counts under published names.
  package var model: NamedTensors
  /// The momentum buffer under the names of its parameters.
  package var optimizer: NamedTensors
  /// The average of the weights under the names of `model`, where one is kept.
  package var average: NamedTensors?

  package static let modelFile = "model.safetensors"
  private static let optimizerFile = "optimizer.safetensors"
  private static let averageFile = "average.safetensors"
  private static let stateFile = "state.json"

  package func files() throws -> [(name: String, bytes: [UInt8])] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let average = average.map { [(Self.averageFile, $0.safetensorsBytes())] } ?? []
    return average + [
      (Self.modelFile, model.safetensorsBytes()),
      (Self.optimizerFile, optimizer.safetensorsBytes()),
      (Self.stateFile, Array(try encoder.encode(state)) + [0x0A]),
    ]
  }

  fileprivate init(
    state: RunState, model: NamedTensors, optimizer: NamedTensors, average: NamedTensors?
  ) {
    (self.state, self.model, self.optimizer, self.average) = (state, model, optimizer, average)
  }

  package init(reading checkpoint: Checkpoint) throws {
    state = try Self.readState(of: checkpoint)
    model = try NamedTensors(
      safetensors: checkpoint.read(Self.modelFile), path: checkpoint.path(Self.modelFile))
    optimizer = try NamedTensors(
      safetensors: checkpoint.read(Self.optimizerFile), path: checkpoint.path(Self.optimizerFile))
    guard state.config.training.averageDecay > 0 else { return }
    average = try NamedTensors(
      safetensors: checkpoint.read(Self.averageFile), path: checkpoint.path(Self.averageFile))
  }

  /// What a checkpoint says of its run, without the tensors.
  package static func readState(of checkpoint: Checkpoint) throws -> RunState {
    struct Format: Decodable { var format: Int }
    let data = Data(try checkpoint.read(stateFile))
    let path = checkpoint.path(stateFile)
    guard let format = try? JSONDecoder().decode(Format.self, from: data).format else {
      throw JobFailure(.badData, "\(path): no state of a run")
    }
    guard format == RunState.currentFormat else {
      throw JobFailure(
        .badData,
        "\(path): format \(format), this program reads format \(RunState.currentFormat); resume "
          + "with the version that wrote it")
    }
    do {
      return try JSONDecoder().decode(RunState.self, from: data)
    } catch {
      throw JobFailure(.badData, "\(path): not a state of this program: \(error)")
    }
  }

  /// Throws where the plan at hand must not continue this run; returns notes about what differs and
  /// may.
  package func check(against plan: RunPlan, path: String) throws -> [String] {
    let differences = plan.config.differencesRefusedAtResume(from: state.config)
    if let first = differences.first {
      let others = differences.count > 1 ? " (and \(differences.count - 1) more)" : ""
      throw JobFailure(
        .configuration,
        "\(path): \(first.key) was \(first.old) and is now \(first.new)\(others); set it back, or "
          + "start anew with another output directory")
    }
    if let (label, old, new) = ClassNames.difference(
      state.classNames ?? [], plan.data.classNames)
    {
      throw JobFailure(
        .badData,
        "\(path): class \(label) was \(old) and is now \(new); bring the data back, or start anew with "
          + "another output directory")
    }
    guard state.dataFingerprint == plan.data.fingerprint else {
      throw JobFailure(
        .badData,
        "\(path): the data differ from those of the run (\(state.dataFingerprint), now "
          + "\(plan.data.fingerprint)); bring them back, or start anew with another output directory"
      )
    }
    return state.differences(from: plan)
  }
}
