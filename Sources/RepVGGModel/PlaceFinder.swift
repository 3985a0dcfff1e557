import Kernels
import RunPlanning
import Tensors

/// The classifier's places in the arenas.
struct LinearPlaces {
  var weight: UnsafeMutablePointer<Float>
  var bias: UnsafeMutablePointer<Float>
  var weightGradient: UnsafeMutablePointer<Float>
  var biasGradient: UnsafeMutablePointer<Float>
  var gradientsEnd: Int
}

/// Turns published names into places in a network's arenas, once, when the network is made.
struct PlaceFinder {
  private let places: [String: ArenaLayout.Place]
  private let parameters: Arena
  private let gradients: Arena
  private let statistics: Arena
  private let statisticsPlaces: [String: Slot]

  init(
    layout: ArenaLayout, parameters: Arena, gradients: Arena, statistics: Arena,
    statisticsPlaces: [String: Slot]
  ) {
    places = Dictionary(uniqueKeysWithValues: layout.places.map { ($0.entry.name, $0) })
    self.parameters = parameters
    self.gradients = gradients
    self.statistics = statistics
    self.statisticsPlaces = statisticsPlaces
  }

  func block(_ block: BlockShape) -> BlockParameters {
    let denseWeight = "\(block.key).rbr_dense.conv.weight"
    let pointwiseWeight = "\(block.key).rbr_1x1.conv.weight"
    let prefixes = Branches(
      dense: "\(block.key).rbr_dense.bn", pointwise: "\(block.key).rbr_1x1.bn",
      identity: block.hasIdentity ? "\(block.key).rbr_identity" : nil)
    let norms = prefixes.map { norm(parameters, $0) }
    let squeeze = SqueezeParts<String>(of: block)
    // In the order of the weight region, which is the reverse of the table's.
    let names = [pointwiseWeight, denseWeight] + (squeeze?.inOrder.reversed() ?? [])
    let weights = names.map(place)
    for (name, next) in zip(names, weights.dropFirst()) {
      precondition(end(name) == next.offset, "a block's weights lie side by side")
    }
    let first = weights[0].offset
    return BlockParameters(
      denseWeight: pointer(parameters, denseWeight),
      pointwiseWeight: pointer(parameters, pointwiseWeight),
      squeezeWeights: squeeze?.map { UnsafePointer(pointer(parameters, $0)) },
      pointwiseGradient: pointer(gradients, pointwiseWeight),
      denseGradientOffset: weights[1].offset - first,
      squeezeGradientOffsets: squeeze?.map { place($0).offset - first },
      gradientCount: weights[weights.count - 1].range.upperBound - first,
      gradientPaddings: zip(weights, weights.dropFirst()).map {
        $0.range.upperBound - first..<$1.offset - first
      }, norms: norms, normGradients: prefixes.map { norm(gradients, $0) },
      running: prefixes.map {
        BlockParameters.Running(
          mean: statistic("\($0).running_mean"), variance: statistic("\($0).running_var"))
      },
      gradientsEnd: end(names[names.count - 1]),
      scales: norms.map { (UnsafePointer($0.scale), UnsafePointer($0.shift)) })
  }

  func linear() -> LinearPlaces {
    LinearPlaces(
      weight: pointer(parameters, "linear.weight"), bias: pointer(parameters, "linear.bias"),
      weightGradient: pointer(gradients, "linear.weight"),
      biasGradient: pointer(gradients, "linear.bias"), gradientsEnd: end("linear.weight"))
  }

  private func norm(_ arena: Arena, _ prefix: String) -> BlockParameters.Norm {
    BlockParameters.Norm(
      scale: pointer(arena, "\(prefix).weight"), shift: pointer(arena, "\(prefix).bias"))
  }

  private func pointer(_ arena: Arena, _ name: String) -> UnsafeMutablePointer<Float> {
    arena.base + place(name).offset
  }

  /// Where the next tensor begins: buckets end there, padding included.
  private func end(_ name: String) -> Int {
    let alignment = ArenaLayout.alignment
    return (place(name).range.upperBound + alignment - 1) / alignment * alignment
  }

  private func place(_ name: String) -> ArenaLayout.Place {
    guard let place = places[name] else { fatalError("no parameter \(name) in the layout") }
    return place
  }

  private func statistic(_ name: String) -> UnsafeMutablePointer<Float> {
    guard let slot = statisticsPlaces[name] else { fatalError("no statistic \(name)") }
    return statistics.base + slot.offset
  }
}

extension Branches {
  /// Every branch's value transformed.
  func map<Other>(_ transform: (Value) -> Other) -> Branches<Other> {
    Branches<Other>(
      dense: transform(dense), pointwise: transform(pointwise), identity: identity.map(transform))
  }
}
