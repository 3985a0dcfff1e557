import Collectives
import RepVGGModel
import Training

// Beginning a run, and taking one up.

extension Worker {
  /// Initial values from the seed, and in their place those of a file where rank 0 has read one:
  /// `resume`, which comes next, gives every rank those of rank 0.
  package func initialise(from weights: InitialWeights? = nil) throws {
    try network.initialise(seed: plan.seed)
    if let weights {
      var tensors = network.tensors()
      for (name, tensor) in weights.tensors { tensors[name] = tensor }
      try network.load(tensors)
    }
    average?.begin()
  }

  /// Takes up `snapshot`, which rank 0 has read and checked; the others get it from there. Without
  /// one they get what rank 0 was initialised with.
  package func resume(_ snapshot: RunSnapshot?) throws {
    try Agreement.all(communicator) {
      guard let snapshot else { return }
      if let average, let tensors = snapshot.average {
        try network.load(tensors)
        average.begin()
      }
      try network.load(snapshot.model)
      try network.setTrainable(snapshot.optimizer, in: optimizer.momentum)
      stepsDone = snapshot.state.step
      best = snapshot.state.best
      lossRecord = snapshot.state.lossRecord
      owesEvaluation = snapshot.state.owesEvaluation
      origin = snapshot.state.origin
    }
    try communicator.broadcast(UnsafeMutableRawBufferPointer(network.parameters.all), from: 0)
    try communicator.broadcast(UnsafeMutableRawBufferPointer(optimizer.momentum.all), from: 0)
    try communicator.broadcast(
      UnsafeMutableRawBufferPointer(network.runningStatistics), from: 0)
    for bytes in average?.bytes ?? [] { try communicator.broadcast(bytes, from: 0) }
    try broadcastCounters()
    optimizer.forgetBounds()
  }

  /// Counters and records that ranks have alike.
  var counterWords: [UInt64] {
    [UInt64(stepsDone), UInt64(bitPattern: Int64(best?.step ?? -1)), (best?.top1 ?? 0).bitPattern]
      + lossRecord.words
      + network.batchCounts.sorted { $0.key < $1.key }.map { UInt64(bitPattern: $0.value) }
  }

  private func broadcastCounters() throws {
    let names = network.batchCounts.keys.sorted()
    var numbers = [
      Int64(stepsDone), Int64(best?.step ?? -1), Int64(bitPattern: (best?.top1 ?? 0).bitPattern),
    ]
    numbers += lossRecord.words.map(Int64.init(bitPattern:)) + [owesEvaluation ? 1 : 0]
    let counted = numbers.count
    numbers += names.map { network.batchCounts[$0] ?? 0 }
    try numbers.withUnsafeMutableBytes { try communicator.broadcast($0, from: 0) }
    stepsDone = Int(numbers[0])
    best =
      numbers[1] < 0
      ? nil
      : RunState.Best(
        step: Int(numbers[1]), top1: Double(bitPattern: UInt64(bitPattern: numbers[2])))
    owesEvaluation = numbers[counted - 1] != 0
    lossRecord = LossRecord(words: numbers[3..<counted - 1].map(UInt64.init(bitPattern:)))
    for (name, count) in zip(names, numbers[counted...]) {
      network.setBatchCount(count, of: name)
    }
  }
}
