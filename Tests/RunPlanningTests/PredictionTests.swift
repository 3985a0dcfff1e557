import Foundation
import Testing

@testable import RunPlanning

private typealias Fixture = PredictionFixture

private func isNear(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-9 * max(abs(a), abs(b)) }

struct PredictionTests {
  /// What was measured is what is predicted, and a line between and beyond.
  @Test(arguments: [4, 8, 16, 32]) func aRankAloneIsTheCurve(batch: Int) throws {
    let set = ["training.global_batch=\(batch)", "training.shards=\(batch / 4)"]
    let run = try Fixture.predict(1, set: set)
    let shards = Double(batch / 4)
    #expect(isNear(run.step.seconds, Fixture.work(try Sample.plan(Fixture.text), shards: shards)))
    #expect(run.step.statistics == 0 && run.step.gradients == 0 && run.step.hidden == 0)
    #expect(run.hosts == 1 && run.estimatedBlocks == 0 && run.hasThreads)
    if batch == 16 {
      #expect(isNear(run.step.seconds, try Fixture.curves().steps[1].seconds))
    }
  }

  /// The images' part and the rest are told apart.
  @Test func weightsAreWorkOfEveryRank() throws {
    let weights = try Fixture.blocks().reduce(Fixture.update) {
      $0 + 3 * Fixture.weights($1) * Fixture.perWeight
    }
    for ranks in [1, 2, 4, 8] {
      let run = try Fixture.predict(ranks, cores: 8)
      #expect(isNear(run.step.weights, weights), "\(ranks)")
    }
  }

  /// Ranks with cores of their own on hosts that nothing keeps apart do their part and no more.
  @Test(arguments: [1, 2, 4, 8]) func nothingIsLostOverAnInstantNetwork(ranks: Int) throws {
    let run = try Fixture.predict(ranks, perHost: 1, cores: 1, network: Fixture.instant)
    let plan = try Sample.plan(Fixture.text)
    #expect(run.hosts == ranks)
    // One rank for each core: as two on the machine with two.
    #expect(isNear(run.step.seconds, Fixture.work(plan, shards: 8 / Double(ranks))))
    #expect(run.step.exposed == 0)
  }

  /// Ranks beyond the cores take turns.
  @Test func coresAreShared() throws {
    let plan = try Sample.plan(Fixture.text)
    let sums: (RunPrediction) -> Double = { $0.step.images + $0.step.weights }
    // Not measured with eight: by the cores. Each rank has one shard, four ranks a core.
    #expect(isNear(sums(try Fixture.predict(8, perHost: 8)), 4 * Fixture.work(plan, shards: 1)))
    let measured = try Fixture.curves(ranks: [1, 2, 8])
    let run = try Fixture.predict(8, curves: measured, perHost: 8)
    #expect(isNear(sums(run), 4 * Fixture.work(plan, shards: 1)))
    // Between two and eight ranks.
    let four = try Fixture.predict(4, curves: measured, perHost: 4)
    #expect(isNear(sums(four), 2 * Fixture.work(plan, shards: 2)))
    // A rank's two threads on two cores.
    let threads = try Fixture.predict(1, threads: 2)
    #expect(isNear(threads.step.seconds, Fixture.work(plan, shards: 8) / 2) && !threads.hasThreads)
    // Four ranks of unequal shards on two cores: their mean.
    let uneven = try Fixture.predict(3, perHost: 3)
    #expect(isNear(sums(uneven), 1.5 * Fixture.work(plan, shards: 8.0 / 3)))
    // With a core each the largest is waited for.
    let waited = try Fixture.predict(3, perHost: 3, cores: 3)
    #expect(isNear(sums(waited), Fixture.work(plan, shards: 3)))
  }

  @Test func aNetworkCostsWhatItsSpeedSays() throws {
    var last = 0.0
    for rate in [1e12, 1e9, 1e7, 1e5] {
      let run = try Fixture.predict(
        4, perHost: 1, cores: 1, network: NetworkSpeed(bytesPerSecond: rate, latency: 0))
      #expect(run.step.seconds > last)
      last = run.step.seconds
    }
    last = 0
    for latency in [0, 1e-6, 1e-4, 1e-2] {
      let run = try Fixture.predict(
        4, perHost: 1, cores: 1,
        network: NetworkSpeed(bytesPerSecond: .infinity, latency: latency))
      let plan = try Sample.plan(Fixture.text, ranks: 4)
      let blocking = plan.messages.count(where: \.isBlocking)
      // Four hosts: two rounds for each, by doubling.
      #expect(isNear(run.step.statistics, Double(2 * blocking) * latency))
      #expect(run.step.seconds > last)
      last = run.step.seconds
    }
  }

