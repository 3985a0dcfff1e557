// The keys of the training itself and of what accompanies it.

extension ConfigurationKey {
  static let training: [ConfigurationKey] = [
    .integer(
      "training.global_batch", \.training.globalBatch, 1...65_536, unit: "images",
      otherNames: ["batch_size", "batch", "batchsize"], atResume: .fixed,
      "Images of one step, over all ranks together."),
    .integer(
      "training.shards", \.training.shards, 1...4096, unit: "shards", atResume: .fixed,
      "Runs of images into which the global batch is cut, at most one per image. A rank computes "
        + "whole shards, so it is also the largest number of ranks. A batch that does not divide "
        + "gives the first shards one image more. Powers of two keep the bits for any number of "
        + "ranks that is one."),
    .integer(
      "training.epochs", \.training.epochs, 1...100_000, unit: "epochs",
      otherNames: ["max_epochs", "num_epochs"],
      atResume: .free("extends or shortens the run; the schedule follows"),
      "Passes over the training images, and the horizon of the learning-rate schedule."),
    .integer(
      "training.max_steps", \.training.maxSteps, 0...1_000_000_000, unit: "steps",
      otherNames: ["steps", "iterations"],
      atResume: .free("cuts the run short without touching the schedule"),
      "End after this many steps whatever `epochs` says; 0: no limit. The schedule stays that of "
        + "`epochs`, so that a run cut short and later extended is the run that was never cut."),
    ConfigurationKey(
      "training.seed", .seed, otherNames: ["random_seed"], atResume: .fixed,
      "Seed of initial values, shuffling and augmentation.",
      decode: { (config, value) throws(ConfigurationError) in
        config.training.seed = try value.seed()
      },
      encode: { .unsigned($0.training.seed) }),
    .choice(
      "training.batch_norm", \.training.batchNorm, atResume: .fixed,
      "Statistics of BatchNorm: `sync` over the whole global batch, `local` over each shard."),
    .number(
      "training.label_smoothing", \.training.labelSmoothing, .from(0, below: 1), atResume: .fixed,
      "Share of the target spread evenly over all classes (Szegedy et al., CVPR 2016)."),
    .number(
      "training.mixup_alpha", \.training.mixupAlpha, .from(0, through: 100),
      otherNames: ["mixup"], atResume: .fixed,
      "Mix every image and label with another of its shard, in shares drawn from Beta(α, α) for each "
        + "shard and step (Zhang et al., ICLR 2018); 0: off."),
    .number(
      "training.cutmix_alpha", \.training.cutmixAlpha, .from(0, through: 100),
      otherNames: ["cutmix"], atResume: .fixed,
      "Paste a rectangle of another image of the shard, likewise (Yun et al., ICCV 2019); 0: off. With "
        + "mixup too, each is taken with probability one half."),
    .number(
      "training.average_decay", \.training.averageDecay, .from(0, below: 1),
      otherNames: ["ema", "ema_decay", "model_ema"], atResume: .fixed,
      "Keep an exponential moving average of the weights, of which each step keeps this share (Polyak "
        + "and Juditsky, 1992); evaluation and artifacts then are the average's; 0: off."),
    .boolean(
      "training.shuffle", \.training.shuffle, atResume: .fixed,
      "Draw a new order of the training images every epoch."),
  ]

  static let optimizer: [ConfigurationKey] = [
    .number(
      "optimizer.momentum", \.optimizer.momentum, .from(0, below: 1), atResume: .fixed,
      "Momentum of SGD."),
    .boolean(
      "optimizer.nesterov", \.optimizer.nesterov, atResume: .fixed,
      "Nesterov's form of momentum; needs a momentum above 0."),
    .number(
      "optimizer.weight_decay", \.optimizer.weightDecay, .from(0, through: 1), otherNames: ["wd"],
      atResume: .fixed,
      "L2 penalty on convolution and linear weights and on the identity branch's BatchNorm scale, "
        + "as in the published code; on no bias and no other scale."),
  ]

  static let schedule: [ConfigurationKey] = [
    .choice(
      "schedule.kind", \.schedule.kind, atResume: .fixed,
      "Course of the learning rate after the warm-up, set anew every step."),
    .number(
      "schedule.learning_rate", \.schedule.learningRate, .above(0, through: 1000),
      otherNames: ["lr", "base_lr"], atResume: .fixed, "Learning rate after the warm-up."),
    .number(
      "schedule.final_learning_rate", \.schedule.finalLearningRate, .from(0, through: 1000),
      otherNames: ["min_lr", "final_lr", "eta_min"], atResume: .fixed,
      "`cosine` and `poly`: learning rate at the end."),
    .number(
      "schedule.warmup_epochs", \.schedule.warmupEpochs, .from(0, through: 100_000),
      unit: "epochs", otherNames: ["warmup"], atResume: .fixed,
      "Length of the linear warm-up; fractions are allowed; 0: none."),
    .number(
      "schedule.warmup_start", \.schedule.warmupStart, .from(0, through: 1), atResume: .fixed,
      "Share of the learning rate with which the warm-up begins; at 0 the first step's gradient goes into "
        + "the momentum alone."),
    .numbers(
      "schedule.milestones", \.schedule.milestones, each: .above(0, through: 100_000),
      count: 0...1000, unit: "epochs", atResume: .fixed,
      "`step`: epochs, ascending, after which the rate is multiplied by `gamma`."),
    .number(
      "schedule.gamma", \.schedule.gamma, .above(0, through: 1), atResume: .fixed,
      "`step`: the factor."),
    .number(
      "schedule.power", \.schedule.power, .above(0, through: 100), atResume: .fixed,
      "`poly`: exponent of (1 − progress)."),
  ]

