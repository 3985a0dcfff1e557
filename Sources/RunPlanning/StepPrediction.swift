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
  /// Seconds in which nothing is computed.
  package var exposed: Double { waiting + statistics + gradients }

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
/// sends 2·(H − 1)/H·n bytes. A small sum takes that or doubling alone, whichever is faster: ⌈log₂ H⌉
/// messages, in each of which every rank of a host sends all of its n bytes.
struct SumCost {
  var local: SumLookup
  var hosts: Int
  var ranksPerHost: Int
  /// Of no use with one host.
  var network: NetworkSpeed?

  private static func levels(_ count: Int) -> Int { Int(ceil(log2(Double(count)))) }

  /// Messages of a bucket that follow each other: inside a host on the way there and on the way back, and
  /// between hosts.
  var localRounds: Int { Self.levels(ranksPerHost) }
  var networkRounds: Int { 2 * Self.levels(hosts) }

  /// Seconds of one of a bucket's rounds between hosts.
  func round(bytes: Int) -> Double {
    guard let network, networkRounds > 0 else { return 0 }
    let sent = 2 * Double(hosts - 1) / Double(hosts) * Double(bytes)
    return network.latency + sent / network.bytesPerSecond / Double(networkRounds)
  }

  func blocking(_ message: RunPlan.Message) -> Double {
    let inside = local.seconds(message.elementType, bytes: message.bytes)
    guard let network, networkRounds > 0 else { return inside }
    let halving = Double(networkRounds) * round(bytes: message.bytes)
    let sent = Double(ranksPerHost) * Double(message.bytes)
    let doubling =
      Double(networkRounds / 2) * (network.latency + sent / network.bytesPerSecond)
    return inside + min(halving, doubling)
  }
}

/// The course of one step: ranks meet in every block's statistics, and buckets of gradients are summed
/// beside the backward pass.
///
/// What a sum takes inside a host is work of its cores and is hidden by nothing. Between hosts the
/// bytes pass while the ranks compute; MPI makes progress only when it is asked, so each message of a
/// bucket, those inside the host too, begins where a block ends, and all buckets share a host's link.
struct StepTimeline {
  let plan: RunPlan
  let work: RankWork
  let cost: SumCost
  /// Share of the work that is lost where ranks meet in every block.
  let waitingShare: Double

  private struct Bucket {
    /// Messages begun so far, and what one between hosts takes.
    var begun = 0
    var roundSeconds: Double
    /// When the message under way ends.
    var end = 0.0
  }

  /// Messages of a bucket: inside the host, between hosts, inside the host again.
  private var rounds: Int { 2 * cost.localRounds + cost.networkRounds }
  private func isBetweenHosts(_ round: Int) -> Bool {
    (cost.localRounds..<cost.localRounds + cost.networkRounds).contains(round)
  }

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
    let (exposed, hidden) = gradients(
      statistics: blocking.filter { $0.purpose == .backwardStatistics }.map(cost.blocking))
    (result.gradients, result.hidden) = (exposed, hidden)
    return result
  }

  /// `statistics`: seconds of the blocks' sums, in backward order; empty where BatchNorm is local.
  private func gradients(statistics: [Double]) -> (exposed: Double, hidden: Double) {
    var flights: [Bucket] = []
    var (now, linkFree, local, wire) = (0.0, 0.0, 0.0, 0.0)
    var started = 0
    // One more than the plan's with local statistics, whose scales and shifts are summed at the end.
    let messages = plan.messages.filter { $0.purpose == .gradients }
    func start(upTo end: Int) {
      while started < messages.count,
        (started < plan.buckets.count ? plan.buckets[started].upperBound : .max) <= end
      {
        let seconds = cost.local.seconds(.float32, bytes: messages[started].bytes)
        local += seconds
        now += seconds
        let round = cost.round(bytes: messages[started].bytes)
        wire += round * Double(cost.networkRounds)
        flights.append(Bucket(roundSeconds: round))
        started += 1
      }
    }
    func poll() {
      for index in flights.indices where flights[index].end <= now && flights[index].begun < rounds
      {
        flights[index].end = now
        if isBetweenHosts(flights[index].begun) {
          linkFree = max(now, linkFree) + flights[index].roundSeconds
          flights[index].end = linkFree
        }
        flights[index].begun += 1
      }
    }
    let ends = plan.gradientEnds
    start(upTo: ends.head)
    poll()
    for (place, block) in plan.blocks.indices.reversed().enumerated() {
      if place < statistics.count { now += statistics[place] }
      poll()
      now += work.backward[block].seconds
      start(upTo: ends.blocks[block])
      poll()
    }
    let backwardEnd = now
    let computedLocal = local
    start(upTo: .max)
    // From here on MPI is asked all the time.
    while let next = flights.indices.filter({ flights[$0].begun < rounds })
      .min(by: { flights[$0].end < flights[$1].end })
    {
      now = max(now, flights[next].end)
      poll()
    }
    let end = max(now, flights.map(\.end).max() ?? now)
    let exposed = computedLocal + end - backwardEnd
    return (exposed, max(0, local + wire - exposed))
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