  /// What is waited for and what is not are all that the links carry.
  @Test(arguments: [1e4, 1e6, 1e8]) func gradientsPassBesideTheBackwardPass(rate: Double) throws {
    let network = NetworkSpeed(bytesPerSecond: rate, latency: 1e-5)
    let set = ["communication.bucket_bytes=4096", "training.batch_norm=local"]
    let run = try Fixture.predict(8, set: set, perHost: 2, network: network)
    let plan = try Sample.plan(Fixture.text, set: set, ranks: 8)
    let buckets = plan.messages.filter { $0.purpose == .gradients }
    #expect(buckets.count > 2)
    // Four hosts: four rounds, and a host sends one and a half times the bytes.
    let wire = buckets.reduce(0) { $0 + 4 * 1e-5 + 1.5 * Double($1.bytes) / rate }
    // Two ranks of a host: 1 ms and 1 ns a byte.
    let local = buckets.reduce(0) { $0 + 1e-3 + 1e-9 * Double(max(1000, $1.bytes)) }
    #expect(isNear(run.step.gradients + run.step.hidden, wire + local))
    #expect(run.step.gradients >= local * (1 - 1e-9))
    #expect(run.step.hidden > 0)
    if rate == 1e4 { #expect(run.step.limit == .gradients) }
  }

  /// The statistics of every block wait behind gradients that are on the link.
  @Test func statisticsQueueBehindGradients() throws {
    func step(_ rate: Double, _ batchNorm: String) throws -> StepPrediction {
      try Fixture.predict(
        8, set: ["communication.bucket_bytes=4096", "training.batch_norm=\(batchNorm)"], perHost: 2,
        network: NetworkSpeed(bytesPerSecond: rate, latency: 0)
      ).step
    }
    let (fast, slow) = (try step(.infinity, "sync"), try step(1e4, "sync"))
    let bytes = try Sample.plan(Fixture.text, ranks: 8).messages
      .filter { $0.purpose != .gradients }.reduce(0) { $0 + $1.bytes }
    // Doubling: two ranks of a host send twice.
    let sums = 4 * Double(bytes) / 1e4
    #expect(slow.statistics > fast.statistics + sums)
    // Nobody waits twice for the same.
    #expect(slow.seconds - sums <= (try step(1e4, "local")).seconds * 1.2)
  }

  /// Where two ranks lose a tenth of their work by waiting for each other.
  @Test func theSlowestIsWaitedFor() throws {
    var curves = try Fixture.curves()
    for index in curves.steps.indices where curves.steps[index].ranks == 2 {
      curves.steps[index].waiting = 0.1 * curves.steps[index].seconds
    }
    func share(_ ranks: Int, set: [String] = [], perHost: Int = 1) throws -> Double {
      let step = try Fixture.predict(
        ranks, set: set, curves: curves, perHost: perHost, network: Fixture.instant
      ).step
      return step.waiting / (step.images + step.weights)
    }
    #expect(try share(1) == 0)
    #expect(isNear(try share(2), 0.1))
    #expect(isNear(try share(8), 0.1 * pow(3, 0.76)))
    // Two cores, whose ranks take turns.
    #expect(isNear(try share(8, perHost: 8), 0.1))
    // Once a step instead of twice in each of five blocks.
    #expect(isNear(try share(2, set: ["training.batch_norm=local"]), 0.1 / 10.0.squareRoot()))
    #expect(try Fixture.predict(2).step.waiting == 0)
  }

  @Test func localStatisticsAreNoMessages() throws {
    let network = NetworkSpeed(bytesPerSecond: 1e9, latency: 1e-3)
    let sync = try Fixture.predict(4, perHost: 1, cores: 1, network: network)
    let local = try Fixture.predict(
      4, set: ["training.batch_norm=local"], perHost: 1, cores: 1, network: network)
    // The summary alone is waited for.
    #expect(local.step.statistics < 0.003 && sync.step.statistics > 0.02)
    #expect(local.step.images == sync.step.images)
  }

  @Test func gradientsAreCompleteWithTheirBlock() throws {
    for set in [[], ["model.architecture=RepVGG-D2se", "model.strides=[2, 2, 2, 2, 2]"]] {
      let plan = try Sample.plan(Fixture.text, set: set)
      let ends = plan.gradientEnds
      let all = [ends.head] + ends.blocks.reversed()
      #expect(ends.head > 0 && all == all.sorted() && Set(all).count == all.count)
      #expect(all.last == plan.layout.weightCount)
    }
  }

  /// Where every block costs by its multiply-accumulates, one that was not measured does too.
  @Test func unmeasuredBlocksAreEstimated() throws {
    let set = ["data.resolution=56"]
    let run = try Fixture.predict(1, set: set)
    #expect(run.estimatedBlocks == 5 && run.blocks == 5)
    let plan = try Sample.plan(Fixture.text, set: set)
    let work = plan.blocks.reduce(Fixture.update + Fixture.head * 32) {
      $0 + 3 * Fixture.forward($1, images: 32)
    }
    #expect(isNear(run.step.seconds, work))
  }

  @Test func smallerShardsAreBetweenNothingAndTheCurve() throws {
    let curves = try Fixture.curves()
    let plan = try Sample.plan(Fixture.text, set: ["training.shards=16"])
    let run = try RunPrediction(plan, curves: curves, cluster: .init(curves: curves, threads: 1))
    // Sixteen shards of two images: what eight of four take.
    #expect(isNear(run.step.seconds, Fixture.work(plan, shards: 8)))
  }

  @Test func totals() throws {
    let run = try Fixture.predict(
      8, perHost: 2, network: Fixture.instant, price: 0.05)
    #expect(run.hosts == 4 && run.steps == 3750 && run.ranks == 8 && run.globalBatch == 32)
    #expect(isNear(run.secondsPerEpoch, 1875 * run.step.seconds))
    #expect(isNear(run.secondsTotal, 3750 * run.step.seconds))
    #expect(isNear(run.imagesPerSecond, 32 / run.step.seconds))
    #expect(isNear(run.coreHours, 8 * run.secondsTotal / 3600))
    #expect(isNear(try #require(run.cost), 0.05 * run.coreHours))
    let memory = try Sample.plan(Fixture.text, ranks: 8).memory
    #expect(run.memoryOfHost == 2 * memory.total - memory.saving && run.fits)
    var small = try Fixture.curves()
    small.machine.memoryBytes = 1000
    #expect(try !Fixture.predict(1, curves: small).fits)
  }

  /// Smaller images in the first epoch.
  @Test func growingImages() throws {
    let set = ["data.resolution=28", "data.crop=random_resized", "data.resolutions={0: 14, 1: 28}"]
    let (run, plain) = (try Fixture.predict(1, set: set), try Fixture.predict(1))
    #expect(run.secondsPerEpoch == plain.secondsPerEpoch)
    #expect(run.secondsTotal < plain.secondsTotal && run.secondsTotal > plain.secondsPerEpoch)
  }

  @Test func whatIsMissingIsNamed() throws {
    let curves = try Fixture.curves()
    var empty = curves
    empty.steps = []
    #expect(throws: RunPrediction.Missing.steps) { try Fixture.predict(1, curves: empty) }
    empty = curves
    empty.sums = []
    #expect(throws: RunPrediction.Missing.sums(ranks: 2)) { try Fixture.predict(2, curves: empty) }
    _ = try Fixture.predict(2, curves: empty, perHost: 1, network: Fixture.instant)
    #expect(throws: RunPrediction.Missing.network(ranks: 4, hosts: 2)) {
      try Fixture.predict(4)
    }
  }
}

