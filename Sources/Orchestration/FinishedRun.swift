import Deployment
import Foundation
import Tensors

/// A run that has ended and whose artifacts are what its certificate was made for, as its own files
/// describe it.
package struct FinishedRun: Sendable {
  package var directory: String
  package var name: String
  package var architecture: String
  package var trainingParameters: Int
  package var deployParameters: Int
  package var deployMACs: Int
  /// Of the deploy form on the test images.
  package var top1: Double
  package var top5: Double
  /// Over all steps that made the weights, whatever parts the run came in; nil without their lines.
  package var trainingImagesPerSecond: Double?
  package var trainingSeconds: Double?
  package var ranks: Int?
  package var weightsSHA256: String
  /// Of the bytes of the file of deploy weights.
  package var deployFileSHA256: String
  /// Of the deploy network, measured when it was gathered.
  package var inferenceImagesPerSecond: Double?

  package var artifacts: String { "\(directory)/artifacts" }
  package var deployWeights: String { "\(artifacts)/\(name)-deploy.safetensors" }
  package var cardName: String { "\(name)-card.md" }
  package var hasCard: Bool {
    FileManager.default.fileExists(atPath: "\(artifacts)/\(cardName)")
  }

  /// - Throws: `.missingInput` where there is no run, `.badData` where it has not ended, its
  ///   certificate does not hold, or a file is another than the certificate's.
  package init(reading directory: String) throws {
    let plan = try JSONObject(file: "\(directory)/plan.json", of: directory)
    let metrics = try Metrics(of: directory)
    let (end, evaluation) = (try metrics.last("end"), try metrics.last("evaluation"))
    let certificate = try JSONObject(
      file: "\(directory)/artifacts/certificate.json", of: directory)
    let name = try plan.value("name", String.self)
    let hash = try end.value("weights_sha256", String.self)
    try Self.requireCertified(directory, name: name, weights: hash, by: certificate)
    guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else {
      throw JobFailure(.badData, "\(directory)/plan.json: '\(name)' is no name of a run")
    }
    self.directory = directory
    self.name = name
    architecture = try plan.value("architecture", String.self)
    trainingParameters = try plan.value("parameters.training", Int.self)
    deployParameters = try plan.value("parameters.deploy", Int.self)
    deployMACs = try plan.value("macs.deploy", Int.self)
    top1 = try evaluation.value("top1", Double.self)
    top5 = try evaluation.value("top5", Double.self)
    weightsSHA256 = hash
    if let (samples, seconds) = metrics.work {
      trainingSeconds = seconds
      trainingImagesPerSecond = seconds > 0 ? samples / seconds : nil
    }
    ranks = try? metrics.last("start").value("world_size", Int.self)
    deployFileSHA256 = try SHA256Digest.hex(
      ofFile: "\(directory)/artifacts/\(name)-deploy.safetensors")
  }

  /// The run's certificate holds, and speaks of the files that lie beside it and of the run's end.
  private static func requireCertified(
    _ directory: String, name: String, weights: String, by certificate: JSONObject
  ) throws {
    func refuse(_ problem: String) -> JobFailure {
      JobFailure(
        .badData, "\(directory)/artifacts: \(problem); run the training to its end once more")
    }
    if let failure = try certificate.value("failures", [Any].self).first {
      throw refuse("the certificate does not hold (\(failure))")
    }
    let training = try certificate.value("training_sha256", String.self)
    guard training == weights else {
      throw refuse("the certificate is not of the weights with which the run ended")
    }
    let deploy = try certificate.value("deploy_sha256", String.self)
    for (form, expected) in [("train", training), ("deploy", deploy)] {
      let file = "\(name)-\(form).safetensors"
      let tensors = try NamedTensors.readSafetensors(path: "\(directory)/artifacts/\(file)")
      guard tensors.weightsSHA256() == expected else {
        throw refuse("\(file) is not what the certificate was made for")
      }
    }
    // Certificates of format 1 say nothing of other files.
    for entry in (try? certificate.value("files", [[String: Any]].self)) ?? [] {
      guard let file = entry["name"] as? String, let hash = entry["sha256"] as? String else {
        throw refuse("the certificate lists a file without name or hash")
      }
      guard try SHA256Digest.hex(ofFile: "\(directory)/artifacts/\(file)") == hash else {
        throw refuse("\(file) is not what the certificate was made for")
      }
    }
  }
}

/// One of a run's JSON objects.
private struct JSONObject {
  private let members: [String: Any]
  private let directory: String

  init(members: [String: Any], of directory: String) {
    (self.members, self.directory) = (members, directory)
  }

  init(file: String, of directory: String) throws {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw JobFailure(.missingInput, "\(file): cannot be read; give directories of finished runs")
    }
    guard let members = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw JobFailure(.badData, "\(file): no JSON object")
    }
    self.init(members: members, of: directory)
  }

  /// `path`: keys with dots between them.
  func value<Value>(_ path: String, _: Value.Type) throws -> Value {
    var current: Any? = members
    for key in path.split(separator: ".") {
      current = (current as? [String: Any])?[String(key)]
    }
    guard let value = current as? Value else {
      throw JobFailure(.badData, "\(directory): \(path) is missing; is it a run of this program?")
    }
    return value
  }
}

/// The lines of a run's `metrics.jsonl`.
private struct Metrics {
  private let lines: [[String: Any]]
  private let directory: String

  init(of directory: String) throws {
    let path = "\(directory)/metrics.jsonl"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw JobFailure(.missingInput, "\(path): cannot be read; give directories of finished runs")
    }
    self.directory = directory
    lines = data.split(separator: 0x0A).compactMap {
      try? JSONSerialization.jsonObject(with: $0) as? [String: Any]
    }
  }

  func last(_ event: String) throws -> JSONObject {
    guard let line = lines.last(where: { $0["event"] as? String == event }) else {
      throw JobFailure(
        .badData, "\(directory): the run is not finished (no \(event) line in metrics.jsonl)")
    }
    return JSONObject(members: line, of: directory)
  }

  /// Images and seconds of all steps; a step that was done again after a resume counts as it was
  /// done last, since that made the weights. Nil without steps.
  var work: (samples: Double, seconds: Double)? {
    var steps: [Int: (samples: Double, seconds: Double)] = [:]
    for line in lines where line["event"] as? String == "step" {
      guard let step = line["step"] as? Int, let seconds = line["seconds"] as? Double,
        let samples = line["samples"] as? Double
      else { continue }
      steps[step] = (samples, seconds)
    }
    guard !steps.isEmpty else { return nil }
    var sum = (samples: 0.0, seconds: 0.0)
    // In their order, so that the sums are the same every time.
    for (_, step) in steps.sorted(by: { $0.key < $1.key }) {
      sum.samples += step.samples
      sum.seconds += step.seconds
    }
    return sum
  }
}
