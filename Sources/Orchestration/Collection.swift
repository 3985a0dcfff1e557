import Checkpoints
import Foundation
import Reporting

/// `repvgg collect RUN... --output DIR`: the artifacts of several runs side by side, with a table.
package struct Collection {
  private static let tableFile = "table.json"
  private static let certificateFile = "certificate.json"

  private let runs: [String]
  private let output: String
  private let measure: ((_ deployWeights: String) throws -> Double)?

  /// `measure`: images a second of the network in a file of deploy weights, where that is wanted.
  package init(
    runs: [String], output: String,
    measure: ((_ deployWeights: String) throws -> Double)? = nil
  ) {
    self.runs = runs
    self.output = output
    self.measure = measure
  }

  /// Reads all runs before anything is written, then copies the artifacts of each into a directory
  /// of its name and writes `table.md`, `table.csv` and `table.json`. Returns the table as text.
  ///
  /// A collection may be renewed. Runs that it no longer names are left in it, and named here, but
  /// are not in the tables.
  package func gather() throws -> String {
    var found = try runs.map { try FinishedRun(reading: $0) }
    for (index, run) in found.enumerated() {
      if let other = found[..<index].first(where: { $0.name == run.name }) {
        throw JobFailure(
          .badData,
          "\(run.directory): has the same name (\(run.name)) as \(other.directory); give one of "
            + "them another with --set name=…")
      }
    }
    found.sort { ($0.deployMACs, $0.name) < ($1.deployMACs, $1.name) }
    // It may be renewed; anything else that lies there is not ours to write into.
    try OutputDirectory.require(
      output, isEmptyOr: "collection of runs", markedBy: [Self.tableFile], option: "--output")
    try OutputDirectory.make(output, option: "--output")
    if let measure {
      for index in found.indices {
        found[index].inferenceImagesPerSecond = try measure(found[index].deployWeights)
      }
    }
    // First of all: it marks the directory as a collection. What it says comes last.
    let mark = "\(output)/\(Self.tableFile)"
    if !FileManager.default.fileExists(atPath: mark) { try write("[]\n", to: mark) }
    for run in found { try copyArtifacts(of: run) }
    let table = CollectionTable(found)
    try write(table.markdown, to: "\(output)/table.md")
    try write(table.csv, to: "\(output)/table.csv")
    try write(table.json + "\n", to: mark)
    let others = left(besides: found)
    return table.text
      + (others.isEmpty
        ? "" : "\nleft as they were, not in the table: \(others.joined(separator: ", "))\n")
  }

  private func write(_ text: String, to path: String) throws {
    try AtomicFile.write(path: path, bytes: Array(text.utf8))
  }

  /// Directories of runs that were gathered before.
  private func left(besides runs: [FinishedRun]) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: output)) ?? []
    return names.filter { name in
      !runs.contains { $0.name == name }
        && FileManager.default.fileExists(atPath: "\(output)/\(name)/\(Self.certificateFile)")
    }.sorted()
  }

  /// The certificate goes first and comes last: where one lies, it speaks of what lies beside it.
  private func copyArtifacts(of run: FinishedRun) throws {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: run.artifacts) else {
      throw JobFailure(.missingInput, "\(run.artifacts): cannot be read")
    }
    let target = "\(output)/\(run.name)"
    try OutputDirectory.make(target, option: "--output")
    try AtomicFile.remove(path: "\(target)/\(Self.certificateFile)")
    let others = names.filter { !$0.hasPrefix(".") && $0 != Self.certificateFile }.sorted()
    let files =
      ["\(run.directory)/config.yaml"]
      + (others + [Self.certificateFile]).map { "\(run.artifacts)/\($0)" }
    // What an earlier delivery of this run left and this one has not.
    let earlier = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
    for name in earlier where name.hasPrefix("\(run.name)-") && !others.contains(name) {
      try AtomicFile.remove(path: "\(target)/\(name)")
    }
    for file in files {
      guard let data = FileManager.default.contents(atPath: file) else {
        throw JobFailure(.missingInput, "\(file): cannot be read")
      }
      let name = (file as NSString).lastPathComponent
      try AtomicFile.write(path: "\(target)/\(name)", bytes: Array(data))
    }
  }
}
