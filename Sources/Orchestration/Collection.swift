import Checkpoints
import Foundation
import Reporting
import Tensors

/// `repvgg collect RUN... --output DIR`: the artifacts of several runs side by side, with a table.
package struct Collection {
  /// One finished run, as its own files describe it.
  package struct Run: Sendable {
    package var directory: String
    package var name: String
    package var architecture: String
    package var trainingParameters: Int
    package var deployParameters: Int
    package var deployMACs: Int
    package var top1: Double
    package var weightsSHA256: String
  }

  private static let tableFile = "table.json"

  private let runs: [String]
  private let output: String

  package init(runs: [String], output: String) {
    self.runs = runs
    self.output = output
  }

  /// Reads all runs before anything is written, then copies the artifacts of each into a directory
  /// of its name and writes `table.md` and `table.json`. Returns the table as text.
  package func gather() throws -> String {
    let found = try runs.map(read)
    for (index, run) in found.enumerated() {
      if let other = found[..<index].first(where: { $0.name == run.name }) {
        throw JobFailure(
          .badData,
          "\(run.directory): has the same name (\(run.name)) as \(other.directory); give one of them "
            + "another with --set name=…")
      }
    }
    try makeDirectory(output)
    try requireOwnOrEmpty(output)
    // First of all: it marks the directory as a collection.
    try AtomicFile.write(
      path: "\(output)/\(Self.tableFile)", bytes: Array((json(found) + "\n").utf8))
    for run in found { try copyArtifacts(of: run) }
    try AtomicFile.write(path: "\(output)/table.md", bytes: Array(markdown(found).utf8))
    return text(found)
  }

  private func read(_ directory: String) throws -> Run {
    let plan = try object("\(directory)/plan.json")
    let end = try lastEvent("end", in: "\(directory)/metrics.jsonl", of: directory)
    let evaluation = try lastEvent("evaluation", in: "\(directory)/metrics.jsonl", of: directory)
    func value<Value>(_ path: String, of object: [String: Any], _: Value.Type) throws -> Value {
      var current: Any? = object
      for key in path.split(separator: ".") {
        current = (current as? [String: Any])?[String(key)]
      }
      guard let value = current as? Value else {
        throw JobFailure(.badData, "\(directory): \(path) is missing; is it a run of this program?")
      }
      return value
    }
    let name = try value("name", of: plan, String.self)
    let hash = try value("weights_sha256", of: end, String.self)
    let certificate = try object("\(directory)/artifacts/certificate.json")
    try requireCertified(
      directory, name: name, weights: hash,
      failures: try value("failures", of: certificate, [Any].self).map { "\($0)" },
      training: try value("training_sha256", of: certificate, String.self),
      deploy: try value("deploy_sha256", of: certificate, String.self))
    guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else {
      throw JobFailure(.badData, "\(directory)/plan.json: '\(name)' is no name of a run")
    }
    return Run(
      directory: directory, name: name,
      architecture: try value("architecture", of: plan, String.self),
      trainingParameters: try value("parameters.training", of: plan, Int.self),
      deployParameters: try value("parameters.deploy", of: plan, Int.self),
      deployMACs: try value("macs.deploy", of: plan, Int.self),
      top1: try value("top1", of: evaluation, Double.self),
      weightsSHA256: hash)
  }

  /// The run's certificate holds, and speaks of the weights that lie beside it and of the run's end.
  private func requireCertified(
    _ directory: String, name: String, weights: String, failures: [String], training: String,
    deploy: String
  ) throws {
    func refuse(_ problem: String) -> JobFailure {
      JobFailure(
        .badData, "\(directory)/artifacts: \(problem); run the training to its end once more")
    }
    if let failure = failures.first {
      throw refuse("the certificate does not hold (\(failure))")
    }
    guard training == weights else {
      throw refuse("the certificate is not of the weights with which the run ended")
    }
    for (form, expected) in [("train", training), ("deploy", deploy)] {
      let file = "\(name)-\(form).safetensors"
      let tensors = try NamedTensors.readSafetensors(path: "\(directory)/artifacts/\(file)")
      guard tensors.weightsSHA256() == expected else {
        throw refuse("\(file) is not what the certificate was made for")
      }
    }
  }

  private func object(_ path: String) throws -> [String: Any] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw JobFailure(.missingInput, "\(path): cannot be read; give directories of finished runs")
    }
    guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw JobFailure(.badData, "\(path): no JSON object")
    }
    return object
  }

  private func lastEvent(
    _ event: String, in path: String, of directory: String
  ) throws -> [String: Any] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw JobFailure(.missingInput, "\(path): cannot be read; give directories of finished runs")
    }
    for line in data.split(separator: 0x0A).reversed() {
      guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any] else {
        continue
      }
      if object["event"] as? String == event { return object }
    }
    throw JobFailure(
      .badData, "\(directory): the run is not finished (no \(event) line in metrics.jsonl)")
  }

  private func copyArtifacts(of run: Run) throws {
    let source = "\(run.directory)/artifacts"
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: source) else {
      throw JobFailure(.missingInput, "\(source): cannot be read")
    }
    try makeDirectory("\(output)/\(run.name)")
    let files = names.filter { !$0.hasPrefix(".") }.map { "artifacts/\($0)" } + ["config.yaml"]
    for file in files.sorted() {
      guard let data = FileManager.default.contents(atPath: "\(run.directory)/\(file)") else {
        throw JobFailure(.missingInput, "\(run.directory)/\(file): cannot be read")
      }
      let name = (file as NSString).lastPathComponent
      try AtomicFile.write(path: "\(output)/\(run.name)/\(name)", bytes: Array(data))
    }
  }

  /// A collection may be renewed; anything else that lies there is not ours to write into.
  private func requireOwnOrEmpty(_ path: String) throws {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    guard names.isEmpty || names.contains(Self.tableFile) else {
      throw JobFailure(
        .cannotCreate,
        "\(path): not empty and not a collection of runs (no \(Self.tableFile)); choose another "
          + "--output")
    }
  }

  private func makeDirectory(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw JobFailure(.cannotCreate, "\(path): cannot make the directory; choose another --output")
    }
  }
}

