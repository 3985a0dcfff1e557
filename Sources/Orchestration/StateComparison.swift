import Collectives
import Tensors

// Whether all ranks hold the same state: before each commit, as one of them alone writes it.

extension Worker {
  /// Compares a hash of weights, momentum, statistics and counters over the ranks; every rank calls
  /// it. One small message where all is well.
  ///
  /// - Throws: on every rank, code 76, naming the rank that differs and the tensor: a bit has flipped
  ///   in its memory, or on the way. With local BatchNorm running statistics are each rank's own and
  ///   left out.
  func requireSameState() throws {
    guard communicator.size > 1 else { return }
    heartbeat.enter(.comparing)
    let regions = regions
    var hash = StateHash()
    for region in regions { hash.combine(region.bytes) }
    for word in counterWords { hash.combine(word) }
    guard let (_, ranks) = try RankComparison([hash.value], over: communicator).difference else {
      return
    }
    throw JobFailure(
      .numerics,
      "\(Self.words(ranks)) not in the state of the others after step \(stepsDone), in "
        + "\(try firstDifference(in: regions)): a bit has flipped in memory or on the way; nothing was "
        + "saved; the same command goes on from the newest checkpoint; look at the memory of "
        + (ranks.count == 1 ? "that rank's host" : "those ranks' hosts"))
  }

  private typealias Region = (name: String, bytes: UnsafeRawBufferPointer)

  /// Everything that ranks have alike, but for counters.
  private var regions: [Region] {
    var regions: [Region] = [
      ("the weights", UnsafeRawBufferPointer(network.parameters.all)),
      ("the momentum", UnsafeRawBufferPointer(optimizer.momentum.all)),
    ]
    let isSynchronised = network.shape.batchNorm == .sync
    if isSynchronised {
      regions.append(("running statistics", UnsafeRawBufferPointer(network.runningStatistics)))
    }
    let average = average?.bytes ?? []
    for (name, bytes) in zip(["the average of weights", "the average of statistics"], average)
    where isSynchronised || name.hasSuffix("weights") {
      regions.append((name, UnsafeRawBufferPointer(bytes)))
    }
    return regions
  }

  /// The tensor, or the region, in which ranks first differ. Every rank comes here.
  private func firstDifference(in regions: [Region]) throws -> String {
    var parts: [Region] = []
    for (region, arena) in zip(regions, [network.parameters, optimizer.momentum]) {
      for place in network.layout.places {
        let bytes = UnsafeRawBufferPointer(
          start: arena.base + place.offset, count: place.entry.count * MemoryLayout<Float>.stride)
        parts.append(("\(place.entry.name) of \(region.name)", bytes))
      }
    }
    parts += regions
    let hashes = parts.map { part in
      var hash = StateHash()
      hash.combine(part.bytes)
      return hash.value
    }
    let difference = try RankComparison(hashes, over: communicator).difference
    return difference.map { parts[$0.index].name } ?? "the counters"
  }

  private static func words(_ ranks: [Int]) -> String {
    ranks.count == 1
      ? "rank \(ranks[0]) is" : "ranks \(ranks.map(String.init).joined(separator: ", ")) are"
  }
}
