import Checkpoints
import Foundation
import Tensors
import _TestSupport

/// The tiny job: 10 classes of 40 images, 60 steps of 32, a save every 10, in about a second.
final class CampaignJob {
  static let steps = 60
  static let saveInterval = 10
  static let stepsPerEpoch = 13
  static let ranks = 4
  static let configuration = "tiny.yaml"

  let scratch: ScratchDirectory
  private let campaign: Campaign
  /// Of every start under mpirun.
  var environment: [String: String] = [:]
  /// Seconds for which ranks of the last job outlived their mpirun, and whether they are gone.
  private(set) var afterlife = (seconds: 0.0, isOver: true)
  /// The last job's mpirun had locked itself up behind the end of all ranks, and was killed.
  private(set) var wasLockedUp = false

  init(_ campaign: Campaign) throws {
    self.campaign = campaign
    scratch = try ScratchDirectory()
    // Other users must come to it in the rows about permissions.
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: scratch.path)
    try scratch.write(Self.text(data: campaign.dataDirectory), to: Self.configuration)
  }

  /// The configuration; the last batch of its epochs is smaller than the others.
  static func text(data: String) -> String {
    """
    name: tiny
    model:
      architecture: {stem: 8, depths: [1, 2], widths: [8, 16]}
      strides: [2, 2, 2]
      classes: 10
    data:
      format: idx
      directory: "\(data)"
      crop_padding: 1
    training:
      global_batch: 32
      shards: 8
      epochs: 5
      max_steps: \(steps)
    schedule:
      learning_rate: 0.1
      warmup_epochs: 0.5
    checkpoint:
      every_steps: \(saveInterval)
      every_minutes: 0
      keep: 2
      patience_seconds: 60
    evaluation:
      every_epochs: 2

    """
  }

  var output: String { scratch.path("out") }
  var store: CheckpointStore { CheckpointStore(directory: "\(output)/checkpoints", keep: 2) }
  var log: RunLog { RunLog(path: "\(output)/metrics.jsonl") }

  func arguments(_ more: [String] = [], output: String = "out") -> [String] {
    ["train", Self.configuration, "--output", output] + more
  }

  /// Settings of every program: one crash must not take a second for its backtrace, and mpirun of
  /// whoever runs the campaign is not this job's.
  private static func environment(_ failpoint: String, _ more: [String: String]) -> [String: String]
  {
    let own = [
      "REPVGG_FAILPOINT": failpoint, "SWIFT_BACKTRACE": "enable=no", "OMPI_COMM_WORLD_RANK": "",
      "OMPI_COMM_WORLD_SIZE": "", "OPENBLAS_NUM_THREADS": "1",
    ]
    return own.merging(more) { $1 }
  }

  /// Starts it under mpirun. `wrapper`: words before the program's.
  func start(
    ranks: Int = CampaignJob.ranks, failpoint: String = "", wrapper: [String] = [],
    _ more: [String] = [], environment: [String: String] = [:], timeout: Double = 60
  ) throws -> MPIJob {
    try MPIJob(
      ranks: ranks, program: campaign.program, wrapper: wrapper, arguments(more),
      environment: Self.environment(failpoint, self.environment.merging(environment) { $1 }),
      directory: scratch.path, timeout: timeout)
  }

  /// Runs it under mpirun to its end.
  func run(
    ranks: Int = CampaignJob.ranks, failpoint: String = "", wrapper: [String] = [],
    _ more: [String] = [], environment: [String: String] = [:], timeout: Double = 60
  ) throws -> ProgramResult {
    try end(
      start(
        ranks: ranks, failpoint: failpoint, wrapper: wrapper, more, environment: environment,
        timeout: timeout))
  }

  /// Waits for the end of mpirun, and of what outlives it for a moment.
  func end(_ mpi: MPIJob) throws -> ProgramResult {
    defer { mpi.giveTurn() }
    let watch = LockedUp(mpi.launcher.processID)
    let result = try mpi.wait()
    wasLockedUp = watch.stop()
    let start = monotonicSeconds()
    let isOver = MPIJob.areGone(processes, within: 5)
    afterlife = (monotonicSeconds() - start, isOver)
    return result
  }

  /// Starts one process without mpirun. `wrapper`: a command that becomes or runs the program.
  func startAlone(
    failpoint: String = "", wrapper: [String] = [], _ more: [String] = [], output: String = "out",
    environment: [String: String] = [:]
  ) throws -> RunningProgram {
    let words = wrapper + [campaign.program] + arguments(more, output: output)
    return try RunningProgram(
      "/usr/bin/env", words, environment: Self.environment(failpoint, environment),
      directory: scratch.path)
  }

  func runAlone(
    failpoint: String = "", wrapper: [String] = [], _ more: [String] = [], output: String = "out",
    environment: [String: String] = [:], timeout: Double = 60
  ) throws -> ProgramResult {
    try startAlone(
      failpoint: failpoint, wrapper: wrapper, more, output: output, environment: environment
    ).wait(timeout: timeout)
  }

  /// Runs mpirun itself under a command.
  func runUnder(_ command: [String], ranks: Int, timeout: Double = 60) throws -> ProgramResult {
    let mpirun = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "\(ranks)"]
    return try runExecutable(
      "/usr/bin/env", command + mpirun + [campaign.program] + arguments(),
      environment: Self.environment(
        "",
        [
          "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
          "OMPI_MCA_mpi_yield_when_idle": "1", "TMPDIR": scratch.path,
          "MPIEXEC_TIMEOUT": "\(Int(timeout))",
        ]), directory: scratch.path, timeout: timeout + 5)
  }

  /// Runs a line of sh in the job's directory; `$0` and `$@` are the program and its arguments.
  func runShell(
    _ line: String, failpoint: String = "", _ more: [String] = [],
    environment: [String: String] = [:], timeout: Double = 60
  ) throws -> ProgramResult {
    try runExecutable(
      "/bin/sh", ["-c", line, campaign.program] + arguments(more),
      environment: Self.environment(failpoint, environment), directory: scratch.path,
      timeout: timeout)
  }

  /// Processes of the job that are still there, by the program and the directory they work in.
  var processes: [Int32] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { Int32($0) }.filter { process in
      let manager = FileManager.default
      let executable = try? manager.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")
      let directory = try? manager.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd")
      return executable == campaign.program && directory == scratch.path
    }
  }

  /// What a whole delivery leaves.
  static let artifacts: Set<String> = [
    "certificate.json", "labels.txt", "tiny-card.md", "tiny-config.yaml",
    "tiny-deploy.onnx", "tiny-deploy.safetensors", "tiny-train.safetensors",
  ]

  /// SHA-256 over final weights, optimizer state and what is delivered of the network. Card,
  /// configuration and certificate, which has their hashes, also tell the settings of a trial.
  func hash() throws -> String {
    let last = "out/checkpoints/step-\(String(format: "%09d", Self.steps))"
    var files = ["\(last)/model.safetensors", "\(last)/optimizer.safetensors"]
    let delivered = try Self.names("\(output)/artifacts")
    try require(
      Self.artifacts.isSubset(of: delivered), "the run has delivered \(delivered)")
    let settings: Set = ["certificate.json", "tiny-card.md", "tiny-config.yaml"]
    files += delivered.filter { !settings.contains($0) }.map { "out/artifacts/\($0)" }
    var digest = SHA256Digest()
    for file in files {
      let bytes = Array(file.utf8) + (try scratch.read(file))
      bytes.withUnsafeBytes { digest.update($0) }
    }
    return digest.finish()
  }

  /// Names in a directory, in order; none where it is not there.
  static func names(_ path: String) throws -> [String] {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: path).sorted()
  }

  /// Steps of the checkpoints that bear their names.
  var checkpoints: [Int] { (try? store.list()) ?? [] }
}
