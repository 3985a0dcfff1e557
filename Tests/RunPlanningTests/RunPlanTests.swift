import Foundation
import Testing

@testable import RunPlanning

struct RunPlanTests {
  @Test(arguments: [(1, [8]), (2, [4, 4]), (3, [3, 3, 2]), (5, [2, 2, 2, 1, 1]), (8, [])])
  func shardsAreCutWhole(_ ranks: Int, _ expected: [Int]) throws {
    let plan = try Sample.plan(Sample.small, ranks: ranks)
    let counts = plan.ranksShards.map(\.count)
    #expect(counts == (ranks == 8 ? [1, 1, 1, 1, 1, 1, 1, 1] : expected))
    #expect(plan.ranksShards.flatMap { Array($0) } == Array(0..<8))
  }

  @Test func stepsAndShards() throws {
    let plan = try Sample.plan(
      Sample.small, set: ["training.global_batch=250", "training.max_steps=100"], ranks: 3)
    #expect(plan.stepsPerEpoch == 240)
    #expect(plan.scheduleSteps == 480)
    #expect(plan.totalSteps == 100)
    #expect(plan.maximumShardSize == 32)
    #expect(plan.bitInvariance == .no(reason: "3 ranks are not a power of two"))
    let odd = try Sample.plan(Sample.small, set: ["training.shards=6"], ranks: 2)
    #expect(odd.bitInvariance == .no(reason: "6 shards are not a power of two"))
    let longer = try Sample.plan(Sample.small, set: ["training.max_steps=999999"])
    #expect(longer.totalSteps == longer.scheduleSteps)
    #expect(longer.bitInvariance.isExpected)
  }

  @Test func messagesOfAStep() throws {
    let plan = try Sample.plan(Sample.small, ranks: 4)
    func count(_ purpose: RunPlan.Message.Purpose) -> [Int] {
      plan.messages.filter { $0.purpose == purpose }.map(\.count)
    }
    // Widths 8 8 8 16 16; identity on the second block of both stages, and on the first of stage 1
    // not, as its stride is 2.
    #expect(plan.blocks.map(\.hasIdentity) == [false, false, true, false, true])
    #expect(count(.forwardStatistics) == [33, 33, 49, 65, 97])
    #expect(count(.backwardStatistics) == [64, 48, 32, 24, 24])
    #expect(count(.gradients).reduce(0, +) == plan.layout.weightCount)
    #expect(count(.stepSummary) == [8 + 4])
    #expect(plan.messages.filter { !$0.isBlocking }.allSatisfy { $0.purpose == .gradients })

    let local = try Sample.plan(Sample.small, set: ["training.batch_norm=local"], ranks: 4)
    #expect(!local.messages.contains { $0.purpose == .forwardStatistics })
    let gradients = local.messages.filter { $0.purpose == .gradients }.map(\.count)
    #expect(gradients.reduce(0, +) == local.layout.count)
    #expect(gradients.count == local.buckets.count + 1)
  }

  @Test(arguments: ["RepVGG-A0", "RepVGG-B1g4", "RepVGG-D2se"])
  func layoutHoldsEveryTensorOnce(_ name: String) throws {
    let plan = try Sample.plan("model: {architecture: \(name), classes: 1000}", data: nil)
    let layout = plan.layout
    let trainable = plan.trainingTable.entries.filter(\.kind.isTrainable).map(\.name)
    #expect(Set(layout.places.map(\.entry.name)) == Set(trainable))
    #expect(layout.places.count == trainable.count)
    var end = 0
    for place in layout.places {
      #expect(place.offset == end)
      #expect(place.offset % ArenaLayout.alignment == 0)
      let padded = place.entry.count + ArenaLayout.alignment - 1
      end = place.offset + padded / ArenaLayout.alignment * ArenaLayout.alignment
      let isNorm = place.entry.kind == .batchNormScale || place.entry.kind == .batchNormShift
      #expect(isNorm == (place.offset >= layout.weightCount))
    }
    #expect(end == layout.count)
  }

