import Foundation
import Testing

@testable import RunPlanning

/// `model.initialize_from`: where it is written down, and what has none.
struct InitializeFromTests {
  private static let set = ["model.initialize_from=weights/a0.safetensors"]

  @Test func planAndRecordNameTheFile() throws {
    let plan = try Sample.plan(Sample.small, set: Self.set)
    #expect(plan.text().contains("\ninitial weights  weights/a0.safetensors\n"))
    #expect(plan.json().contains("\"initialize_from\": \"weights/a0.safetensors\""))
    #expect(
      plan.config.keyValues.contains {
        $0.key == "model.initialize_from" && $0.value == "weights/a0.safetensors"
      })
    let without = try Sample.plan(Sample.small)
    #expect(without.config.model.initializeFrom == nil)
    #expect(!without.text().contains("initial weights"))
    #expect(!without.json().contains("initialize_from"))
  }

  @Test func itMustBeAPath() throws {
    for value in ["", "true", "[a]", "\"\""] {
      let error = try #require(throws: ConfigurationError.self) {
        try Sample.config(Sample.small, set: ["model.initialize_from=\(value)"])
      }
      #expect(error.key == "model.initialize_from", "\(error)")
    }
  }

  /// States of runs from before there was the key.
  @Test func recordsWithoutItAreRead() throws {
    let config = try Sample.config(Sample.small, set: Self.set)
    let coded = try JSONEncoder().encode(config)
    #expect(try JSONDecoder().decode(RunConfig.self, from: coded) == config)
    var object = try #require(try JSONSerialization.jsonObject(with: coded) as? [String: Any])
    var model = try #require(object["model"] as? [String: Any])
    #expect(model.removeValue(forKey: "initializeFrom") as? String == "weights/a0.safetensors")
    object["model"] = model
    let old = try JSONDecoder().decode(
      RunConfig.self, from: JSONSerialization.data(withJSONObject: object))
    #expect(try old == Sample.config(Sample.small))
  }
}
