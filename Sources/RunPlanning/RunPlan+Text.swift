extension RunPlan {
  /// Where the ranks of a plan go.
  package struct Place: Sendable {
    package var placement: Placement
    /// For `mpirun --host`.
    package var hosts: String
    /// Interfaces of this host, and which of them MPI is told to take.
    package var network: String
    /// Interfaces or networks that mpirun is given; nil: none.
    package var interface: String?
    /// As `MPICommand.settings`.
    package var settings: Set<String>

    package init(
      placement: Placement, hosts: String, network: String, interface: String? = nil,
      settings: Set<String> = []
    ) {
      self.settings = settings
      self.placement = placement
      self.hosts = hosts
      self.network = network
      self.interface = interface
    }

    /// Of one host.
    var mostRanks: Int {
      placement.hosts.indices.map { host in placement.seats.count { $0.host == host } }.max() ?? 1
    }
  }

  /// The plan for people. `configuration` and `overrides` are what the command line named; they
  /// come back in the mpirun command at the end, `program` as the program that it starts.
  /// `gigaflopsPerCore`, where it is known, gives the run's time; `place`, where the ranks go.
  package func text(
    configuration: String = "CONFIG", overrides: [String] = [], program: String = "repvgg",
    gigaflopsPerCore: Double? = nil, place: Place? = nil
  ) -> String {
    var lines = [
      "\(config.name): \(config.model.architecture.name), \(Quantity.grouped(classes)) classes, "
        + "images of \(height) x \(width) x \(inputChannels)",
      "",
    ]
    lines += stageLines + [""]
    if hasPhases { lines += phaseLines + [""] }
    var facts = factRows
    if let gigaflopsPerCore, gigaflopsPerCore > 0 {
      facts.append(["time", timeText(gigaflopsPerCore: gigaflopsPerCore)])
    }
    lines += Self.aligned(facts, rightAligned: [])
    lines += ["", "memory per rank"]
    lines += Self.aligned(memoryRows, rightAligned: [1]).map { "  " + $0 }
    let together = place?.mostRanks ?? worldSize
    if together > 1 { lines.append(sharedMemoryText(ranks: together)) }
    lines += ["", "messages per step"]
    lines += Self.aligned(messageRows, rightAligned: [1, 2]).map { "  " + $0 }
    if let place {
      lines += ["", "placement"] + place.placement.lines.map { "  " + $0 }
      lines.append("  network: " + place.network)
    }
    if !notes.isEmpty { lines += ["", "notes"] + notes.map { "  " + $0 } }
    lines += [
      "", "command",
      "  "
        + command(
          configuration: configuration, overrides: overrides, program: program, place: place),
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  /// The mpirun command that trains this plan.
  package func command(
    configuration: String = "CONFIG", overrides: [String] = [], program: String = "repvgg",
    place: Place? = nil
  ) -> String {
    let isCrowded = (place?.mostRanks ?? worldSize) * threads > machine.cores
    var words = MPICommand(
      ranks: worldSize, hosts: place?.hosts, interface: place?.interface,
      settings: place?.settings ?? [], isCrowded: isCrowded
    ).words
    words += [program, "train", configuration]
    if place?.placement.isBound == true { words += ["--bind", "auto"] }
    words += ["--threads", String(threads)]
    for override in overrides { words += ["--set", override] }
    return words.map(Self.shellQuoted).joined(separator: " ")
  }

  private var stageLines: [String] {
    var rows = [
      [
        "stage", "blocks", "output", "groups", "3x3 path", "parameters", "deploy form",
        "MACs an image", "deploy form",
      ]
    ]
    rows += stages.map { stage in
      [
        stage.name, String(stage.blocks),
        "\(stage.channels) x \(stage.height) x \(stage.width)", stage.groups, stage.path,
        Quantity.grouped(stage.trainingParameters), Quantity.grouped(stage.deployParameters),
        Quantity.macs(stage.trainingMACs), Quantity.macs(stage.deployMACs),
      ]
    }
    rows.append([
      "total", String(blocks.count), "", "", "",
      Quantity.grouped(trainingTable.parameterCount), Quantity.grouped(deployTable.parameterCount),
      Quantity.macs(macsTraining), Quantity.macs(macsDeploy),
    ])
    return Self.aligned(rows, rightAligned: [1, 2, 3, 5, 6, 7, 8])
  }

  /// The sizes of the images, in their order.
  private var phaseLines: [String] {
    let work = phases.map { Double(steps(of: $0).count) * Double($0.macsTraining) }
    let whole = max(1, work.reduce(0, +))
    var rows = [["trained on", "first epoch", "epochs", "steps", "MACs an image", "of the work"]]
    rows += zip(phases, work).map { phase, work in
      [
        "\(phase.height) x \(phase.width)", Quantity.grouped(phase.epochs.lowerBound),
        Quantity.grouped(phase.epochs.count), Quantity.grouped(steps(of: phase).count),
        Quantity.macs(phase.macsTraining), Quantity.decimal(100 * work / whole, places: 1) + " %",
      ]
    }
    return Self.aligned(rows, rightAligned: [1, 2, 3, 4, 5])
  }

  private var factRows: [[String]] {
    let last = data.trainCount % globalBatch
    var rows = [
      ["batch", batchText],
      [
        "data",
        "\(Quantity.grouped(data.trainCount)) training and \(Quantity.grouped(data.testCount)) "
          + "test images",
      ],
      [
        "steps",
        "\(Quantity.grouped(totalSteps)): \(Quantity.grouped(config.training.epochs)) epochs of "
          + Quantity.grouped(stepsPerEpoch)
          + (last == 0 ? "" : ", the last of an epoch with \(last) images")
          + (totalSteps < scheduleSteps ? ", ended by training.max_steps" : ""),
      ],
      ["learning rate", scheduleText],
      ["batch norm", batchNormText],
    ]
    if let path = config.model.initializeFrom { rows.append(["initial weights", path]) }
    switch bitInvariance {
    case .expected:
      rows.append([
        "bit_invariant", "expected: the same weights for 1, 2, 4, … up to \(shards) ranks",
      ])
    case .no(let reason): rows.append(["bit_invariant", "no: \(reason)"])
    }
    let inference = InferenceMemory(blocks)
    rows += [
      [
        "inference",
        "\(Quantity.bytes(inference.plain)) of activations an image at most in the deploy form, "
          + "\(Quantity.bytes(inference.branched)) with the branches",
      ],
      ["BLAS", machine.blasKernel.isEmpty ? "unknown" : machine.blasKernel],
      ["output", paths.runDirectory],
    ]
    return rows
  }

  private var batchText: String {
    let (small, large) = (globalBatch / shards, maximumShardSize)
    var text = "\(globalBatch) images = \(shards) shards of \(small)"
    if small != large {
      text += " or \(large) (\(globalBatch) does not divide by \(shards): the first "
      text += "\(globalBatch % shards) have one more)"
    }
    let counts = ranksShards.map(\.count)
    text += "; \(worldSize) \(worldSize == 1 ? "rank" : "ranks")"
    if Set(counts).count == 1 {
      text += " of \(counts[0]) \(counts[0] == 1 ? "shard" : "shards")"
    } else {
      text += " of \(counts.map(String.init).joined(separator: " + ")) shards"
    }
    return text + ", \(threads) \(threads == 1 ? "thread" : "threads") each"
  }

  private func timeText(gigaflopsPerCore: Double) -> String {
    let time = estimate(gigaflopsPerCore: gigaflopsPerCore)
    return "about \(Quantity.duration(time.secondsTotal)), "
      + "\(Quantity.duration(time.secondsPerStep)) a step, at "
      + "\(Quantity.plain(gigaflopsPerCore)) GFLOP/s a core"
  }

  private var batchNormText: String {
    switch config.training.batchNorm {
    case .sync: "sync: statistics of the whole global batch"
    case .local: "local: statistics of each shard"
    }
  }

  /// The course of the learning rate in words.
  package var scheduleText: String {
    let schedule = config.schedule
    let (rate, end) = (
      Quantity.plain(schedule.learningRate), Quantity.plain(schedule.finalLearningRate)
    )
    var text =
      switch schedule.kind {
      case .constant: "\(rate) throughout"
      case .cosine: "cosine from \(rate) to \(end)"
      case .poly: "from \(rate) to \(end) by (1 - progress)^\(Quantity.plain(schedule.power))"
      case .step:
        "\(rate), times \(Quantity.plain(schedule.gamma)) after epochs "
          + schedule.milestones.map(Quantity.plain).joined(separator: ", ")
      }
    text += ", over \(Quantity.grouped(scheduleSteps)) steps"
    if schedule.warmupEpochs > 0 {
      text += ", of which linear warm-up from "
      text += Quantity.plain(schedule.learningRate * schedule.warmupStart)
      text += " over \(Quantity.plain(schedule.warmupEpochs)) epochs"
    }
    return text
  }

  private var memoryRows: [[String]] {
    memory.items.filter { $0.bytes > 0 }.map {
      [$0.name.split(separator: "_").joined(separator: " "), Quantity.bytes($0.bytes)]
    } + [["total", Quantity.bytes(memory.total)]]
  }

  /// Ranks of one host share its memory: all of them, where the plan does not know the hosts.
  private func sharedMemoryText(ranks: Int) -> String {
    let memoryOfAllRanks = memory.total(ranks: ranks)
    var text = "memory of \(ranks) ranks on one host: \(Quantity.bytes(memoryOfAllRanks))"
    let available = machine.physicalMemoryBytes
    if available > 0 && memoryOfAllRanks > available {
      // What one rank needs fits, or there were no plan; rank 0's saves are one host's alone.
      let others = max(memory.total - memory.saving, 1)
      let ranksPerHost = max(1, (available - memory.saving) / others)
      text += ", and this one has \(Quantity.bytes(available)): start at most \(ranksPerHost) "
      text += ranksPerHost == 1 ? "rank on one like it" : "ranks on one like it"
    }
    return text
  }

  private var messageRows: [[String]] {
    traffic.map {
      [
        $0.purpose.rawValue, String($0.messages), Quantity.bytes($0.bytes),
        $0.elementType.rawValue, $0.isBlocking ? "blocking" : "overlapped",
      ]
    } + [["total", String(messages.count), Quantity.bytes(messages.reduce(0) { $0 + $1.bytes })]]
  }

  /// Columns two spaces apart, without spaces at the ends of lines.
  private static func aligned(_ rows: [[String]], rightAligned: Set<Int>) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return rightAligned.contains(column) ? padding + cell : cell + padding
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  /// As a word that a POSIX shell reads back unchanged.
  private static func shellQuoted(_ word: String) -> String {
    let isPlain = word.allSatisfy { character in
      character.isASCII
        && (character.isLetter || character.isNumber || "-_./=,:+@%".contains(character))
    }
    if isPlain, !word.isEmpty { return word }
    return "'"
      + word.split(separator: "'", omittingEmptySubsequences: false)
      .joined(separator: "'\\''") + "'"
  }
}