// MARK: - The table

extension Collection {
  private static let headers = [
    "run", "architecture", "parameters", "deploy parameters", "deploy MACs", "top-1", "sha256",
  ]

  private func cells(_ run: Run) -> [String] {
    [
      run.name, run.architecture, Quantity.count(run.trainingParameters),
      Quantity.count(run.deployParameters), Quantity.count(run.deployMACs),
      Quantity.percent(run.top1, decimals: 2), String(run.weightsSHA256.prefix(12)),
    ]
  }

  private func text(_ runs: [Run]) -> String {
    var table = TextTable(
      Self.headers.enumerated().map { index, header in
        (2...5).contains(index) ? .right(header) : .left(header)
      })
    for run in runs { table.append(cells(run)) }
    return table.text
  }

  private func markdown(_ runs: [Run]) -> String {
    let rows = [Self.headers, Self.headers.map { _ in "---" }] + runs.map(cells)
    return rows.map { "| " + $0.joined(separator: " | ") + " |\n" }.joined()
  }

  private func json(_ runs: [Run]) -> String {
    JSONValue.array(
      runs.map { run in
        .object([
          ("name", .string(run.name)), ("architecture", .string(run.architecture)),
          (
            "parameters",
            .object([
              ("training", .int(run.trainingParameters)), ("deploy", .int(run.deployParameters)),
            ])
          ),
          ("macs_deploy", .int(run.deployMACs)), ("top1", .double(run.top1)),
          ("weights_sha256", .string(run.weightsSHA256)),
        ])
      }
    ).text(indented: true)
  }
}