struct SumLookupTests {
  @Test(arguments: [
    // Measured, between sizes, below the smallest, beyond the largest.
    (2, 1000, 1.001e-3), (2, 501_000, 1.501e-3), (2, 1, 1.001e-3), (2, 3_000_000, 4e-3),
    (4, 2000, 2.004e-3), (8, 1000, 3.003e-3), (3, 1000, 1.001e-3 * log2(3)),
  ])
  func overRanksAndBytes(ranks: Int, bytes: Int, seconds: Double) throws {
    let curves = try Fixture.curves(cores: 8)
    let lookup = try #require(
      SumLookup(curves, ranks: ranks, threads: 1, load: Double(ranks)))
    for type in RunPlan.Message.ElementType.both {
      #expect(isNear(lookup.seconds(type, bytes: bytes), seconds))
    }
  }

  /// Sums over ranks that had no cores of their own say nothing of those that have, and the other way
  /// round.
  @Test func sharedCoresAreAnotherMachine() throws {
    let curves = try Fixture.curves(cores: 2)
    let own = try #require(SumLookup(curves, ranks: 4, threads: 1, load: 2))
    #expect(isNear(own.seconds(.float64, bytes: 1000), 2 * 1.001e-3))
    let shared = try #require(SumLookup(curves, ranks: 2, threads: 1, load: 4))
    #expect(isNear(shared.seconds(.float64, bytes: 1000), 2 * 1.001e-3))
    #expect(SumLookup(try Fixture.curves(sums: []), ranks: 1, threads: 1, load: 1) != nil)
  }
}

