import Foundation
import Testing
import _TestSupport

/// Something that the program must refuse: how to make it, and what must come of it.
struct BadInput: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var code: Int
  /// Fragments of the one line on stderr.
  var says: [String]
  /// 0: without mpirun.
  var ranks = 0
  /// Prepares files in the site and returns the command line; paths relative to the site.
  var prepare: @Sendable (BadInputSite) throws -> [String]

  init(
    _ name: String, _ code: Int, _ says: [String], ranks: Int = 0,
    _ prepare: @escaping @Sendable (BadInputSite) throws -> [String]
  ) {
    testDescription = name
    (self.code, self.says, self.ranks, self.prepare) = (code, says, ranks, prepare)
  }

  /// Training with settings put over the tiny job's configuration.
  static func setting(
    _ settings: [String], _ says: [String], code: Int = 78, ranks: Int = 0
  ) -> BadInput {
    BadInput(settings.joined(separator: ", "), code, says, ranks: ranks) { _ in
      train + settings.flatMap { ["--set", $0] }
    }
  }

  static let train = ["train", TinyJob.configuration, "--output", "out", "--quiet"]

  /// Makes the case, runs it, and holds it against the rules for every refusal: its code, one line
  /// on stderr, nothing on stdout, in time, nothing lost.
  func check(environment: [String: String] = [:], as user: [String] = []) throws {
    let site = try BadInputSite()
    let arguments = try prepare(site)
    let before = try FileTree(site.path)
    let shared = try FileTree(site.trained.job.scratch.path)
    let result: ProgramResult
    if ranks > 0 {
      result = try MPIRun.run(ranks: ranks, arguments, directory: site.path, timeout: 120)
    } else {
      let command = user + [try builtProgram("repvgg")] + arguments
      result = try runExecutable(
        command[0], Array(command.dropFirst()),
        environment: withoutMPI.merging(environment) { $1 }, directory: site.path, timeout: 120)
    }
    #expect(result.status == code, "\(result.stderr)")
    #expect(!result.timedOut)
    #expect(result.stdout.isEmpty)
    try #require(result.complaints.count == 1, "\(result.stderr)")
    if ranks == 0 { #expect(result.stderr == result.complaints[0] + "\n") }
    for fragment in says {
      #expect(result.complaints[0].contains(fragment), "\(result.complaints[0])")
    }
    #expect(try FileTree(site.path).lost(from: before) == [])
    #expect(try FileTree(site.trained.job.scratch.path).lost(from: shared) == [])
    #expect(try FileTree(site.trained.job.scratch.path).paths == shared.paths)
  }
}

/// A directory with a tiny job's configuration and data, to be spoilt.
final class BadInputSite: Sendable {
  let job: TinyJob
  let trained: TrainedRun

  init() throws {
    job = try TinyJob(trainCount: 64)
    trained = try #require(TrainedRun.current, "the suite has no trained run")
  }

  var path: String { job.scratch.path }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    try job.scratch.write(bytes, to: name)
    return name
  }

  @discardableResult
  func write(_ text: String, to name: String) throws -> String {
    try write(Array(text.utf8), to: name)
  }

  func makeDirectory(_ name: String) throws {
    try FileManager.default.createDirectory(
      atPath: job.scratch.path(name), withIntermediateDirectories: true)
  }

  /// Reads a file of the site, changes it and writes it back.
  func change(_ name: String, _ body: (inout [UInt8]) throws -> Void) throws {
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: job.scratch.path(name))))
    try body(&bytes)
    try write(bytes, to: name)
  }

  /// Replaces a text in the configuration.
  func configure(_ old: String, _ new: String) throws {
    let text = try job.scratch.text(of: TinyJob.configuration)
    try #require(text.contains(old))
    try write(text.replacingOccurrences(of: old, with: new), to: TinyJob.configuration)
  }
}

/// A finished run that all cases of a suite share and none may change.
final class TrainedRun: Sendable {
  @TaskLocal static var current: TrainedRun?

  let job: TinyJob

  init() throws {
    job = try TinyJob(trainCount: 64)
    let result = try job.train(output: "run")
    guard result.status == 0 else { throw ProgramRunError(description: result.stderr) }
  }

  var training: String { job.scratch.path("run/artifacts/tiny-train.safetensors") }
  var deploy: String { job.scratch.path("run/artifacts/tiny-deploy.safetensors") }
  var directory: String { job.scratch.path("run") }
}

/// Trains the shared run before a suite's tests and removes it after them.
struct TrainedRunTrait: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await TrainedRun.$current.withValue(TrainedRun()) { try await function() }
  }
}

extension Trait where Self == TrainedRunTrait {
  static var trainedRun: TrainedRunTrait { TrainedRunTrait() }
}
