import Collectives
import Glibc
import ImageData
import RepVGGModel
import Tensors

/// Forward passes over a test set, each image once, cut into fixed chunks over the ranks.
///
/// The chunks do not depend on the number of ranks, and sums run over chunks in their order, so that
/// loss and accuracy are the same bits for any number of ranks.
package final class Evaluation {
  /// Means over the whole set, the same on every rank.
  package struct Result: Sendable, Equatable {
    package var count: Int
    package var top1: Double
    package var top5: Double
    package var loss: Double
  }

  /// Two networks on the same images.
  package struct Comparison: Sendable, Equatable {
    package var count: Int
    /// Images for which both name the same class.
    package var agreement: Int
    package var largestDifference: Double
    package var largestLogit: Double
  }

  /// A network in either form: a pass over chunks, then the logits of each.
  package struct Form {
    package var evaluate: ([ShardImages]) -> Void
    package var logits: (Int) -> UnsafePointer<Float>

    package init(
      evaluate: @escaping ([ShardImages]) -> Void,
      logits: @escaping (Int) -> UnsafePointer<Float>
    ) {
      self.evaluate = evaluate
      self.logits = logits
    }

    package init(_ network: TrainingNetwork) {
      self.init(evaluate: network.evaluate, logits: network.logits(shard:))
    }

    package init(_ network: DeployNetwork) {
      self.init(evaluate: network.evaluate, logits: network.logits(shard:))
    }
  }

  private let communicator: any Communicator
  private let reader: SampleReader
  private let plan: EvaluationPlan
  private let shape: NetworkShape
  private let pixels: Arena
  /// What this rank has failed to read in the last pass. With more ranks than one the results are
  /// void then, and it is for the caller to tell the others, after the pass: it ends with sums that
  /// all take part in.
  package private(set) var failure: (any Error)?

  /// `shape` of the networks to evaluate: `shape.shards` chunks of `shape.shardCapacity` images at a
  /// time. `transform`: of the test images, without anything random.
  package init(
    dataset: any Dataset, transform: SampleTransform, shape: NetworkShape,
    communicator: any Communicator
  ) {
    self.communicator = communicator
    self.shape = shape
    reader = SampleReader(dataset: dataset, transform: transform)
    plan = EvaluationPlan(
      sampleCount: dataset.count, chunk: shape.shardCapacity, ranks: communicator.size)
    pixels = Arena(count: shape.imageCapacity * shape.imageCount)
  }

  /// Accuracy and mean cross-entropy (without label smoothing) of one form.
  package func run(_ form: Form) throws -> Result {
    var sums = ChunkSums(chunks: plan.chunkCount)
    try forEachGroup { chunks in
      form.evaluate(chunks.map(\.images))
      for (place, chunk) in chunks.enumerated() { add(chunk, form.logits(place), to: &sums) }
    }
    return try sums.result(over: communicator, count: plan.sampleCount)
  }

  /// Both forms on the same images.
  package func compare(
    _ first: Form, _ second: Form
  ) throws -> (first: Result, second: Result, comparison: Comparison) {
    var (firstSums, secondSums) = (
      ChunkSums(chunks: plan.chunkCount), ChunkSums(chunks: plan.chunkCount)
    )
    var tally = LogitTally()
    let kept = Arena(count: shape.imageCapacity * shape.classes)
    try forEachGroup { chunks in
      let images = chunks.map(\.images)
      first.evaluate(images)
      for (place, chunk) in chunks.enumerated() {
        add(chunk, first.logits(place), to: &firstSums)
        let target = kept.base + place * shape.shardCapacity * shape.classes
        target.update(from: first.logits(place), count: chunk.images.count * shape.classes)
      }
      second.evaluate(images)
      for (place, chunk) in chunks.enumerated() {
        add(chunk, second.logits(place), to: &secondSums)
        tally.add(
          kept.base + place * shape.shardCapacity * shape.classes, second.logits(place),
          images: chunk.images.count, classes: shape.classes)
      }
    }
    return (
      try firstSums.result(over: communicator, count: plan.sampleCount),
      try secondSums.result(over: communicator, count: plan.sampleCount),
      try tally.result(over: communicator, count: plan.sampleCount)
    )
  }

  /// Accuracy and loss as by `run`, with `logits` [N, classes] and `labels` [N] of every image, with
  /// `keepingImages` also `images` [N, C, H, W] as the network saw them; the same on every rank.
  package func runKeepingLogits(
    _ form: Form, dataset: any Dataset, keepingImages: Bool
  ) throws -> (result: Result, tensors: NamedTensors) {
    let (count, classes) = (plan.sampleCount, shape.classes)
    let first = shape.blocks[0]
    var logits = [Float](repeating: 0, count: count * classes)
    var images = [Float](repeating: 0, count: keepingImages ? count * shape.imageCount : 0)
    var sums = ChunkSums(chunks: plan.chunkCount)
    try forEachGroup { chunks in
      form.evaluate(chunks.map(\.images))
      for (place, chunk) in chunks.enumerated() where chunk.images.count > 0 {
        add(chunk, form.logits(place), to: &sums)
        let start = plan.samples(chunk: chunk.index).lowerBound
        for value in 0..<chunk.images.count * classes {
          logits[start * classes + value] = form.logits(place)[value]
        }
        guard keepingImages else { continue }
        for image in 0..<chunk.images.count {
          let source = chunk.images.pixels + image * shape.imageCount
          for channel in 0..<first.inputChannels {
            for pixel in 0..<first.inputPixels {
              images[
                ((start + image) * first.inputChannels + channel) * first.inputPixels + pixel] =
                source[pixel * first.inputChannels + channel]
            }
          }
        }
      }
    }
    // Every value is zero on all ranks but one: the sums are exact.
    try logits.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    try images.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    var tensors = NamedTensors()
    tensors["logits"] = Tensor(shape: [count, classes], logits)
    tensors["labels"] = Tensor(
      shape: [count], integers: (0..<count).map { Int64(dataset.label(of: $0)) })
    if keepingImages {
      tensors["images"] = Tensor(
        shape: [count, first.inputChannels, first.inputHeight, first.inputWidth], images)
    }
    return (try sums.result(over: communicator, count: count), tensors)
  }

  private func add(_ chunk: Chunk, _ logits: UnsafePointer<Float>, to sums: inout ChunkSums) {
    guard chunk.images.count > 0 else { return }
    let totals = Loss(labelSmoothing: 0).evaluate(
      logits: logits, labels: chunk.labels, count: chunk.images.count, classes: shape.classes,
      globalCount: plan.sampleCount, gradient: nil)
    sums.add(totals, chunk: chunk.index)
  }

  private struct Chunk {
    var index: Int
    var images: ShardImages
    var labels: [Int32]
  }

  /// Calls `body` with this rank's chunks, `shape.shards` at a time, filled up with empty ones.
  private func forEachGroup(_ body: ([Chunk]) throws -> Void) throws {
    failure = nil
    do { try visitGroups(body) } catch {
      guard communicator.size > 1 else { throw error }
      failure = error
    }
  }

  private func visitGroups(_ body: ([Chunk]) throws -> Void) throws {
    let own = plan.chunks(rank: communicator.rank)
    for first in stride(from: own.lowerBound, to: own.upperBound, by: shape.shards) {
      let chunks = try (0..<shape.shards).map { place in
        let base = pixels.base + place * shape.shardCapacity * shape.imageCount
        guard first + place < own.upperBound else {
          return Chunk(
            index: first, images: ShardImages(pixels: UnsafePointer(base), count: 0), labels: [])
        }
        let samples = plan.samples(chunk: first + place)
        let labels = try reader.read(samples, epoch: 0, into: base)
        return Chunk(
          index: first + place,
          images: ShardImages(pixels: UnsafePointer(base), count: samples.count), labels: labels)
      }
      try body(chunks)
    }
  }
}