  @Test(arguments: [1024, 65_536, 4_194_304, 1 << 30])
  func bucketsCoverTheWeights(_ bytes: Int) throws {
    let plan = try Sample.plan(
      "model: {architecture: RepVGG-A0}", set: ["communication.bucket_bytes=\(bytes)"], data: nil)
    #expect(plan.buckets.first?.lowerBound == 0)
    #expect(plan.buckets.last?.upperBound == plan.layout.weightCount)
    for (bucket, next) in zip(plan.buckets, plan.buckets.dropFirst()) {
      #expect(bucket.upperBound == next.lowerBound)
      let rest = plan.layout.weightCount - bucket.upperBound
      #expect(bucket.count * 4 >= min(bytes, max(rest * 4, 131_072)))
    }
    // What leaves when the backward pass is over, and is hidden by nothing.
    #expect(try #require(plan.buckets.last).count * 4 <= 131_072)
    let ends = Set(plan.layout.places.map(\.offset) + [plan.layout.weightCount])
    #expect(plan.buckets.allSatisfy { ends.contains($0.upperBound) })
  }

  @Test func memoryGrowsWithTheLoad() throws {
    func total(_ set: [String] = [], ranks: Int = 8, threads: Int = 1) throws -> Int {
      try Sample.plan(Sample.small, set: set, ranks: ranks, threads: threads).memory.total
    }
    let base = try total()
    #expect(try total(ranks: 4) > base)
    #expect(try total(ranks: 1) > total(ranks: 2))
    #expect(
      try total(ranks: 3) == total(["training.shards=9", "training.global_batch=36"], ranks: 3))
    #expect(try total(threads: 2) > base)
    #expect(try total(["training.global_batch=64"]) > base)
    #expect(try total(["data.resolution=32"]) > base)
    #expect(try total(["data.prefetch=5"]) > base)
    #expect(try total(["model.architecture.widths=[8, 32]"]) > base)
  }

  @Test func memoryOfA0IsWhatItsTensorsAre() throws {
    // 1.84 GB a stored set for 256 images, over all ranks: 3 of them, but for the stem, which stores
    // its output alone; and the head's little.
    let plan = try Sample.plan("model: {architecture: A0, classes: 1000}", ranks: 1, data: nil)
    let outputs = plan.blocks.reduce(0) { $0 + $1.outputPixels * $1.outputChannels }
    #expect(Quantity.bytes(outputs * 4 * 256) == "1.84 GB")
    let stem = plan.blocks[0].outputPixels * plan.blocks[0].outputChannels
    #expect(plan.memory.activations == (3 * outputs - 2 * stem + 2 * (1280 + 1000)) * 4 * 256)
    #expect(plan.memory.parameters == plan.layout.count * 4)
    #expect((1...9).map { CostModel.counterSlots(shards: $0) } == [0, 1, 2, 2, 3, 3, 3, 3, 4])
  }

  @Test func assumedData() throws {
    let imageNet = DataSummary.assumed(for: try Sample.config("model: {classes: 1000}"))
    #expect(imageNet.trainCount == 1_281_167 && imageNet.height == 224 && imageNet.channels == 3)
    let fashion = DataSummary.assumed(
      for: try Sample.config(Sample.small, set: ["data.train_limit=640"]))
    #expect(fashion.trainCount == 640 && fashion.height == 28 && fashion.channels == 1)
    let synthetic = DataSummary.assumed(
      for: try Sample.config(
        "data: {format: synthetic, channels: 3, resolution: 48, train_limit: 99}"))
    #expect(synthetic.trainCount == 99 && synthetic.width == 48 && synthetic.isAssumed)
  }

  @Test func onlyTrainableRunsTrain() throws {
    try Sample.plan(Sample.small).requireTrainable()
    func refusal(_ text: String, _ data: DataSummary?) throws -> String {
      let plan = try Sample.plan(text, data: data)
      let error = try #require(throws: ConfigurationError.self) { try plan.requireTrainable() }
      return error.description
    }
    #expect(
      try refusal("model: {architecture: A0}", nil).contains("data.directory: no data is named"))
    #expect(try refusal(Sample.small, nil).contains("assumed data"))
  }

  @Test func estimateScales() throws {
    let one = try Sample.plan(Sample.small).estimate(gigaflopsPerCore: 100)
    let two = try Sample.plan(Sample.small, threads: 2).estimate(gigaflopsPerCore: 100)
    let crowd = try Sample.plan(Sample.small, ranks: 8).estimate(gigaflopsPerCore: 100)
    #expect(one.secondsPerStep > 0)
    #expect(abs(one.secondsPerStep / two.secondsPerStep - 2) < 1e-9)
    #expect(crowd == two)
    #expect(abs(one.secondsTotal / one.secondsPerStep - 3750) < 1e-6)
  }
}

