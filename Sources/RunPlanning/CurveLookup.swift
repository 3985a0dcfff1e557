import Foundation

/// Seconds of a part of a rank's own work in a step: what does not depend on the images, such as
/// transforming weights, and what they cost.
struct WorkTime: Sendable, Equatable {
  var fixed = 0.0
  var images = 0.0

  var seconds: Double { fixed + images }

  static func + (a: WorkTime, b: WorkTime) -> WorkTime {
    WorkTime(fixed: a.fixed + b.fixed, images: a.images + b.images)
  }

  static func * (a: WorkTime, factor: Double) -> WorkTime {
    WorkTime(fixed: a.fixed * factor, images: a.images * factor)
  }
}

/// A rank's own work in a step.
struct RankWork: Sendable, Equatable {
  /// In forward order.
  var forward: [WorkTime]
  var backward: [WorkTime]
  /// The classifier with the loss, and what follows the backward pass.
  var head: WorkTime
  var update: WorkTime

  static func + (a: RankWork, b: RankWork) -> RankWork {
    RankWork(
      forward: zip(a.forward, b.forward).map { $0 + $1 },
      backward: zip(a.backward, b.backward).map { $0 + $1 }, head: a.head + b.head,
      update: a.update + b.update)
  }

  static func * (a: RankWork, factor: Double) -> RankWork {
    RankWork(
      forward: a.forward.map { $0 * factor }, backward: a.backward.map { $0 * factor },
      head: a.head * factor, update: a.update * factor)
  }
}

/// The work of a rank, read off the curves.
///
/// Over shards and images: t = fixed + shards · v(images of a shard), v linear between measured sizes
/// and through nothing at none. Over ranks that compute at once: linear between those measured; beyond
/// them a core's time is shared once there are more threads than cores. A block that was not measured
/// is taken for the one nearest in shape, by multiply-accumulates.
struct CurveLookup {
  /// The network and a rank's part of the batch.
  struct Question {
    var blocks: [BlockShape]
    var classes: Int
    /// Elements of the parameter arena.
    var parameters: Int
    /// Means over ranks need not be whole.
    var shards: Double
    var shardImages: Double
    var threads: Int
    /// Ranks for each core, times the cores of the machine that was measured.
    var ranks: Double
  }

  private let curves: MachineCurves
  private let question: Question
  /// Measured threads of a rank nearest to those that are asked for.
  private let threads: Int

  /// Nil where no step was measured.
  init?(_ curves: MachineCurves, _ question: Question) {
    let target = log2(Double(question.threads))
    let nearest = Set(curves.steps.map(\.threads)).min {
      let (a, b) = (abs(log2(Double($0)) - target), abs(log2(Double($1)) - target))
      return a != b ? a < b : $0 < $1
    }
    guard let nearest else { return nil }
    (self.curves, self.question, threads) = (curves, question, nearest)
  }

  /// Whether the threads asked for were measured; else they are taken to share the work evenly.
  var hasThreads: Bool { threads == question.threads }

  /// Blocks whose shape no step has.
  var estimatedBlocks: Int {
    question.blocks.count { block in
      !curves.steps.contains { $0.blocks.contains { $0.shape.isComputed(as: block) } }
    }
  }

  /// Share of the work that is lost where `units` ranks, each with cores of its own, meet in every block
  /// and wait for the slowest. From the most ranks that were measured with cores of their own, by the
  /// expected largest of so many normal values, which is about log₂(n) to the power of 0.76.
  func waiting(units: Int) -> Double {
    let steps = curves.steps.filter {
      $0.threads == threads && $0.ranks > 1 && $0.ranks * threads <= curves.machine.cores
        && $0.waiting != nil && $0.seconds > 0
    }
    guard units > 1, let most = steps.map(\.ranks).max() else { return 0 }
    let shares = steps.filter { $0.ranks == most }.map { ($0.waiting ?? 0) / $0.seconds }
    let share = shares.reduce(0, +) / Double(shares.count)
    return share * pow(log2(Double(units)) / log2(Double(most)), 0.76)
  }

  var work: RankWork {
    let steps = curves.steps.filter { $0.threads == threads }
    let measured = Set(steps.map(\.ranks)).sorted()
    func work(_ ranks: Int) -> RankWork { self.work(steps.filter { $0.ranks == ranks }) }
    let busy = question.ranks * Double(question.threads)
    let points = measured.map { Double($0 * threads) }
    let result: RankWork
    if let above = points.firstIndex(where: { $0 >= busy }) {
      if above == 0 {
        result = work(measured[0])
      } else {
        let share = (busy - points[above - 1]) / (points[above] - points[above - 1])
        result = work(measured[above - 1]) * (1 - share) + work(measured[above]) * share
      }
    } else {
      let (last, cores) = (points[points.count - 1], Double(curves.machine.cores))
      result = work(measured[measured.count - 1]) * (max(busy, cores) / max(last, cores))
    }
    return result * (Double(threads) / Double(question.threads))
  }

