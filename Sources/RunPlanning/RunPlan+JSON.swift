extension RunPlan {
  /// The plan for programs and for the record (`plan.json`): one JSON object, the same bytes for the
  /// same plan.
  ///
  /// - Parameter placement: of ranks on hosts, for a plan of such.
  package func json(placement: Placement? = nil) -> String {
    let placed: [(String, JSONText)] =
      placement.map { [("placement", .array($0.lines.map { .string($0) }))] } ?? []
    return JSONText.object(
      [
        // By which a run's directory is recognised.
        ("program", .string("repvgg")),
        ("name", .string(config.name)),
        ("architecture", .string(config.model.architecture.name)),
        ("input", input),
        ("parameters", pair(trainingTable.parameterCount, deployTable.parameterCount)),
        ("macs", pair(macsTraining, macsDeploy)),
        ("winograd_multiplications", .integer(winogradMultiplications)),
        ("stages", .array(stages.map(Self.json))),
        ("phases", .array(phases.map(json))),
        ("world", world),
        ("bit_invariant", invariance),
        ("data", dataJSON),
        ("steps", steps),
        ("memory_bytes", memoryJSON),
        ("inference_activation_bytes", inferenceJSON),
        ("buckets", .array(buckets.map { .integer($0.count) })),
        ("messages", .array(messages.map(Self.json))),
        ("paths", pathsJSON),
        ("kernels", kernels.json),
        ("machine", machineJSON),
        ("notes", .array(notes.map { .string($0) })),
        ("configuration", config.json),
      ] + placed
    ).pretty() + "\n"
  }

  private func pair(_ training: Int, _ deploy: Int) -> JSONText {
    .object([("training", .integer(training)), ("deploy", .integer(deploy))])
  }

  private var input: JSONText {
    .object([
      ("channels", .integer(inputChannels)), ("height", .integer(height)),
      ("width", .integer(width)), ("classes", .integer(classes)),
    ])
  }

  private static func json(_ stage: Stage) -> JSONText {
    .object([
      ("name", .string(stage.name)), ("blocks", .integer(stage.blocks)),
      ("channels", .integer(stage.channels)), ("height", .integer(stage.height)),
      ("width", .integer(stage.width)), ("groups", .string(stage.groups)),
      ("path", stage.path.isEmpty ? .null : .string(stage.path)),
      ("parameters_training", .integer(stage.trainingParameters)),
      ("parameters_deploy", .integer(stage.deployParameters)),
      ("macs_training", .integer(stage.trainingMACs)),
      ("macs_deploy", .integer(stage.deployMACs)),
    ])
  }

  private func json(_ phase: Phase) -> JSONText {
    .object([
      ("first_epoch", .integer(phase.epochs.lowerBound)), ("epochs", .integer(phase.epochs.count)),
      ("height", .integer(phase.height)), ("width", .integer(phase.width)),
      ("steps", .integer(steps(of: phase).count)), ("macs_training", .integer(phase.macsTraining)),
    ])
  }

  private var world: JSONText {
    .object([
      ("ranks", .integer(worldSize)), ("threads", .integer(threads)),
      ("global_batch", .integer(globalBatch)), ("shards", .integer(shards)),
      ("shards_per_rank", .array(ranksShards.map { .integer($0.count) })),
      ("largest_shard", .integer(maximumShardSize)), ("seed", .unsigned(seed)),
    ])
  }

  private var invariance: JSONText {
    switch bitInvariance {
    case .expected: .object([("expected", .boolean(true))])
    case .no(let reason): .object([("expected", .boolean(false)), ("reason", .string(reason))])
    }
  }

  private var dataJSON: JSONText {
    .object([
      ("train_count", .integer(data.trainCount)), ("test_count", .integer(data.testCount)),
      ("classes", .integer(data.classes)), ("channels", .integer(data.channels)),
      ("height", .integer(data.height)), ("width", .integer(data.width)),
      ("fingerprint", .string(data.fingerprint)), ("assumed", .boolean(data.isAssumed)),
    ])
  }

  private var steps: JSONText {
    .object([
      ("per_epoch", .integer(stepsPerEpoch)), ("schedule", .integer(scheduleSteps)),
      ("total", .integer(totalSteps)), ("learning_rate", .string(scheduleText)),
    ])
  }

  private var memoryJSON: JSONText {
    .object(
      memory.items.map { ($0.name, .integer($0.bytes)) } + [
        ("total", .integer(memory.total)), ("all_ranks", .integer(memoryOfAllRanks)),
      ])
  }

  private var inferenceJSON: JSONText {
    let memory = InferenceMemory(blocks)
    return .object([
      ("deploy", .integer(memory.plain)), ("deploy_block", .string(memory.plainBlock)),
      ("with_branches", .integer(memory.branched)),
      ("with_branches_block", .string(memory.branchedBlock)),
    ])
  }

  private static func json(_ message: Message) -> JSONText {
    .object([
      ("purpose", .string(message.purpose.rawValue)), ("subject", .string(message.subject)),
      ("count", .integer(message.count)),
      ("element_type", .string(message.elementType.rawValue)),
      ("blocking", .boolean(message.isBlocking)), ("bytes", .integer(message.bytes)),
    ])
  }

  private var pathsJSON: JSONText {
    .object([
      ("run_directory", .string(paths.runDirectory)),
      ("configuration", .string(paths.configuration)), ("plan", .string(paths.plan)),
      ("metrics", .string(paths.metrics)), ("log", .string(paths.log)),
      ("checkpoints", .string(paths.checkpoints)), ("artifacts", .string(paths.artifacts)),
      ("training_weights", .string(paths.trainingWeights)),
      ("deploy_weights", .string(paths.deployWeights)),
      ("certificate", .string(paths.certificate)),
    ])
  }

  private var machineJSON: JSONText {
    .object([
      ("cpu", .string(machine.cpu)), ("cores", .integer(machine.cores)),
      ("physical_memory_bytes", .integer(machine.physicalMemoryBytes)),
      ("blas_kernel", .string(machine.blasKernel)),
      (
        "blas_environment",
        .object(
          machine.blasEnvironment.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
      ),
      ("mpi_version", .string(machine.mpiVersion)),
      ("program_version", .string(machine.programVersion)),
      ("local_ranks", .integer(machine.localRanks)),
    ])
  }
}
