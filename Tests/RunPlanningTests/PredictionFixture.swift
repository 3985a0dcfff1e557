import Foundation

@testable import RunPlanning

/// Curves by formula, so that every prediction can be worked out beside the program.
enum PredictionFixture {
  /// Five blocks on images of 28 x 28, on two cores.
  static let text = Sample.small

  /// Seconds of a multiply-accumulate, and of a weight whatever the images.
  static let (perMAC, perWeight) = (1e-9, 1e-8)
  static let (head, update) = (0.002, 0.003)

  static func weights(_ block: BlockShape) -> Double {
    10 * Double(block.outputChannels) * Double(block.inputChannels) / Double(block.groups)
  }

  static func forward(_ block: BlockShape, images: Double) -> Double {
    weights(block) * (perWeight + images * Double(block.outputPixels) * perMAC)
  }

  static func blocks(_ set: [String] = []) throws -> [BlockShape] {
    try Sample.plan(text, set: set).blocks
  }

  /// Steps of one and of four shards of four images, by so many ranks at once, backward twice as long as
  /// forward; ranks without a core of their own wait their turn.
  static func curves(
    ranks: [Int] = [1, 2], cores: Int = 2, sums: [MachineCurves.Sum] = sums
  ) throws -> MachineCurves {
    var curves = MachineCurves(
      machine: .init(
        name: "here", cpu: "Test CPU", cores: cores, memoryBytes: 1 << 40, instructionSets: ["fma"],
        panelWidth: 16, programVersion: "0.1.0"))
    let plan = try Sample.plan(text)
    for count in ranks {
      let slow = max(1, Double(count) / Double(cores))
      for shards in [1, 4] {
        let images = Double(4 * shards)
        curves.add(
          MachineCurves.Step(
            model: "custom", classes: 10, parameters: plan.layout.count, ranks: count, threads: 1,
            shards: shards, shardImages: 4,
            blocks: plan.blocks.map {
              let seconds = slow * forward($0, images: images)
              return .init(shape: $0, forward: seconds, backward: 2 * seconds)
            }, head: slow * head * images, update: slow * update))
      }
    }
    for sum in sums { curves.add(sum) }
    return curves
  }

  /// 1 ms and 1 ns a byte over two ranks, twice that over four.
  static let sums = [1, 2].flatMap { step in
    RunPlan.Message.ElementType.both.flatMap { type in
      [1000, 2000, 1_000_000].map { bytes in
        MachineCurves.Sum(
          ranks: 1 << step, type: type, bytes: bytes,
          seconds: Double(step) * (1e-3 + 1e-9 * Double(bytes)))
      }
    }
  }

  /// Work of a rank with so many shards of four images.
  static func work(_ plan: RunPlan, shards: Double) -> Double {
    let images = 4 * shards
    return plan.blocks.reduce(update + head * images) { $0 + 3 * forward($1, images: images) }
  }

  static func predict(
    _ ranks: Int, set: [String] = [], curves: MachineCurves? = nil, perHost: Int? = nil,
    cores: Int? = nil, threads: Int = 1, network: NetworkSpeed? = nil, price: Double? = nil
  ) throws -> RunPrediction {
    let curves = try curves ?? self.curves()
    let plan = try Sample.plan(text, set: set, ranks: ranks, threads: threads)
    return try RunPrediction(
      plan, curves: curves,
      cluster: .init(
        curves: curves, threads: threads, ranksPerHost: perHost, coresPerHost: cores,
        network: network, price: price))
  }

  static let instant = NetworkSpeed(bytesPerSecond: .infinity, latency: 0)
}

extension RunPlan.Message.ElementType {
  static let both: [Self] = [.float64, .float32]
}
