import Foundation

/// Where the time of a predicted step goes, in seconds. All parts but `hidden` add up to the step.
package struct StepPrediction: Sendable, Equatable {
  /// A rank's own work: what its images cost, and what every rank does whatever its images, such as
  /// transforming weights and updating them.
  package var images = 0.0
  package var weights = 0.0
  /// For the slowest rank, wherever all meet.
  package var waiting = 0.0
  /// Sums that the step waits for: statistics and the summary.
  package var statistics = 0.0
  /// Sums of gradients: what the step waits for, and what passes beside the backward pass.
  package var gradients = 0.0
  package var hidden = 0.0

  package var seconds: Double { images + weights + waiting + statistics + gradients }
  /// Seconds of communication that no work hides.
  package var exposed: Double { statistics + gradients }

  package enum Limit: String, Sendable, CaseIterable {
    case images, weights, waiting, statistics, gradients
  }

  /// What most of the step is.
  package var limit: Limit {
    Limit.allCases.max { self[$0] < self[$1] } ?? .images
  }

  package subscript(part: Limit) -> Double {
    switch part {
    case .images: images
    case .weights: weights
    case .waiting: waiting
    case .statistics: statistics
    case .gradients: gradients
    }
  }
}

/// How long a sum over all ranks takes: over the ranks of each host in its memory, then between hosts.
///
/// Between H hosts a bucket of n bytes is summed by halving and doubling (Rabenseifner, "Optimization of
/// Collective Reduction Operations", 2004): 2·⌈log₂ H⌉ messages one after the other, in which each host
/// sends 2·(H − 1)/H·n bytes. So are statistics of more than 16 KiB; smaller ones by doubling alone: ⌈log₂ H⌉
/// messages, in each of which every rank of a host sends all of its n bytes.
struct SumCost {
  var local: SumLookup
  var hosts: Int
  var ranksPerHost: Int
  /// Of no use with one host.
  var network: NetworkSpeed?

  /// As `HalvingReduction` in MPICollectives, which this room does not see; so `bytesUnderWay`.
  private static let largestDoubling = 16_384

  private static func levels(_ count: Int) -> Int { Int(ceil(log2(Double(count)))) }

  /// Messages of a bucket between hosts that follow each other.
  var networkRounds: Int { 2 * Self.levels(hosts) }

  /// Seconds of one of a bucket's rounds between hosts.
  func round(bytes: Int) -> Double {
    guard let network, networkRounds > 0 else { return 0 }
    let sent = 2 * Double(hosts - 1) / Double(hosts) * Double(bytes)
    return network.latency + sent / network.bytesPerSecond / Double(networkRounds)
  }

  /// Bytes of gradients that are under way at once: eight pieces of 256 KiB.
  private static let bytesUnderWay = 8 * 262_144

  /// Seconds for which a sum of statistics may wait behind gradients on the link.
  var queueSeconds: Double {
    guard let network, networkRounds > 0 else { return 0 }
    return Double(hosts - 1) / Double(hosts) * Double(Self.bytesUnderWay) / network.bytesPerSecond
  }

  func blocking(_ message: RunPlan.Message) -> Double {
    let inside = local.seconds(message.elementType, bytes: message.bytes)
    guard let network, networkRounds > 0 else { return inside }
    if message.bytes > Self.largestDoubling {
      return inside + Double(networkRounds) * round(bytes: message.bytes)
    }
    let sent = Double(ranksPerHost) * Double(message.bytes)
    return inside
      + Double(networkRounds / 2) * (network.latency + sent / network.bytesPerSecond)
  }
}

/// The course of one step: ranks meet in every block's statistics, and buckets of gradients are summed
/// beside the backward pass.
///
/// What a sum takes inside a host is work of its cores and is hidden by nothing. Between hosts the
/// bytes pass while the ranks compute, which push them on within their kernels. All buckets share a host's
/// link, one after the other.
struct StepTimeline {
  let plan: RunPlan
  let work: RankWork
  let cost: SumCost
  /// Share of the work that is lost where ranks meet in every block.
  let waitingShare: Double

  func run() -> StepPrediction {
    var result = StepPrediction()
    for part in work.forward + work.backward + [work.head, work.update] {
      result.images += part.images
      result.weights += part.fixed
    }
    if plan.worldSize == 1 { return result }
    // Ranks that meet once a step lose less: what differs by chance from block to block evens out.
    let meetings = plan.config.training.batchNorm == .sync ? 1 : Double(2 * plan.blocks.count)
    result.waiting = (result.images + result.weights) * waitingShare / meetings.squareRoot()
    let blocking = plan.messages.filter(\.isBlocking)
    result.statistics = blocking.reduce(0) { $0 + cost.blocking($1) }
    let course = gradients(
      statistics: blocking.filter { $0.purpose == .backwardStatistics }.map(cost.blocking))
    (result.gradients, result.hidden) = (course.exposed, course.hidden)
    result.statistics += course.queued
    return result
  }

  /// `statistics`: seconds of the blocks' sums, in backward order; empty where BatchNorm is local.
  /// `queued`: what these sums wait for behind gradients.
  private func gradients(
    statistics: [Double]
  ) -> (exposed: Double, hidden: Double, queued: Double) {
    var (now, linkFree, local, wire, queued) = (0.0, 0.0, 0.0, 0.0, 0.0)
    var started = 0
    // One more than the plan's with local statistics, whose scales and shifts are summed at the end.
    let messages = plan.messages.filter { $0.purpose == .gradients }
    func start(upTo end: Int) {
      while started < messages.count,
        (started < plan.buckets.count ? plan.buckets[started].upperBound : .max) <= end
      {
        let bytes = messages[started].bytes
        let (inside, between) = (
          cost.local.seconds(.float32, bytes: bytes),
          Double(cost.networkRounds) * cost.round(bytes: bytes)
        )
        (now, local, wire) = (now + inside, local + inside, wire + between)
        if between > 0 { linkFree = max(now, linkFree) + between }
        started += 1
      }
    }
    let ends = plan.gradientEnds
    start(upTo: ends.head)
    for (place, block) in plan.blocks.indices.reversed().enumerated() {
      if place < statistics.count {
        let queue = min(cost.queueSeconds, max(0, linkFree - now))
        queued += queue
        now += statistics[place] + queue
      }
      now += work.backward[block].seconds
      start(upTo: ends.blocks[block])
    }
    start(upTo: .max)
    let waiting = max(0, linkFree - now)
    return (local + waiting, max(0, wire - waiting - queued), queued)
  }
}

extension RunPlan {
  /// How much of the gradient arena is complete behind the classifier's and behind each block's
  /// backward pass.
  var gradientEnds: (head: Int, blocks: [Int]) {
    var ends: [String: Int] = [:]
    for place in layout.places where place.offset < layout.weightCount {
      let alignment = ArenaLayout.alignment
      let end = (place.range.upperBound + alignment - 1) / alignment * alignment
      let name = place.entry.name
      let key = name.hasPrefix("linear.") ? "linear" : Self.blockKey(name)
      ends[key] = max(ends[key] ?? 0, end)
    }
    return (ends["linear"] ?? 0, blocks.map { ends[$0.key] ?? 0 })
  }

  /// `stage1.0` of `stage1.0.rbr_dense.conv.weight`, `stage0` of `stage0.rbr_1x1.conv.weight`.
  private static func blockKey(_ name: String) -> String {
    let words = name.split(separator: ".")
    return words.prefix { $0.hasPrefix("stage") || $0.allSatisfy(\.isNumber) }
      .joined(separator: ".")
  }
}
