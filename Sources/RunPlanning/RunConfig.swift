/// What a configuration file says, with defaults for what it leaves out. Decoded strictly from YAML
/// (`ConfigurationKeys`); resolved against the world size and the data into a `RunPlan`.
package struct RunConfig: Sendable, Equatable, Codable {
  /// Names the run's artifacts; by default the configuration file's name without its extension.
  package var name = "run"
  package var model = Model()
  package var data = Data()
  package var training = Training()
  package var optimizer = Optimizer()
  package var schedule = Schedule()
  package var evaluation = Evaluation()
  package var checkpoint = Checkpoint()
  package var communication = Communication()
  package var watchdog = Watchdog()
  package var numerics = Numerics()
  package var fuse = Fuse()
  package var artifacts = Artifacts()
  /// Directory of the run: checkpoints, metrics and artifacts.
  package var output = "runs/run"

  package init() {}

  package struct Model: Sendable, Equatable, Codable {
    package var architecture = Architecture.zoo[0]
    package var classes = 10
    /// File of training weights with which a new run begins; nil: initial values from the seed.
    package var initializeFrom: String?
    package init() {}
  }

  package enum BatchNormMode: String, Sendable, Codable, CaseIterable { case sync, local }

  package struct Training: Sendable, Equatable, Codable {
    package var globalBatch = 256
    package var shards = 8
    package var epochs = 1
    /// Ends the run after this many steps, whatever `epochs` says; 0: no limit.
    package var maxSteps = 0
    package var seed: UInt64 = 1
    package var batchNorm = BatchNormMode.sync
    package var labelSmoothing = 0.0
    package var shuffle = true
    /// Parameters of the Beta distributions from which mixing shares are drawn; 0: off.
    package var mixupAlpha = 0.0
    package var cutmixAlpha = 0.0
    /// Share of the old average that each step keeps; 0: no average is kept.
    package var averageDecay = 0.0
    package init() {}
  }

  package struct Optimizer: Sendable, Equatable, Codable {
    package var momentum = 0.9
    package var nesterov = false
    package var weightDecay = 1e-4
    package init() {}
  }

  package enum ScheduleKind: String, Sendable, Codable, CaseIterable {
    case constant, cosine, step, poly
  }

  package struct Schedule: Sendable, Equatable, Codable {
    package var kind = ScheduleKind.cosine
    package var learningRate = 0.1
    package var finalLearningRate = 0.0
    /// Linear warm-up from `warmupStart` x learning rate, over this many (fractional) epochs.
    package var warmupEpochs = 0.0
    package var warmupStart = 0.0
    /// `step`: epochs after which the rate is multiplied by `gamma`.
    package var milestones: [Double] = []
    package var gamma = 0.1
    /// `poly`: exponent of (1 − progress).
    package var power = 0.9
    package init() {}
  }

  package struct Evaluation: Sendable, Equatable, Codable {
    /// Evaluate after every n epochs, and always at the end; 0: only at the end.
    package var everyEpochs = 1
    package init() {}
  }

  package struct Checkpoint: Sendable, Equatable, Codable {
    /// Save after every n steps; 0: not by steps.
    package var everySteps = 100
    /// Save when so many minutes have passed since the last save; 0: not by time.
    package var everyMinutes = 1.0
    /// Newest checkpoints kept, beside the best one.
    package var keep = 3
    /// Seconds, beyond a hundredth of the time, for which a save that is due waits for the last one,
    /// which is still being written, before training goes on and it comes later.
    package var patienceSeconds = 0.0
    package init() {}
  }

  /// How gradients are summed over ranks; the bits are the same.
  package enum Reduction: String, Sendable, Codable, CaseIterable { case halving, library }

  package struct Communication: Sendable, Equatable, Codable {
    /// Gradients are reduced in messages of at least so many bytes; 0: a size found by measurement
    /// when the job starts.
    package var bucketBytes = Communication.usualBucketBytes
    package var reduction = Reduction.halving
    package static let usualBucketBytes = 4_194_304
    /// Refuse to train (exit 76) when the probe does not prove bit invariance.
    package var strictBits = false
    /// Compare kind and size of every message before it is sent: for looking for faults.
    package var checkOrder = false
    package init() {}
  }

  /// When ranks that make no progress are named, and when the job ends by that.
  package struct Watchdog: Sendable, Equatable, Codable {
    /// 0: never.
    package var warnSeconds = 30.0
    /// 0: never.
    package var abortSeconds = 300.0
    /// A rank whose own work in a step takes so many times the median of all is a straggler; 0: none
    /// is.
    package var stragglerFactor = 2.0
    package init() {}
  }

  package enum NumericsPolicy: String, Sendable, Codable, CaseIterable { case stop, rollback }

  /// What happens to a step whose loss, gradients, statistics or update are not finite.
  package struct Numerics: Sendable, Equatable, Codable {
    package var policy = NumericsPolicy.stop
    /// `rollback`: rejected steps in a row that end the run.
    package var limit = 3
    /// A step whose loss is above so many times the mean of the accepted ones before it is rejected
    /// too; 0: never.
    package var spike = 0.0
    package init() {}
  }

  package struct Fuse: Sendable, Equatable, Codable {
    /// Largest allowed difference between a fused block and its Float64 fuse, relative L2.
    package var blockTolerance = 1e-6
    /// Largest allowed logit difference between both forms, relative to the largest logit.
    package var logitTolerance = 1e-3
    /// Smallest allowed share of test images on which both forms agree on the class.
    package var minimumAgreement = 0.999
    package init() {}
  }

  /// What is said of the artifacts and cannot be known from the run.
  package struct Artifacts: Sendable, Equatable, Codable {
    /// Under which the weights may be used, such as `CC-BY-4.0`; empty where nothing is said.
    package var licence = ""
    package init() {}
  }
}

extension KeyedDecodingContainer {
  /// States of runs that began before there was the section say nothing of it.
  func decode(
    _ type: RunConfig.Artifacts.Type, forKey key: Key
  ) throws -> RunConfig.Artifacts {
    try decodeIfPresent(type, forKey: key) ?? RunConfig.Artifacts()
  }
}