  private func work(_ steps: [MachineCurves.Step]) -> RankWork {
    let places = question.blocks.map { block in source(of: block, in: steps) }
    func times(_ pass: KeyPath<MachineCurves.Block, Double>) -> [WorkTime] {
      zip(question.blocks, places).map { block, shape in
        let points = steps.compactMap { step -> CurvePoint? in
          let same = step.blocks.filter { $0.shape.isComputed(as: shape) }
          guard !same.isEmpty else { return nil }
          return CurvePoint(
            step, same.reduce(0) { $0 + $1[keyPath: pass] } / Double(same.count))
        }
        let time = fit(points)
        return WorkTime(
          fixed: time.fixed * (block.weights / shape.weights),
          images: time.images * (block.work / shape.work))
      }
    }
    let features = question.blocks.last?.outputChannels ?? 1
    let classifier = Double(question.classes) * Double(features)
    let head = fit(
      steps.map { step in
        let own = Double(step.classes) * Double(step.blocks.last?.shape.outputChannels ?? 1)
        return CurvePoint(step, step.head * classifier / own)
      })
    let parameters = Double(question.parameters)
    let nearest = steps.map { abs(log2(Double($0.parameters) / parameters)) }.min() ?? 0
    let same = steps.filter { abs(log2(Double($0.parameters) / parameters)) == nearest }
    let update = same.reduce(0) { $0 + $1.update * parameters / Double($1.parameters) }
    return RankWork(
      forward: times(\.forward), backward: times(\.backward), head: head,
      update: WorkTime(fixed: update / Double(max(1, same.count))))
  }

  /// The measured shape that a block is taken for.
  private func source(of block: BlockShape, in steps: [MachineCurves.Step]) -> BlockShape {
    let shapes = steps.flatMap { $0.blocks.map(\.shape) }
    if let same = shapes.first(where: { $0.isComputed(as: block) }) { return same }
    let panels = curves.machine.panelWidth
    let path = KernelPlan(block, images: 1, panelWidth: panels).path
    let alike = shapes.filter { KernelPlan($0, images: 1, panelWidth: panels).path == path }
    return (alike.isEmpty ? shapes : alike).min {
      $0.distance(to: block) < $1.distance(to: block)
    } ?? block
  }

  /// A line over shards for each size of a shard, and between sizes.
  private func fit(_ points: [CurvePoint]) -> WorkTime {
    let sizes = Dictionary(grouping: points) { $0.shardImages }.sorted { $0.key < $1.key }
    let lines = sizes.map(\.value).compactMap(CurvePoint.line)
    let least = points.map(\.seconds).min() ?? 0
    let mean = lines.isEmpty ? 0 : lines.reduce(0, +) / Double(lines.count)
    let fixed = max(0, min(mean, least))
    let shard = sizes.map { size, members in
      let sum = members.reduce(0) { $0 + ($1.seconds - fixed) / $1.shards }
      return (size: size, seconds: sum / Double(members.count))
    }
    return WorkTime(fixed: fixed, images: question.shards * perShard(shard))
  }

  private func perShard(_ curve: [(size: Double, seconds: Double)]) -> Double {
    let size = question.shardImages
    guard let last = curve.last else { return 0 }
    var (low, below) = (0.0, 0.0)
    for point in curve {
      if size <= point.size {
        return below + (point.seconds - below) * (size - low) / (point.size - low)
      }
      (low, below) = (point.size, point.seconds)
    }
    return last.seconds * size / last.size
  }
}

private struct CurvePoint {
  var shards: Double
  var shardImages: Double
  var seconds: Double

  init(_ step: MachineCurves.Step, _ seconds: Double) {
    (shards, shardImages) = (Double(step.shards), Double(step.shardImages))
    self.seconds = seconds
  }

  /// Where the line of least squares over shards meets none; nil without two different numbers of them.
  static func line(_ points: [CurvePoint]) -> Double? {
    let count = Double(points.count)
    let x = points.reduce(0) { $0 + $1.shards } / count
    let y = points.reduce(0) { $0 + $1.seconds } / count
    let spread = points.reduce(0) { $0 + ($1.shards - x) * ($1.shards - x) }
    guard spread > 0 else { return nil }
    let slope = points.reduce(0) { $0 + ($1.shards - x) * ($1.seconds - y) } / spread
    return y - slope * x
  }
}

extension BlockShape {
  /// Whether both are the same computation, wherever they stand in a network.
  fileprivate func isComputed(as other: BlockShape) -> Bool {
    (inputChannels, outputChannels, stride, groups, squeezeChannels) == (
      other.inputChannels, other.outputChannels, other.stride, other.groups, other.squeezeChannels
    ) && (inputHeight, inputWidth) == (other.inputHeight, other.inputWidth)
  }

  /// Values of the kernels.
  fileprivate var weights: Double {
    10 * Double(outputChannels) * Double(inputChannels) / Double(groups)
  }

  /// Multiply-accumulates of an image.
  fileprivate var work: Double { weights * Double(outputHeight) * Double(outputWidth) }

  fileprivate func distance(to other: BlockShape) -> Double {
    func apart(_ a: Int, _ b: Int) -> Double { abs(log2(Double(a) / Double(b))) }
    return apart(inputChannels, other.inputChannels) + apart(outputChannels, other.outputChannels)
      + apart(outputHeight, other.outputHeight) + 2 * apart(groups, other.groups)
      + 2 * apart(stride, other.stride)
      + (hasIdentity == other.hasIdentity ? 0 : 0.5)
      + ((squeezeChannels > 0) == (other.squeezeChannels > 0) ? 0 : 0.5)
  }
}