struct NetworkSpeedTests {
  @Test(arguments: [
    ("bandwidth=25Gb/s,latency=10us", 3.125e9, 1e-5), ("latency=2ms,bandwidth=100MB/s", 1e8, 2e-3),
    ("bandwidth=1.5Tb/s,latency=500ns", 187.5e9, 5e-7), ("bandwidth=8kb/s,latency=1s", 1000, 1),
    ("bandwidth=1GB/s,latency=0.5µs", 1e9, 5e-7),
  ])
  func speeds(text: String, rate: Double, latency: Double) throws {
    let speed = try NetworkSpeed(text)
    #expect(isNear(speed.bytesPerSecond, rate) && isNear(speed.latency, latency))
  }

  @Test(arguments: [
    ("", "neither"), ("25Gb/s", "neither"), ("bandwidth=1Gb/s", "latency is missing"),
    ("latency=1us", "bandwidth is missing"), ("bandwidth=1Gb/s,latency=1us,", "neither"),
    ("bandwidth=1Gb/s,bandwidth=2Gb/s,latency=1us", "given twice"),
    ("bandwidth=0Gb/s,latency=1us", "positive"), ("bandwidth=-1Gb/s,latency=1us", "positive"),
    ("bandwidth=25,latency=1us", "with a unit"), ("bandwidth=25Gb,latency=1us", "with a unit"),
    ("bandwidth=infGb/s,latency=1us", "positive"), ("bandwidth=0x1Gb/s,latency=1us", "positive"),
    ("bandwidth=1e400Gb/s,latency=1us", "positive"), ("bandwidth=1Gb/s,latency=us", "positive"),
    ("bandwidth=1Gb/s,latency=1 us", "positive"), ("bandwith=1Gb/s,latency=1us", "neither"),
    ("bandwidth=1..2Gb/s,latency=1us", "positive"),
  ])
  func flaws(text: String, says: String) {
    let flaw = #expect(throws: NetworkSpeed.Flaw.self) { _ = try NetworkSpeed(text) }
    #expect(flaw?.description.contains(says) == true, "\(String(describing: flaw))")
  }
}

struct MachineCurvesTests {
  @Test func aNewMeasurementTakesThePlaceOfTheOld() throws {
    var curves = try Fixture.curves()
    let (steps, sums) = (curves.steps.count, curves.sums.count)
    var step = curves.steps[0]
    step.head = 7
    curves.add(step)
    curves.add(MachineCurves.Sum(ranks: 2, type: .float32, bytes: 1000, seconds: 9))
    #expect(curves.steps.count == steps && curves.sums.count == sums)
    #expect(curves.steps.contains(step) && curves.sums.contains { $0.seconds == 9 })
    step.shardImages = 5
    curves.add(step)
    #expect(curves.steps.count == steps + 1 && curves.flaw == nil)
  }

  @Test func machinesAreTheSameOrNot() throws {
    let machine = try Fixture.curves().machine
    var other = machine
    (other.name, other.memoryBytes) = ("another", 1)
    #expect(machine.difference(from: other) == nil)
    other.cores = 64
    #expect(machine.difference(from: other) == "cores '2' and not '64'")
  }

  static let damage: [(String, @Sendable (inout MachineCurves) -> Void)] = [
    ("format", { $0.format = "other" }), ("version", { $0.version = 2 }),
    ("machine.cores", { $0.machine.cores = 0 }),
    ("machine.panel_width", { $0.machine.panelWidth = 0 }),
    ("steps[1].ranks", { $0.steps[1].ranks = 0 }),
    ("steps[0].parameters", { $0.steps[0].parameters = .max }),
    ("steps[0].blocks", { $0.steps[0].blocks = [] }),
    ("steps[0].blocks[2].forward", { $0.steps[0].blocks[2].forward = -1 }),
    ("steps[0].blocks[2].backward", { $0.steps[0].blocks[2].backward = .nan }),
    ("steps[0].blocks[0].shape.groups", { $0.steps[0].blocks[0].shape.groups = 9 }),
    ("steps[0].blocks[0].shape.stride", { $0.steps[0].blocks[0].shape.stride = 0 }),
    ("steps[0].head", { $0.steps[0].head = .infinity }),
    ("steps[0].waiting", { $0.steps[0].waiting = -1 }),
    ("sums[0].seconds", { $0.sums[0].seconds = -0.1 }),
    ("sums[1].bytes", { $0.sums[1].bytes = 0 }),
  ]

  @Test(arguments: damage.indices) func flawsAreNamed(index: Int) throws {
    var curves = try Fixture.curves()
    #expect(curves.flaw == nil)
    Self.damage[index].1(&curves)
    let flaw = try #require(curves.flaw)
    #expect(flaw.hasPrefix(Self.damage[index].0 + ":"), "\(flaw)")
  }
}
