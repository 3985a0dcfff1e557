/// A run with every question answered: what the configuration, the world size, the data and the
/// machine make together. Immutable; after planning nobody reads YAML, environment or arguments.
package struct RunPlan: Sendable {
  package let config: RunConfig
  package let data: DataSummary
  package let machine: MachineSummary
  package let worldSize: Int
  /// Threads of each rank.
  package let threads: Int

  /// The blocks in forward order.
  package let blocks: [BlockShape]
  package let trainingTable: ParameterTable
  package let deployTable: ParameterTable
  package let layout: ArenaLayout
  package let classes: Int
  package let inputChannels: Int
  /// Pixels of the images that the network sees, where it changes: of the largest.
  package let height: Int
  package let width: Int
  /// The sizes of the images that the network is trained on, in their order; at least one.
  package let phases: [Phase]

  /// Images of a full step over all ranks, and the shards into which they are cut.
  package let globalBatch: Int
  package let shards: Int
  /// Rank → its shards, contiguous and whole; the first ranks get the remainder.
  package let ranksShards: [Range<Int>]
  /// Images of the largest shard.
  package let maximumShardSize: Int
  package let stepsPerEpoch: Int
  /// Steps of the learning-rate schedule: epochs times steps an epoch. `max_steps` does not
  /// shorten it, so that a run cut short and later extended is the run that was never cut.
  package let scheduleSteps: Int
  /// Steps after which the run ends.
  package let totalSteps: Int

  package let bitInvariance: BitInvariance
  /// The weight region of the layout in slices, in the order in which backward completes them.
  package let buckets: [Range<Int>]
  /// Collectives of one step, in the order in which they are begun.
  package let messages: [Message]
  package let macsTraining: Int
  package let macsDeploy: Int
  package let winogradMultiplications: Int
  /// Of the rank with the most shards.
  package let memory: MemoryEstimate
  package let paths: Paths
  /// What a person should know before the run: BLAS settings, ignored keys, memory of the machine.
  package let notes: [String]

  package var seed: UInt64 { config.training.seed }
  /// Bytes of all ranks together, taking each for the one with the most shards.
  package var memoryOfAllRanks: Int { memory.total(ranks: worldSize) }
  package var cost: CostModel { CostModel(blocks: blocks, classes: classes) }
}

extension RunPlan {
  /// Whether the trained weights are expected to be the same bits for other numbers of ranks. The
  /// run proves it at its start (docs/numerics.md).
  package enum BitInvariance: Sendable, Equatable {
    case expected
    case no(reason: String)

    package var isExpected: Bool { self == .expected }

    static func of(ranks: Int, shards: Int) -> BitInvariance {
      func isPowerOfTwo(_ count: Int) -> Bool { count > 0 && count & (count - 1) == 0 }
      if !isPowerOfTwo(shards) { return .no(reason: "\(shards) shards are not a power of two") }
      if !isPowerOfTwo(ranks) { return .no(reason: "\(ranks) ranks are not a power of two") }
      return .expected
    }
  }

  /// Values of a step's summary beside one for each rank, the seconds of its own work: loss, top-1,
  /// top-5, samples, the wishes to stop and to save, failures, and whether something was not finite.
  package static let summaryCount = 8

  /// One collective of a step: a sum over ranks.
  package struct Message: Sendable, Equatable {
    package enum Purpose: String, Sendable, CaseIterable {
      case forwardStatistics = "forward statistics"
      case backwardStatistics = "backward statistics"
      case gradients = "gradients"
      case stepSummary = "step summary"
    }

    package enum ElementType: String, Sendable, Codable {
      case float64, float32

      package var bytes: Int { self == .float64 ? 8 : 4 }
    }

    package var purpose: Purpose
    /// The block's key for statistics, the bucket's index for gradients, else empty.
    package var subject: String
    /// Elements.
    package var count: Int
    package var elementType: ElementType
    /// Whether the step waits for it, as opposed to overlapping it with the backward pass.
    package var isBlocking: Bool

    package var bytes: Int { count * elementType.bytes }
  }

  /// Where the files of the run lie.
  package struct Paths: Sendable, Equatable {
    package var runDirectory: String
    package var configuration: String
    package var plan: String
    package var metrics: String
    package var log: String
    package var checkpoints: String
    /// Which step is under way, and how often in a row it was not survived.
    package var attempts: String
    /// Names of the classes, one a line, where the data have any: beside the plan from the start, and
    /// beside the weights at the end.
    package var classes: String
    package var labels: String
    package var artifacts: String
    package var trainingWeights: String
    package var deployWeights: String
    /// The deploy network for other runtimes.
    package var onnx: String
    package var certificate: String
    /// What a person should know of the network, in Markdown.
    package var card: String
    /// The configuration with every key resolved.
    package var resolvedConfiguration: String

    /// `artifacts`: where they lie, if not in the run's directory.
    package init(runDirectory: String, name: String, artifacts place: String? = nil) {
      func inside(_ directory: String, _ file: String) -> String {
        directory.hasSuffix("/") ? directory + file : "\(directory)/\(file)"
      }
      self.runDirectory = runDirectory
      configuration = inside(runDirectory, "config.yaml")
      plan = inside(runDirectory, "plan.json")
      metrics = inside(runDirectory, "metrics.jsonl")
      log = inside(runDirectory, "log.txt")
      checkpoints = inside(runDirectory, "checkpoints")
      attempts = inside(runDirectory, "attempts.json")
      classes = inside(runDirectory, "classes.txt")
      artifacts = place ?? inside(runDirectory, "artifacts")
      labels = inside(artifacts, "labels.txt")
      trainingWeights = inside(artifacts, "\(name)-train.safetensors")
      deployWeights = inside(artifacts, "\(name)-deploy.safetensors")
      onnx = inside(artifacts, "\(name)-deploy.onnx")
      certificate = inside(artifacts, "certificate.json")
      card = inside(artifacts, "\(name)-card.md")
      resolvedConfiguration = inside(artifacts, "\(name)-config.yaml")
    }
  }

  /// Seconds that the arithmetic alone takes, as a lower bound for a person's patience.
  package struct TimeEstimate: Sendable, Equatable {
    /// Of a step with images of the plan's own size.
    package var secondsPerStep: Double
    package var secondsTotal: Double
  }

  /// Forward and backward cost three forwards; two operations a multiply-accumulate.
  /// `gigaflopsPerCore`: what a core sustains; ranks beyond the machine's cores share them, taking
  /// all ranks to run here.
  package func estimate(gigaflopsPerCore: Double) -> TimeEstimate {
    let cores = Double(min(worldSize * threads, max(machine.cores, 1)))
    let images = Double(min(globalBatch, data.trainCount))
    let secondsPerMAC = 3 * 2 * images / (cores * gigaflopsPerCore * 1e9)
    return TimeEstimate(
      secondsPerStep: secondsPerMAC * Double(macsTraining),
      secondsTotal: phases.reduce(0) {
        $0 + secondsPerMAC * Double($1.macsTraining) * Double(steps(of: $1).count)
      })
  }

  /// Refuses what can be planned but not trained.
  package func requireTrainable() throws(ConfigurationError) {
    if !config.data.isNamed {
      throw ConfigurationError(
        key: "data.directory", "no data is named; set data.directory, or data.format to synthetic")
    }
    if data.isAssumed {
      throw ConfigurationError(
        key: "data", "the plan was made for assumed data; training needs the data opened")
    }
  }
}
