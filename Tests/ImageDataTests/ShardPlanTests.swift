import ImageData
import Testing

@Suite struct ShardPlanTests {
  private static let sizes = [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100]

  @Test(arguments: sizes) func everySampleOnceAnEpoch(sampleCount: Int) {
    for shards in 1...9 {
      for shuffle in [false, true] {
        let plan = ShardPlan(
          sampleCount: sampleCount, globalBatch: 32, shards: shards, seed: 5, shuffle: shuffle)
        #expect(plan.stepsPerEpoch == (sampleCount + 31) / 32)
        let order = plan.order(epoch: 3)
        var seen: [Int] = []
        for step in 0..<plan.stepsPerEpoch {
          let cut = (0..<shards).map { order.samples(step: step, shard: $0) }
          let counts = cut.map(\.count)
          #expect(cut == plan.samples(epoch: 3, step: step))
          #expect(counts.reduce(0, +) == plan.batchCount(step: step))
          // The first shards get the remainder, one each.
          #expect(counts == counts.sorted(by: >) && (counts.first ?? 0) - (counts.last ?? 0) <= 1)
          #expect((0..<shards).allSatisfy { counts[$0] <= plan.largestCount(shard: $0) })
          seen += cut.joined()
        }
        #expect(shuffle || seen == Array(0..<sampleCount))
        #expect(seen.sorted() == Array(0..<sampleCount))
      }
    }
  }

  @Test func lastStepOfFashionMNIST() {
    // 60,000 = 234 · 256 + 96
    let plan = ShardPlan(sampleCount: 60_000, globalBatch: 256, shards: 8, seed: 1, shuffle: true)
    #expect(plan.stepsPerEpoch == 235)
    #expect(
      (0..<8).map { plan.positions(step: 233, shard: $0).count } == Array(repeating: 32, count: 8))
    #expect(
      (0..<8).map { plan.positions(step: 234, shard: $0).count } == Array(repeating: 12, count: 8))
    // 5 samples left for 8 shards: some are empty.
    let uneven = ShardPlan(sampleCount: 37, globalBatch: 32, shards: 8, seed: 1, shuffle: true)
    #expect((0..<8).map { uneven.positions(step: 1, shard: $0).count } == [1, 1, 1, 1, 1, 0, 0, 0])
  }

  @Test func orderIsAFunctionOfSeedAndEpoch() {
    func order(seed: UInt64, epoch: Int, shards: Int = 8, batch: Int = 32) -> [Int] {
      let plan = ShardPlan(
        sampleCount: 200, globalBatch: batch, shards: shards, seed: seed, shuffle: true)
      return (0..<plan.stepsPerEpoch).flatMap { plan.samples(epoch: epoch, step: $0).joined() }
    }
    let one = order(seed: 1, epoch: 0)
    #expect(one == order(seed: 1, epoch: 0))
    // Neither batch nor shards move a sample in the epoch's order.
    #expect(one == order(seed: 1, epoch: 0, shards: 3, batch: 50))
    #expect(one != order(seed: 1, epoch: 1))
    #expect(one != order(seed: 2, epoch: 0))
  }

  @Test func shuffleIsUniform() {
    // Where sample 0 of 5 lands in 5,000 epochs: 1,000 each, standard deviation 28.
    var counts = [Int](repeating: 0, count: 5)
    let plan = ShardPlan(sampleCount: 5, globalBatch: 5, shards: 1, seed: 9, shuffle: true)
    for epoch in 0..<5000 {
      let order = plan.order(epoch: epoch).samples(step: 0, shard: 0)
      counts[order.firstIndex(of: 0) ?? 0] += 1
    }
    #expect(counts.allSatisfy { abs($0 - 1000) < 150 }, "\(counts)")
  }

  /// Computed by another program from the papers' definitions of Philox, Lemire's interval and the
  /// shuffle: changing the order silently would break every resume.
  @Test func orderIsPinned() {
    let plan = ShardPlan(sampleCount: 12, globalBatch: 12, shards: 1, seed: 1, shuffle: true)
    let order = plan.order(epoch: 0).samples(step: 0, shard: 0)
    #expect(order == [2, 9, 3, 5, 7, 10, 11, 4, 8, 6, 0, 1])
  }

  @Test func evaluationCoversEverySampleOnce() {
    for ranks in 1...9 {
      for sampleCount in 0...40 {
        let plan = EvaluationPlan(sampleCount: sampleCount, chunk: 4, ranks: ranks)
        let chunks = (0..<ranks).flatMap { Array(plan.chunks(rank: $0)) }
        #expect(chunks == Array(0..<plan.chunkCount))
        let samples = chunks.flatMap { Array(plan.samples(chunk: $0)) }
        #expect(samples == Array(0..<sampleCount), "\(sampleCount) samples on \(ranks) ranks")
      }
    }
  }

  @Test func chunksDoNotDependOnRanks() {
    let plans = (1...8).map { EvaluationPlan(sampleCount: 10_000, chunk: 64, ranks: $0) }
    for plan in plans {
      #expect(plan.chunkCount == 157)
      #expect(plan.samples(chunk: 156) == 9984..<10_000)
    }
  }
}
