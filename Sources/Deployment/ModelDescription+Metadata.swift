import Foundation
import RunPlanning

extension ModelDescription {
  /// What a file of these weights says of itself; the initialiser reads it back.
  ///
  /// `network` holds the architecture spelled out as compact JSON with sorted keys, whatever its name:
  /// tensors alone tell nothing of strides.
  package var metadata: [String: String] {
    var metadata = [
      "architecture": architecture.name, "network": Self.spelling(architecture),
      "input": "\(channels)x\(height)x\(width)", "mean": "\(mean)",
      "standard_deviation": "\(standardDeviation)", "evaluation_side": "\(evaluationSide)",
    ]
    if let name { metadata["name"] = name }
    return metadata
  }

  private static func spelling(_ network: Architecture) -> String {
    func list(_ numbers: [Int]) -> String {
      "[\(numbers.map(String.init).joined(separator: ","))]"
    }
    let groups = network.groups.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
    let members = [
      "\"depths\":\(list(network.depths))",
      "\"groups\":{\(groups.joined(separator: ","))}",
      "\"squeeze_excitation\":\(network.squeezeExcitation)",
      "\"stem\":\(network.stemWidth)",
      "\"stem_stride\":\(network.stemStride)",
      "\"strides\":\(list(network.strides))",
      "\"widths\":\(list(network.widths))",
    ]
    return "{\(members.joined(separator: ","))}"
  }
}

/// The text beside a file's tensors, which may be anybody's.
struct FileMetadata {
  let values: [String: String]
  private let source: String

  /// Longest list or object that is read.
  private static let longestText = 1 << 16
  private static let largestSide = 1 << 16

  init(_ values: [String: String], source: String) {
    self.values = values
    self.source = source
  }

  /// `input`, as in 3x224x224; nil where the file does not say.
  func input() throws(DeploymentError) -> (channels: Int, height: Int, width: Int)? {
    guard let text = values["input"] else { return nil }
    let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard parts.count == 3, (1...Architecture.largestWidth).contains(parts[0]),
      parts.dropFirst().allSatisfy({ (1...Self.largestSide).contains($0) })
    else { throw refusal("input", "expected channels, height and width as in 3x224x224") }
    return (parts[0], parts[1], parts[2])
  }

  /// `evaluation_side`; nil where the file does not say.
  func side() throws(DeploymentError) -> Int? {
    guard let text = values["evaluation_side"] else { return nil }
    guard let side = Int(text), (1...Self.largestSide).contains(side) else {
      throw refusal("evaluation_side", "expected pixels of an image's side")
    }
    return side
  }

  /// A list of `count` finite numbers above `bound`; nil where the file does not say.
  func numbers(
    _ key: String, count: Int, above bound: Double = -.infinity
  ) throws(DeploymentError) -> [Double]? {
    guard let numbers: [Double] = try decoded(key) else { return nil }
    guard numbers.count == count, numbers.allSatisfy({ $0 > bound && $0.isFinite }) else {
      throw refusal(key, "expected a number for each of \(count) channels")
    }
    return numbers
  }

  /// `network`, called as `architecture` says; nil where the file does not spell it out.
  func architecture(channels: Int) throws(DeploymentError) -> Architecture? {
    guard let spelled: SpelledNetwork = try decoded("network") else { return nil }
    var network = Architecture(
      name: values["architecture"] ?? "custom", stemWidth: spelled.stem,
      stemStride: spelled.stemStride, depths: spelled.depths, widths: spelled.widths,
      strides: spelled.strides, squeezeExcitation: spelled.squeezeExcitation)
    for (text, groups) in spelled.groups {
      guard let layer = Int(text) else { throw refusal("network", "\(text) is no layer") }
      network.groups[layer] = groups
    }
    if let flaw = network.flaw(ofFileWith: channels) { throw refusal("network", flaw) }
    return network
  }

  private func decoded<Value: Decodable>(_ key: String) throws(DeploymentError) -> Value? {
    guard let text = values[key] else { return nil }
    guard text.utf8.count <= Self.longestText,
      let value = try? JSONDecoder().decode(Value.self, from: Data(text.utf8))
    else { throw refusal(key, "not what this program writes there") }
    return value
  }

  private func refusal(_ key: String, _ problem: String) -> DeploymentError {
    let text = String(values[key, default: ""].prefix(60)).debugDescription
    return DeploymentError(
      .badModel, "\(source): its metadata \(key) is \(text): \(problem); remove or mend it")
  }
}

/// The metadata `network`.
private struct SpelledNetwork: Decodable {
  var stem: Int
  var stemStride: Int
  var depths: [Int]
  var widths: [Int]
  var strides: [Int]
  var groups: [String: Int]
  var squeezeExcitation: Bool

  enum CodingKeys: String, CodingKey {
    case stem, depths, widths, strides, groups
    case stemStride = "stem_stride"
    case squeezeExcitation = "squeeze_excitation"
  }
}

extension Architecture {
  /// What keeps the network that a file tells of from being built: a configuration's bounds hold for it
  /// too, so that nothing is sized by a stranger's numbers.
  func flaw(ofFileWith channels: Int) -> String? {
    let (sizes, depth) = (1...Self.largestWidth, 1...Self.largestDepth)
    guard Self.stageCounts.contains(depths.count), depths.allSatisfy({ depth.contains($0) })
    else {
      return "depths \(depths.prefix(10)) are not 1 to \(Self.stageCounts.upperBound) stages of up "
        + "to \(Self.largestDepth) blocks"
    }
    guard sizes.contains(channels), sizes.contains(stemWidth),
      widths.allSatisfy({ sizes.contains($0) })
    else { return "a width is not from 1 to \(Self.largestWidth)" }
    guard ([stemStride] + strides).allSatisfy({ $0 == 1 || $0 == 2 }) else {
      return "a stride is neither 1 nor 2"
    }
    guard groups.allSatisfy({ (0..<layerCount).contains($0.key) && sizes.contains($0.value) })
    else { return "groups are not those of layers 0 to \(layerCount - 1)" }
    return flaw(inputChannels: channels).map { "\($0.part): \($0.problem)" }
  }
}