struct PlanRefusalTests {
  private func refusal(
    _ text: String = Sample.small, set: [String] = [], ranks: Int = 1, threads: Int = 1,
    data: DataSummary? = Sample.fashion, machine: MachineSummary = Sample.machine
  ) throws -> String {
    let error = try #require(throws: ConfigurationError.self) {
      _ = try Sample.plan(
        text, set: set, ranks: ranks, threads: threads, data: data, machine: machine)
    }
    #expect(error.kind == .configuration)
    return error.description
  }

  @Test func moreRanksThanShards() throws {
    #expect(try refusal(ranks: 9).contains("--set training.shards=16"))
    #expect(
      try refusal(set: ["training.global_batch=12"], ranks: 9)
        .contains("--set training.shards=9"))
    #expect(try refusal(ranks: 33).contains("start at most 32 ranks"))
    #expect(try refusal(ranks: 0).contains("0 ranks"))
    #expect(try refusal(threads: 0).contains("0 threads"))
  }

  @Test func theMendMends() throws {
    _ = try Sample.plan(Sample.small, set: ["training.shards=16"], ranks: 9)
    _ = try Sample.plan(
      Sample.small, set: ["training.global_batch=12", "training.shards=9"], ranks: 9)
  }

  @Test func dataThatDoesNotFit() throws {
    var data = Sample.fashion
    data.classes = 12
    #expect(try refusal(data: data).contains("labels go up to 11; add --set model.classes=12"))
    data = Sample.fashion
    data.trainCount = 0
    #expect(try refusal(data: data).contains("nothing to train on"))
    data = Sample.fashion
    data.channels = 3
    #expect(try refusal(data: data).contains("images of 3 channels"))
  }

  /// Five halvings leave one pixel of 28 or 32.
  private let onePixel = """
    model: {architecture: {stem: 8, depths: [1, 1, 1, 1], widths: [8, 8, 8, 8]}}
    data: {directory: /data}
    training: {global_batch: 32, shards: 8}
    """

  @Test func batchNormOverOneValue() throws {
    var data = Sample.fashion
    data.trainCount = 33
    #expect(try refusal(onePixel, data: data).contains("last batch of an epoch has 1 of 33"))
    #expect(try refusal(onePixel, data: data).contains("--set training.global_batch=31"))
    _ = try Sample.plan(onePixel, set: ["training.global_batch=31"], data: data)
    data.trainCount = 1
    #expect(try refusal(onePixel, data: data).contains("one value per channel"))
    // Two images are enough for the whole batch, but not for shards by themselves.
    data.trainCount = 34
    _ = try Sample.plan(onePixel, data: data)
    let local = ["training.batch_norm=local"]
    #expect(try refusal(onePixel, set: local, data: data).contains("last batch"))
    #expect(
      try refusal(onePixel, set: local + ["training.global_batch=8"], data: data)
        .contains("1 image a shard"))
    // More pixels, no trouble.
    data.trainCount = 33
    _ = try Sample.plan(onePixel, set: ["model.strides=[1, 2, 2, 2, 2]"], data: data)
  }

  @Test func memoryOfTheMachine() throws {
    var machine = Sample.machine
    machine.physicalMemoryBytes = 1 << 20
    #expect(try refusal(machine: machine).contains("a rank needs"))
    let memory = try Sample.plan(Sample.small, ranks: 4).memory.total
    machine.physicalMemoryBytes = 3 * memory
    _ = try Sample.plan(Sample.small, ranks: 4, machine: machine)
    machine.localRanks = 4
    #expect(try refusal(ranks: 4, machine: machine).contains("4 ranks need"))
    machine.physicalMemoryBytes = 0
    _ = try Sample.plan(Sample.small, ranks: 4, machine: machine)
  }

  @Test func networksBeyondAllBounds() throws {
    let depths = "[" + [String](repeating: "128", count: 8).joined(separator: ", ") + "]"
    let widths = "[" + [String](repeating: "16384", count: 8).joined(separator: ", ") + "]"
    let text = """
      model:
        architecture: {stem: 16384, depths: \(depths), widths: \(widths)}
        strides: [1, 1, 1, 1, 1, 1, 1, 1, 1]
        classes: 1000000
      data: {resolution: 4096, channels: 1024, prefetch: 64}
      training: {global_batch: 65536}
      """
    #expect(try refusal(text, data: nil).contains("beyond all bounds"))
    let large = "model: {architecture: {stem: 16384, depths: [1], widths: [16384]}}"
    #expect(try refusal(large, data: nil).contains("beyond what MPI sends"))
  }
}