/// Losses of every chunk and hits of all, to be summed over ranks.
private struct ChunkSums {
  private var values: [Double]
  private let chunks: Int

  init(chunks: Int) {
    self.chunks = chunks
    values = [Double](repeating: 0, count: chunks + 2)
  }

  mutating func add(_ totals: Loss.Totals, chunk: Int) {
    values[chunk] = totals.loss
    values[chunks] += totals.top1
    values[chunks + 1] += totals.top5
  }

  /// Each chunk's loss is zero on all ranks but one and hits are whole numbers, so that the sums
  /// over ranks are exact; chunks are then added up in their order.
  consuming func result(
    over communicator: any Communicator, count: Int
  ) throws -> Evaluation.Result {
    try values.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    let loss = values[..<chunks].reduce(0, +)
    return Evaluation.Result(
      count: count, top1: values[chunks] / Double(count), top5: values[chunks + 1] / Double(count),
      loss: loss / Double(count))
  }
}

/// How far the logits of two networks are apart.
private struct LogitTally {
  private var agreement = 0
  private var largestDifference: Float = 0
  private var largestLogit: Float = 0

  mutating func add(
    _ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>, images: Int, classes: Int
  ) {
    for image in 0..<images {
      let (left, right) = (first + image * classes, second + image * classes)
      var (bestLeft, bestRight) = (0, 0)
      for index in 0..<classes {
        let difference = abs(left[index] - right[index])
        // A NaN must not hide behind a comparison that is false.
        largestDifference =
          difference.isNaN ? .infinity : max(largestDifference, difference)
        largestLogit = max(largestLogit, abs(left[index]))
        if left[index] > left[bestLeft] { bestLeft = index }
        if right[index] > right[bestRight] { bestRight = index }
      }
      agreement += bestLeft == bestRight ? 1 : 0
    }
  }

  /// Bit patterns of non-negative floats are ordered like the floats.
  func result(
    over communicator: any Communicator, count: Int
  ) throws -> Evaluation.Comparison {
    var maxima = [Int64(largestDifference.bitPattern), Int64(largestLogit.bitPattern)]
    try maxima.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    var hits = [Double(agreement)]
    try hits.withUnsafeMutableBufferPointer { try communicator.sum($0) }
    return Evaluation.Comparison(
      count: count, agreement: Int(hits[0]),
      largestDifference: Double(Float(bitPattern: UInt32(truncatingIfNeeded: maxima[0]))),
      largestLogit: Double(Float(bitPattern: UInt32(truncatingIfNeeded: maxima[1]))))
  }
}
