/// Which operations an image meets: a policy as data, drawn from for every image.
package struct AugmentationPolicy: Sendable, Equatable {
  /// An operation of a sub-policy, applied with a probability.
  struct Step: Sendable, Equatable {
    var kind: AugmentationKind
    var probability: Double
    /// Index of its magnitude; 0 where it has none.
    var index: Int
  }

  struct SubPolicy: Sendable, Equatable {
    var first: Step
    var second: Step
  }

  private enum Rule: Sendable, Equatable {
    /// One of these pairs of steps, at random.
    case subPolicies([SubPolicy])
    /// So many operations at random, all of one magnitude.
    case operations(Int, index: Int)
    /// One operation at random, of a random magnitude.
    case single
  }

  private var rule: Rule
  private var space: AugmentationSpace

  /// AutoAugment's sub-policies; none for others.
  var subPolicies: [SubPolicy] {
    if case .subPolicies(let subPolicies) = rule { subPolicies } else { [] }
  }

  private init(_ rule: Rule, _ space: AugmentationSpace) {
    (self.rule, self.space) = (rule, space)
  }

  /// Sub-policies found by search, ten magnitudes each (torchvision's `AutoAugment`).
  ///
  /// Source: Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2019
  /// (arXiv:1805.09501).
  static func autoAugment(_ steps: [(Step, Step)]) -> AugmentationPolicy {
    AugmentationPolicy(
      .subPolicies(steps.map { SubPolicy(first: $0, second: $1) }), AugmentationSpace(bins: 10))
  }

  /// `operations` at random, one after the other, all of magnitude `magnitude` of `0..<bins`
  /// (torchvision's `RandAugment`).
  ///
  /// Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search
  /// Space", 2020 (arXiv:1909.13719).
  package static func randAugment(
    operations: Int = 2, magnitude: Int = 9, bins: Int = 31
  ) -> AugmentationPolicy {
    precondition(operations >= 0 && bins >= 2 && (0..<bins).contains(magnitude))
    return AugmentationPolicy(
      .operations(operations, index: magnitude), AugmentationSpace(bins: bins))
  }

  /// One operation at random, of a random magnitude (torchvision's `TrivialAugmentWide`).
  ///
  /// Source: Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data
  /// Augmentation", 2021 (arXiv:2103.10158).
  package static func trivialAugmentWide(bins: Int = 31) -> AugmentationPolicy {
    precondition(bins >= 2)
    return AugmentationPolicy(.single, AugmentationSpace(bins: bins, isWide: true))
  }

  /// Draws operations for one image and replaces it by what they make of it.
  ///
  /// `scratch` is another buffer of any size; the two may come back exchanged.
  package func apply(
    to image: inout PixelBuffer, scratch: inout PixelBuffer,
    using random: inout some RandomNumbers
  ) {
    draw(height: image.height, width: image.width, using: &random) { operation in
      operation.apply(to: &image, scratch: &scratch)
    }
  }

  /// Draws the operations for an image of `height` x `width` pixels, in their order.
  package func draw(
    height: Int, width: Int, using random: inout some RandomNumbers,
    _ body: (ImageOperation) -> Void
  ) {
    func operation(_ kind: AugmentationKind, _ index: Int, _ isNegative: Bool) {
      body(
        space.operation(kind, index: index, isNegative: isNegative, height: height, width: width))
    }
    switch rule {
    case .subPolicies(let subPolicies):
      // Always five numbers, whatever they decide.
      let chosen = subPolicies[random.next(below: subPolicies.count)]
      let chances = (random.uniformDouble(), random.uniformDouble())
      let negative = (random.next(below: 2) == 0, random.next(below: 2) == 0)
      if chances.0 <= chosen.first.probability {
        operation(chosen.first.kind, chosen.first.index, negative.0)
      }
      if chances.1 <= chosen.second.probability {
        operation(chosen.second.kind, chosen.second.index, negative.1)
      }
    case .operations(let count, let index):
      for _ in 0..<count {
        let kind = AugmentationKind.choices[random.next(below: AugmentationKind.choices.count)]
        operation(kind, index, kind.isSigned && random.next(below: 2) == 1)
      }
    case .single:
      let kind = AugmentationKind.choices[random.next(below: AugmentationKind.choices.count)]
      let index = kind.hasMagnitude ? random.next(below: space.bins) : 0
      operation(kind, index, kind.isSigned && random.next(below: 2) == 1)
    }
  }
}
