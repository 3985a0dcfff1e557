import Foundation
import Testing

@testable import RunPlanning

/// The configuration that is delivered with a network.
@Suite struct ResolvedConfigurationTests {
  /// Given to the program again it is the same run, but for where it lies.
  @Test(arguments: [
    Sample.small,
    """
    model: {architecture: RepVGG-B1g4, classes: 1000}
    data:
      {format: folder, directory: "/a: b/#c", resolution: 224, resolutions: {0: 128, 5: 224},
      channels: 3, mean: [0.485, 0.456, 0.406], standard_deviation: [0.229, 0.224, 0.225]}
    training: {seed: 18446744073709551615, epochs: 9}
    schedule: {kind: step, milestones: [1.5, 3]}
    fuse: {block_tolerance: 1e-6}
    artifacts: {licence: "no: \\"yes\\" #1"}
    """,
  ])
  func itDecodesToItself(text: String) throws {
    let config = try Sample.config(text, set: ["name=net", "output=/somewhere"])
    let yaml = config.yaml()
    var again = try RunConfig.decode(text: yaml, file: "net-config.yaml")
    #expect(again.output == "runs/net")
    again.output = config.output
    #expect(again == config, "\(yaml)")
    #expect(yaml.hasPrefix("name: \"net\"\nmodel:\n  architecture:"))
    #expect(!yaml.contains("somewhere"))
  }

  /// States of runs of before the section was there.
  @Test func statesWithoutTheSectionDecode() throws {
    var config = try Sample.config(Sample.small)
    config.artifacts.licence = "MIT"
    let data = try JSONEncoder().encode(config)
    #expect(try JSONDecoder().decode(RunConfig.self, from: data) == config)
    var object = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object.removeValue(forKey: "artifacts") != nil)
    let old = try JSONDecoder().decode(
      RunConfig.self, from: JSONSerialization.data(withJSONObject: object))
    config.artifacts.licence = ""
    #expect(old == config)
  }
}
