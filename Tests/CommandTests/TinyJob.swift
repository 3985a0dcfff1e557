import Foundation
import Testing
import _TestSupport

/// The suites that run whole jobs, one after another: each has all cores to itself.
@Suite(.serialized) enum ProgramTests {}

/// How a job is started.
enum Launch: Sendable, CustomTestStringConvertible {
  case alone(threads: Int = 1)
  case ranks(Int, threads: Int = 1)

  var testDescription: String {
    switch self {
    case .alone(let threads): "alone, \(threads) threads"
    case .ranks(let ranks, let threads): "\(ranks) ranks, \(threads) threads"
    }
  }
}

/// A training job of about a tenth of a second on data of its own, in a directory of its own, from
/// which the program is run.
final class TinyJob: Sendable {
  let scratch: ScratchDirectory

  static let configuration = "tiny.yaml"

  /// 10 classes, 320 and 50 grey images of 16 x 16, 30 steps.
  static let standard = """
    model:
      architecture: {stem: 8, depths: [1, 2], widths: [8, 16]}
      strides: [1, 2, 2]
      classes: 10
    data:
      format: idx
      directory: data
      crop_padding: 1
    training:
      global_batch: 32
      shards: 8
      epochs: 3
    schedule:
      learning_rate: 0.1
      warmup_epochs: 0.5
    checkpoint:
      every_steps: 5
      every_minutes: 0
      keep: 2
      patience_seconds: 60

    """

  init(_ configuration: String = TinyJob.standard, trainCount: Int = 320) throws {
    scratch = try ScratchDirectory()
    try scratch.write(configuration, to: Self.configuration)
    try IDXFiles.write(to: scratch, directory: "data", trainCount: trainCount, testCount: 50)
  }

  /// Runs the job to its end. `output` and paths in `arguments`: relative to the job's directory.
  func train(
    _ launch: Launch = .alone(), output: String, _ arguments: [String] = [], timeout: Double = 180
  ) throws -> ProgramResult {
    let (arguments, directory) = (command(launch, output, arguments), scratch.path)
    switch launch {
    case .alone:
      return try runProgram(
        arguments, environment: withoutMPI, directory: directory, timeout: timeout)
    case .ranks(let ranks, _):
      return try MPIRun.run(
        ranks: ranks, arguments, directory: directory, timeout: timeout)
    }
  }

  /// Starts the job alone.
  func start(output: String, _ arguments: [String] = []) throws -> RunningProgram {
    try RunningProgram(
      try builtProgram("repvgg"), command(.alone(), output, arguments), environment: withoutMPI,
      directory: scratch.path)
  }

  /// Starts the job under mpirun.
  func start(ranks: Int, output: String, _ arguments: [String] = []) throws -> MPIJob {
    try MPIJob(
      ranks: ranks, command(.ranks(ranks), output, arguments), directory: scratch.path)
  }

  /// Runs any command of the program, alone, in the job's directory.
  func run(_ arguments: [String]) throws -> ProgramResult {
    try runProgram(arguments, environment: withoutMPI, directory: scratch.path)
  }

  private func command(_ launch: Launch, _ output: String, _ arguments: [String]) -> [String] {
    var command = ["train", Self.configuration, "--output", output] + arguments
    switch launch {
    case .alone(let threads), .ranks(_, let threads): command += ["--threads", "\(threads)"]
    }
    return command
  }

  /// The lines of the run's `metrics.jsonl`.
  func metrics(of output: String) throws -> [MetricsLine] {
    try scratch.text(of: "\(output)/metrics.jsonl").split(separator: "\n").map {
      let object = try JSONSerialization.jsonObject(with: Data($0.utf8))
      return MetricsLine(members: try #require(object as? [String: Any]))
    }
  }

  /// `weights_sha256` of the last line, which must be the end of the run.
  func hash(of output: String) throws -> String {
    let last = try #require(try metrics(of: output).last)
    #expect(last.event == "end")
    return try #require(last.members["weights_sha256"] as? String)
  }
}

/// Under mpirun of the test itself the program would be another rank.
let withoutMPI = ["OMPI_COMM_WORLD_RANK": "", "OMPI_COMM_WORLD_SIZE": ""]

/// One line of `metrics.jsonl`.
struct MetricsLine {
  let members: [String: Any]

  var event: String { members["event"] as? String ?? "" }
  var step: Int { members["step"] as? Int ?? -1 }
}
