import Testing

@testable import Images

/// Every pixel as torchvision's transforms of PIL images give it: no value may differ.
@Suite struct OperationGoldenTests {
  @Test func resizing() throws {
    let resampler = Resampler()
    try check("resize", atLeast: 150) { golden, image, target in
      let numbers = golden.numbers
      let region = PixelRegion(
        top: numbers[0], left: numbers[1], height: numbers[2], width: numbers[3])
      resampler.resize(
        image, region: region, height: numbers[4], width: numbers[5], flipped: numbers[6] == 1,
        into: target)
    }
  }

  /// The window of a resize is that part of the whole.
  @Test func resizingToAWindow() throws {
    let resampler = Resampler()
    let (whole, part) = (PixelBuffer(), PixelBuffer())
    for golden in try GoldenCase.all(["resize"]) {
      let (image, numbers) = (try golden.image(), golden.numbers)
      let (height, width) = (numbers[4], numbers[5])
      resampler.resize(image, height: height, width: width, into: whole)
      let window = PixelRegion(
        top: height / 3, left: width / 4, height: (height + 2) / 3, width: (width + 1) / 2)
      resampler.resize(image, height: height, width: width, window: window, into: part)
      for row in 0..<window.height {
        let expected = whole.base + ((window.top + row) * width + window.left) * whole.channels
        let found = part.base + row * part.stride
        let isEqual = (0..<part.stride).allSatisfy { expected[$0] == found[$0] }
        #expect(isEqual, "\(golden): row \(row) of the window \(window)")
      }
    }
  }

  @Test func shorterSideAndCentre() throws {
    let resampler = Resampler()
    try check("shorter", "centre", "flip", atLeast: 200) { golden, image, target in
      let numbers = golden.numbers
      switch golden.words[0] {
      case "shorter":
        resampler.resizeShorterSide(
          image, to: numbers[0], croppingCentreTo: numbers[1], numbers[2], into: target)
      case "centre": cropCentre(image, height: numbers[0], width: numbers[1], into: target)
      default:
        cropCentre(image, height: image.height, width: image.width, into: target)
        target.flipHorizontally()
      }
    }
  }

  @Test func operations() throws {
    try checkInPlace("operation", "rotate", "shearX", "shearY", atLeast: 4000) {
      golden, image, scratch in
      let operation = try operation(golden, height: image.height, width: image.width)
      operation.apply(to: &image, scratch: &scratch)
    }
  }

  @Test func policies() throws {
    let policies: [String: AugmentationPolicy] = [
      "auto-imagenet": .imageNet, "auto-cifar10": .cifar10, "auto-svhn": .svhn,
      "rand-2-9-31": .randAugment(),
      "rand-3-5-11": .randAugment(operations: 3, magnitude: 5, bins: 11),
      "wide-31": .trivialAugmentWide(), "wide-7": .trivialAugmentWide(bins: 7),
    ]
    try checkInPlace("policy", atLeast: 400) { golden, image, scratch in
      let policy = try #require(policies[golden.words[1]])
      var stream = GoldenStream(seed: golden.numbers[0])
      policy.apply(to: &image, scratch: &scratch, using: &stream)
    }
  }

  @Test func tablesOfAutoAugment() throws {
    let policies: [String: AugmentationPolicy] = [
      "imagenet": .imageNet, "cifar10": .cifar10, "svhn": .svhn,
    ]
    let cases = try GoldenCase.all(["table"])
    #expect(cases.count == policies.values.reduce(0) { $0 + $1.subPolicies.count })
    for golden in cases {
      let subPolicies = try #require(policies[golden.words[1]]).subPolicies
      let steps = [subPolicies[golden.numbers[0]].first, subPolicies[golden.numbers[0]].second]
      let found = steps.map { "\($0.kind) \($0.probability) \($0.index)" }.joined(separator: " ")
      #expect(found.lowercased() == golden.fields[0].lowercased(), "\(golden)")
    }
  }

  @Test func regionsOfRandomResizedCrop() throws {
    let cases = try GoldenCase.all(["region"])
    #expect(cases.count > 200)
    for golden in cases {
      let values = golden.words.dropFirst().compactMap(Double.init)
      let crop = RandomResizedCrop(scale: values[2]...values[3], ratio: values[4]...values[5])
      var stream = GoldenStream(seed: Int(values[6]))
      let region = crop.region(height: Int(values[0]), width: Int(values[1]), using: &stream)
      let found = "\(region.top) \(region.left) \(region.height) \(region.width)"
      #expect(found == golden.fields[0], "\(golden)")
      #expect(region.isInside(height: Int(values[0]), width: Int(values[1])), "\(golden)")
    }
  }

  @Test func magnitudesAreThoseOfLinspace() throws {
    let cases = try GoldenCase.all(["linspace"])
    #expect(cases.count > 50)
    for golden in cases {
      let values = golden.words.dropFirst().compactMap(Double.init)
      let count = Int(values[2])
      let bits = (0..<count).map { index in
        AugmentationSpace.element(
          index, of: count, from: Float(values[0]), to: Float(values[1])
        ).bitPattern
      }
      let expected = golden.fields[0].split(separator: " ").map { UInt32($0, radix: 16) }
      #expect(bits == expected, "\(golden)")
    }
  }

  // MARK: - Cases

  private func operation(
    _ golden: GoldenCase, height: Int, width: Int
  ) throws -> ImageOperation {
    let words = golden.words
    switch words[0] {
    case "rotate": return .rotate(try #require(Double(words[1])))
    case "shearX": return .shearX(try #require(Double(words[1])))
    case "shearY": return .shearY(try #require(Double(words[1])))
    default:
      let spaces = [
        "auto": AugmentationSpace(bins: 10), "rand": AugmentationSpace(bins: 31),
        "wide": AugmentationSpace(bins: 31, isWide: true),
      ]
      let kind = AugmentationKind.allCases.first { "\($0)".lowercased() == words[2].lowercased() }
      return try #require(spaces[words[1]]).operation(
        try #require(kind), index: golden.numbers[0], isNegative: golden.numbers[1] < 0,
        height: height, width: width)
    }
  }

  /// Checks what `body` writes into its last argument.
  private func check(
    _ names: String..., atLeast count: Int,
    _ body: (GoldenCase, PixelBuffer, PixelBuffer) throws -> Void
  ) throws {
    let target = PixelBuffer()
    try checkInPlace(GoldenCase.all(names), atLeast: count) { golden, image, _ in
      try body(golden, image, target)
      image = target
    }
  }

  /// Checks what `body` makes of its second argument.
  private func checkInPlace(
    _ names: String..., atLeast count: Int,
    _ body: (GoldenCase, inout PixelBuffer, inout PixelBuffer) throws -> Void
  ) throws {
    try checkInPlace(GoldenCase.all(names), atLeast: count, body)
  }

  private func checkInPlace(
    _ cases: [GoldenCase], atLeast count: Int,
    _ body: (GoldenCase, inout PixelBuffer, inout PixelBuffer) throws -> Void
  ) throws {
    #expect(cases.count >= count, "\(GoldenCase.path) is not whole")
    var scratch = PixelBuffer()
    var images: [String: PixelBuffer] = [:]
    for golden in cases {
      let original = try images[golden.fields[0]] ?? golden.image()
      images[golden.fields[0]] = original
      var image = PixelBuffer()
      cropCentre(original, height: original.height, width: original.width, into: image)
      try body(golden, &image, &scratch)
      if let difference = golden.difference(from: image) { Issue.record("\(difference)") }
    }
  }
}