  static let housekeeping: [ConfigurationKey] = [
    .integer(
      "evaluation.every_epochs", \.evaluation.everyEpochs, 0...100_000, unit: "epochs",
      atResume: .free("looks at the weights, does not change them"),
      "Evaluate after every n epochs, and always at the end; 0: only at the end."),
    .integer(
      "checkpoint.every_steps", \.checkpoint.everySteps, 0...1_000_000_000, unit: "steps",
      otherNames: ["save_every", "save_steps"], atResume: .free("does not change the weights"),
      "Save after every n steps; 0: not by steps."),
    .number(
      "checkpoint.every_minutes", \.checkpoint.everyMinutes, .from(0, through: 100_000),
      unit: "minutes", atResume: .free("does not change the weights"),
      "Save when so much time has passed since the last save; 0: not by time."),
    .integer(
      "checkpoint.keep", \.checkpoint.keep, 1...10_000, unit: "checkpoints",
      otherNames: ["keep_last"], atResume: .free("does not change the weights"),
      "Newest checkpoints kept, beside the best one."),
    .number(
      "checkpoint.patience_seconds", \.checkpoint.patienceSeconds, .from(0, through: 86_400),
      unit: "seconds", atResume: .free("does not change the weights"),
      "A save that is due while the last one is still being written waits for so long beyond a "
        + "hundredth of the time since then; then training goes on, and it comes when the disk is "
        + "ready."),
    .integer(
      "communication.bucket_bytes", \.communication.bucketBytes, 0...1_073_741_824,
      unit: "bytes",
      atResume: .free("sums are the same however they are cut, where bits are proved"),
      "Gradients are reduced in messages of about this size, smaller ones towards the end of the "
        + "backward pass; below 65,536 Open MPI takes a slow schedule. 0: a size found by measurement "
        + "when the job starts."),
    .choice(
      "communication.reduction", \.communication.reduction,
      atResume: .free("both add in the same order, where bits are proved"),
      "Who cuts and routes sums of gradients and statistics: `halving`, nearest ranks first, so that a "
        + "host's own are summed before anything is sent; `library`, as the MPI library does."),
    .boolean(
      "communication.strict_bits", \.communication.strictBits,
      atResume: .free("does not change the weights"),
      "Refuse to train when the probe at the start does not prove bit invariance."),
    .boolean(
      "communication.check_order", \.communication.checkOrder,
      atResume: .free("does not change the weights"),
      "Compare kind and size of every message over the ranks before it is sent. Slow: for looking for "
        + "faults."),
    .number(
      "watchdog.warn_seconds", \.watchdog.warnSeconds, .from(0, through: 1_000_000),
      unit: "seconds", atResume: .free("does not change the weights"),
      "A rank that has made no progress for so long is named, with what it was doing; 0: none is."),
    .number(
      "watchdog.abort_seconds", \.watchdog.abortSeconds, .from(0, through: 1_000_000),
      unit: "seconds", atResume: .free("does not change the weights"),
      "Where no rank of a host has made progress for so long, the job ends (exit 70); 0: it waits."),
    .number(
      "watchdog.straggler_factor", \.watchdog.stragglerFactor, .from(0, through: 1_000),
      atResume: .free("does not change the weights"),
      "Ranks whose own work in a step takes so many times the median are named in the metrics; 0: "
        + "none are."),
    .choice(
      "numerics.policy", \.numerics.policy, atResume: .free("decides what follows a bad step"),
      "A step that is not finite is never applied. `stop` ends the run (exit 76); `rollback` keeps the "
        + "state of before, skips the batch, and names its samples in the log."),
    .integer(
      "numerics.limit", \.numerics.limit, 1...1_000_000, unit: "steps",
      atResume: .free("decides when to give up"),
      "With `rollback`: so many bad steps in a row end the run (exit 76)."),
    .number(
      "numerics.spike", \.numerics.spike, .from(0, through: 1_000_000),
      atResume: .fixed,
      "A step whose loss is above so many times the mean of the last 50 or so accepted ones is bad too; "
        + "0: none is. It takes effect after 10 steps."),
    .number(
      "fuse.block_tolerance", \.fuse.blockTolerance, .above(0, through: 1),
      atResume: .free("judges the weights, does not change them"),
      "Largest allowed relative L2 difference of a fused block from its Float64 fuse."),
    .number(
      "fuse.logit_tolerance", \.fuse.logitTolerance, .above(0, through: 1),
      atResume: .free("judges the weights, does not change them"),
      "Largest allowed logit difference of both forms, relative to the largest logit."),
    .number(
      "fuse.minimum_agreement", \.fuse.minimumAgreement, .from(0, through: 1),
      atResume: .free("judges the weights, does not change them"),
      "Smallest allowed share of test images on which both forms name the same class."),
    ConfigurationKey(
      "artifacts.licence", .text, default: "not stated", otherNames: ["license"],
      atResume: .free("stands on the model card alone"),
      "Licence of the trained weights, for the model card, such as `CC-BY-4.0`.",
      decode: { (config, value) throws(ConfigurationError) in
        config.artifacts.licence = try value.text()
      },
      encode: { .string($0.artifacts.licence) }),
  ]
}
