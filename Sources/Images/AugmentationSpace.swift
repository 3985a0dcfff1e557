/// The operations of torchvision's policies by name.
package enum AugmentationKind: Sendable, CaseIterable {
  // In the order in which RandAugment and TrivialAugment number them; `invert` is AutoAugment's.
  case identity, shearX, shearY, translateX, translateY, rotate, brightness, color, contrast
  case sharpness, posterize, solarize, autoContrast, equalize, invert

  /// Whether its magnitude may be negated.
  var isSigned: Bool {
    switch self {
    case .shearX, .shearY, .translateX, .translateY, .rotate, .brightness, .color, .contrast,
      .sharpness:
      true
    default: false
    }
  }

  var hasMagnitude: Bool { isSigned || self == .posterize || self == .solarize }

  /// What RandAugment and TrivialAugment choose from.
  static let choices = allCases.filter { $0 != .invert }
}

/// How strong the operations of a policy can be: magnitudes by index, 0 the weakest, as torchvision
/// computes them in Float32.
struct AugmentationSpace: Sendable, Equatable {
  /// Magnitudes of each operation, at least 2.
  var bins: Int
  /// TrivialAugment's ranges instead of those of AutoAugment and RandAugment.
  var isWide = false

  /// An operation for an image of `height` x `width` pixels; `index` is in `0..<bins`.
  func operation(
    _ kind: AugmentationKind, index: Int, isNegative: Bool, height: Int, width: Int
  ) -> ImageOperation {
    func magnitude(upTo end: Double) -> Double {
      let value = Double(Self.element(index, of: bins, from: 0, to: Float(end)))
      return isNegative ? -value : value
    }
    func pixels(of side: Int) -> Int {
      Int(magnitude(upTo: isWide ? 32 : 150.0 / 331.0 * Double(side)))
    }
    let slope = isWide ? 0.99 : 0.3
    let strength = isWide ? 0.99 : 0.9
    return switch kind {
    case .identity: .identity
    case .shearX: .shearX(magnitude(upTo: slope))
    case .shearY: .shearY(magnitude(upTo: slope))
    case .translateX: .translateX(pixels(of: width))
    case .translateY: .translateY(pixels(of: height))
    case .rotate: .rotate(magnitude(upTo: isWide ? 135 : 30))
    case .brightness: .brightness(1 + magnitude(upTo: strength))
    case .color: .color(1 + magnitude(upTo: strength))
    case .contrast: .contrast(1 + magnitude(upTo: strength))
    case .sharpness: .sharpness(1 + magnitude(upTo: strength))
    case .posterize: .posterize(bits(index))
    case .solarize: .solarize(Double(Self.element(index, of: bins, from: 255, to: 0)))
    case .autoContrast: .autoContrast
    case .equalize: .equalize
    case .invert: .invert
    }
  }

  /// 8 less up to 4 or 6 bits.
  private func bits(_ index: Int) -> Int {
    let stepsPerBit = Float(Double(bins - 1) / (isWide ? 6 : 4))
    return 8 - Int((Float(index) / stepsPerBit).rounded(.toNearestOrEven))
  }

  /// An element of `torch.linspace(start, end, count)` in Float32: counted from the nearer end, with
  /// one rounding, as PyTorch computes it on CPUs with fused multiply-add.
  static func element(_ index: Int, of count: Int, from start: Float, to end: Float) -> Float {
    let step = (end - start) / Float(count - 1)
    return index < count / 2
      ? start.addingProduct(step, Float(index))
      : end.addingProduct(-step, Float(count - 1 - index))
  }
}
