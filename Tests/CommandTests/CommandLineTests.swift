import Foundation
import Testing
import _TestSupport

private let commands = [
  "train", "plan", "evaluate", "fuse", "certify", "convert", "classify", "inspect", "replay",
  "bench",
  "doctor", "hosts", "collect", "data", "checkpoint", "completion", "help", "version",
]

/// A command line that must be refused, and what must be said about it.
struct WrongUsage: Sendable, CustomTestStringConvertible {
  var arguments: [String]
  /// The one line on stderr behind `repvgg: `.
  var says: String

  var testDescription: String { arguments.joined(separator: " ") }

  init(_ arguments: [String], _ says: String) { (self.arguments, self.says) = (arguments, says) }

  static let all: [WrongUsage] = [
    .init([], "no command given; see repvgg help"),
    .init([""], "unknown command ''; see repvgg help"),
    .init(["trian"], "unknown command 'trian', did you mean train?; see repvgg help"),
    .init(["frobnicate"], "unknown command 'frobnicate'; see repvgg help"),
    .init(["--verison"], "unknown option '--verison', did you mean --version?; see repvgg help"),
    .init(["tra\nin\u{1B}"], "unknown command 'tra?in?', did you mean train?; see repvgg help"),
    .init(["train"], "CONFIG is missing; see repvgg train --help"),
    .init(["train", ""], "CONFIG is empty; see repvgg train --help"),
    .init(["checkpoint"], "ACTION is missing; see repvgg checkpoint --help"),
    .init(["checkpoint", "list"], "RUN is missing; see repvgg checkpoint --help"),
    .init(
      ["checkpoint", "list", "a", "--keep", "2"],
      "--keep has no effect on checkpoint list; see repvgg checkpoint --help"),
    .init(
      ["checkpoint", "prune", "a", "--keep", "0"],
      "--keep '0' is not a whole number from 1 to 1000000; see repvgg checkpoint --help"),
    .init(
      ["checkpoint", "prune", "a", "--step", "2"],
      "--step has no effect on checkpoint prune; see repvgg checkpoint --help"),
    .init(["train", "a", "b"], "unexpected argument 'b'; see repvgg train --help"),
    .init(["train", "--", "a", "--json"], "unexpected argument '--json'; see repvgg train --help"),
    .init(
      ["train", "a", "--treads", "3"],
      "unknown option '--treads', did you mean --threads?; see repvgg train --help"),
    .init(
      ["train", "a", "--thr=3"],
      "unknown option '--thr', did you mean --threads?; see repvgg train --help"),
    .init(["train", "a", "-x"], "unknown option '-x'; see repvgg train --help"),
    .init(["train", "a", "--json"], "unknown option '--json'; see repvgg train --help"),
    .init(
      ["train", "a", "--threads"],
      "--threads needs a value: --threads N|auto; see repvgg train --help"),
    .init(
      ["train", "a", "--output="],
      "--output needs a value: --output DIR; see repvgg train --help"),
    .init(
      ["train", "a", "--output", "--quiet"],
      "--output needs a value: --output DIR; see repvgg train --help"),
    .init(
      ["train", "a", "--threads", "0"],
      "--threads '0' is not a whole number from 1 to 1024 or auto; see repvgg train --help"),
    .init(
      ["train", "a", "--threads=-1"],
      "--threads '-1' is not a whole number from 1 to 1024 or auto; see repvgg train --help"),
    .init(
      ["train", "a", "--threads", "99999999999999999999"],
      "--threads '99999999999999999999' is not a whole number from 1 to 1024 or auto; see repvgg train --help"
    ),
    .init(
      ["train", "a", "--threads", "two"],
      "--threads 'two' is not a whole number from 1 to 1024 or auto; see repvgg train --help"),
    .init(
      ["train", "a", "--threads", "1", "--threads", "2"],
      "--threads is given twice; see repvgg train --help"),
    .init(["train", "a", "--quiet=yes"], "--quiet takes no value; see repvgg train --help"),
    .init(["train", "a", "--quiet", "--quiet"], "--quiet is given twice; see repvgg train --help"),
    .init(
      ["train", "a", "--progress", "plane"],
      "--progress 'plane' is none of auto, live, plain, none, did you mean plain?; see repvgg train --help"
    ),
    .init(
      ["train", "a", "--set", "training.epochs"],
      "--set 'training.epochs' is not KEY=VALUE; see repvgg train --help"),
    .init(["train", "a", "--set", "=3"], "--set '=3' is not KEY=VALUE; see repvgg train --help"),
    .init(
      ["evaluate", "m"], "--config CONFIG is missing; see repvgg evaluate --help"),
    .init(
      ["evaluate", "m", "--config", "c", "--split", "val"],
      "--split 'val' is none of test, train; see repvgg evaluate --help"),
    .init(["fuse", "m"], "--output FILE or --artifacts DIR is missing; see repvgg fuse --help"),
    .init(["convert", "a"], "OUT is missing; see repvgg convert --help"),
    .init(
      ["convert", "a", "b", "--keys", "tim"],
      "--keys 'tim' is none of published, timm, mmpretrain, did you mean timm?; see repvgg convert --help"
    ),
    .init(["inspect"], "FILE is missing; see repvgg inspect --help"),
    .init(["doctor", "x"], "unexpected argument 'x'; see repvgg doctor --help"),
    .init(["collect", "--output", "d"], "RUN is missing; see repvgg collect --help"),
    .init(
      ["bench", "stpe"],
      "WHAT 'stpe' is none of step, inference, loader, collectives, kernels, did you mean step?; see repvgg bench --help"
    ),
    .init(
      ["bench", "step", "--resolution", "5000"],
      "--resolution '5000' is not a whole number from 1 to 4096; see repvgg bench --help"),
    .init(
      ["bench", "collectives", "--model", "RepVGG-A1"],
      "--model has no effect on bench collectives; see repvgg bench --help"),
    .init(
      ["bench", "--threads=2", "collectives"],
      "--threads has no effect on bench collectives; see repvgg bench --help"),
    .init(
      ["bench", "loader"], "--data DIR|FILE is missing; see repvgg bench --help"),
    .init(
      ["bench", "step", "--decode", "fast"],
      "--decode has no effect on bench step; see repvgg bench --help"),
    .init(
      ["bench", "loader", "--data", "d", "--steps", "3"],
      "--steps has no effect on bench loader; see repvgg bench --help"),
    .init(
      ["bench", "step", "--svg", "roof.svg"],
      "--svg has no effect on bench step; see repvgg bench --help"),
    .init(
      ["bench", "kernels", "--batch-norm", "local"],
      "--batch-norm has no effect on bench kernels; see repvgg bench --help"),
    .init(
      ["evaluate", "m", "--config", "c", "--images"],
      "--images has no effect without --logits; see repvgg evaluate --help"),
    .init(
      ["train", "a", "--progress", "live", "--quiet"],
      "--quiet and --progress exclude each other; see repvgg train --help"),
    .init(["data", "pack"], "SOURCE is missing; see repvgg data --help"),
    .init(["data", "pack", "d"], "--output PATH is missing; see repvgg data --help"),
    .init(["data", "pack", "d", "e"], "unexpected argument 'e'; see repvgg data --help"),
    .init(
      ["data", "verfy", "d"],
      "ACTION 'verfy' is none of pack, verify, show, did you mean verify?; see repvgg data --help"),
    .init(
      ["data", "verify", "d", "--shards", "3"],
      "--shards has no effect on data verify; see repvgg data --help"),
    .init(
      ["data", "pack", "d", "--output", "o", "--shards", "3", "--shard-bytes", "4"],
      "--shards and --shard-bytes exclude each other; see repvgg data --help"),
    .init(
      ["completion", "tcsh"],
      "SHELL 'tcsh' is none of bash, zsh, fish; see repvgg completion --help"),
    .init(
      ["plan", "a", "--ranks", "0"],
      "--ranks '0' is not a whole number from 1 to 65536; see repvgg plan --help"),
    .init(
      ["plan", "a", "--ranks", "8,,64"],
      "--ranks '' is not a whole number from 1 to 65536; see repvgg plan --help"),
    .init(
      ["plan", "a", "--network", "bandwidth=25Gb/s"],
      "--network: latency is missing, as in bandwidth=25Gb/s,latency=10us; see repvgg plan --help"),
    .init(
      ["plan", "a", "--network", "bandwidth=25,latency=1us"],
      "--network: bandwidth '25' is not a positive number with a unit, as in bandwidth=25Gb/s,latency=10us; see repvgg plan --help"
    ),
    .init(
      ["plan", "a", "--price", "-1"],
      "--price '-1' is not a number from 0, as in 0.05; see repvgg plan --help"),
    .init(
      ["plan", "a", "--images-per-rank", "4", "--set", "training.shards=8"],
      "--images-per-rank and --set training.shards=8 exclude each other; see repvgg plan --help"),
    .init(
      ["bench", "kernels", "--save", "m.json"],
      "--save has no effect on bench kernels; see repvgg bench --help"),
    .init(
      ["bench", "step", "--save", "m.json", "--batch-norm", "local"],
      "--save and --batch-norm exclude each other; see repvgg bench --help"),
    .init(["version", "--json"], "unknown option '--json'; see repvgg version --help"),
  ]
}

@Suite(.timeLimit(.minutes(1))) struct CommandLineTests {
  /// Under mpirun of the test itself the program would be another rank.
  private let alone = ["OMPI_COMM_WORLD_RANK": ""]

  @Test(arguments: WrongUsage.all) func wrongUsage(usage: WrongUsage) throws {
    let result = try runProgram(usage.arguments, environment: alone)
    #expect(result.status == 64)
    #expect(result.stdout.isEmpty)
    #expect(result.stderr == "repvgg: \(usage.says)\n")
  }

  /// The committed texts, renewed by REPVGG_UPDATE_SNAPSHOTS=1.
  @Test(arguments: ["program"] + commands) func help(topic: String) throws {
    let result = try runProgram(
      topic == "program" ? ["help"] : [topic, "--help"], environment: alone)
    #expect(result.status == 0)
    #expect(result.stderr.isEmpty)
    #expect(result.stdout.split(separator: "\n").allSatisfy { $0.count <= 80 })
    let snapshot = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Snapshots/help-\(topic).txt")
    if ProcessInfo.processInfo.environment["REPVGG_UPDATE_SNAPSHOTS"] != nil {
      try result.stdout.write(to: snapshot, atomically: true, encoding: .utf8)
    }
    #expect(try result.stdout == String(contentsOf: snapshot, encoding: .utf8))
  }

  @Test func waysToHelp() throws {
    let program = try runProgram(["help"]).stdout
    for arguments in [["--help"], ["-h"]] {
      let result = try runProgram(arguments, environment: alone)
      #expect(result.status == 0 && result.stdout == program)
    }
    let train = try runProgram(["help", "train"]).stdout
    #expect(train.hasPrefix("Usage: repvgg train CONFIG "))
    for arguments in [["train", "-h"], ["train", "a", "--threads=3", "--help", "--nonsense"]] {
      #expect(try runProgram(arguments, environment: alone).stdout == train)
    }
    // Every command is in the list.
    for command in commands { #expect(program.contains("\n  \(command) ")) }
  }

  @Test func version() throws {
    for arguments in [["version"], ["--version"]] {
      let result = try runProgram(arguments, environment: alone)
      #expect(result.status == 0 && result.stderr.isEmpty)
      #expect(result.stdout.wholeMatch(of: /repvgg \d+\.\d+\.\d+\n/) != nil)
    }
  }

  /// The command that a plan ends with can be run as it stands.
  @Test func planNamesThisProgram() throws {
    let job = try TinyJob()
    func plan(_ environment: [String: String] = [:]) throws -> String {
      try runProgram(
        ["plan", TinyJob.configuration, "--ranks", "2"],
        environment: withoutMPI.merging(environment) { $1 }, directory: job.scratch.path
      ).stdout
    }
    let (program, text) = (try builtProgram("repvgg"), try plan())
    #expect(text.contains(" -np 2 \(program) train \(TinyJob.configuration) --threads 1\n"))
    #expect(text.contains("memory of 2 ranks on one host: "))
    // The program sets the one thread itself, so a variable that says so is nothing to warn of.
    #expect(try !plan(["OPENBLAS_NUM_THREADS": "1"]).contains("OPENBLAS_NUM_THREADS"))
    #expect(try plan(["OPENBLAS_L2_SIZE": "1024"]).contains("OPENBLAS_L2_SIZE=1024 in the env"))
  }

  /// What a script reads must not be cut off without its knowing.
  @Test(arguments: [
    ["help"], ["train", "--help"], ["version"], ["completion", "bash"], ["plan", "tiny.yaml"],
    ["plan", "tiny.yaml", "--json"],
  ])
  func aFullOrClosedOutputIsAnError(arguments: [String]) throws {
    let job = try TinyJob()
    for (target, says) in [("/dev/full", "No space left"), ("&-", "Bad file descriptor")] {
      let result = try runExecutable(
        "/bin/sh", ["-c", "exec \"$0\" \"$@\" >\(target)", try builtProgram("repvgg")] + arguments,
        environment: withoutMPI, directory: job.scratch.path)
      #expect(result.status == 74)
      #expect(result.stderr.hasPrefix("repvgg: standard output: \(says)"), "\(result.stderr)")
      #expect(result.complaints.count == 1)
    }
  }

  /// `repvgg help | head -1`.
  @Test func aReaderMayGoAway() throws {
    let (program, pipe) = (Process(), Pipe())
    program.executableURL = URL(fileURLWithPath: try builtProgram("repvgg"))
    program.arguments = ["help"]
    program.standardOutput = pipe
    try pipe.fileHandleForReading.close()
    try program.run()
    program.waitUntilExit()
    #expect(program.terminationReason == .exit && program.terminationStatus == 0)
  }

  @Test func onlyRankZeroSpeaks() throws {
    for (arguments, status) in [(["help"], 0), (["nonsense"], 64)] {
      let silent = try runProgram(arguments, environment: ["OMPI_COMM_WORLD_RANK": "3"])
      // mpirun would kill rank 0 at another rank's code before it has spoken.
      #expect(silent.status == 0 && silent.stdout.isEmpty && silent.stderr.isEmpty)
      let first = try runProgram(arguments, environment: ["OMPI_COMM_WORLD_RANK": "0"])
      #expect(first.status == status && !(first.stdout + first.stderr).isEmpty)
    }
  }

  /// The script in a real bash: what it offers for the last of some words.
  private func completions(_ words: [String], in directory: String) throws -> Set<String> {
    let script = try runProgram(["completion", "bash"], environment: alone).stdout
    let call = """
      COMP_WORDS=(repvgg \(words.map { "'\($0)'" }.joined(separator: " ")))
      COMP_CWORD=\(words.count)
      _repvgg
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let result = try runExecutable(
      "/bin/bash", ["--norc", "-c", script + call], directory: directory)
    #expect(result.status == 0 && result.stderr.isEmpty, "\(result.stderr)")
    return Set(result.stdout.split(separator: "\n").map(String.init))
  }

  @Test func bashCompletes() throws {
    let directory = try ScratchDirectory()
    try directory.write("", to: "two words.yaml")
    try FileManager.default.createDirectory(
      atPath: directory.path("runs"), withIntermediateDirectories: false)
    func offers(_ words: String...) throws -> Set<String> {
      try completions(words, in: directory.path)
    }
    #expect(try offers("") == Set(commands + ["--help", "--version"]))
    #expect(try offers("e") == ["evaluate"])
    #expect(try offers("train", "--pro") == ["--progress"])
    #expect(try offers("train", "--progress", "") == ["auto", "live", "plain", "none"])
    #expect(try offers("train", "t") == ["two words.yaml"])
    #expect(try offers("train", "--output", "") == ["runs"])
    #expect(try offers("train", "--threads", "") == ["auto"])
    #expect(try offers("bench", "") == ["step", "inference", "loader", "collectives", "kernels"])
    #expect(try offers("doctor", "").isEmpty)
  }

  @Test(arguments: ["zsh", "fish"]) func otherShellsKnowEveryOption(shell: String) throws {
    let script = try runProgram(["completion", shell], environment: alone).stdout
    for command in commands {
      let help = try runProgram([command, "--help"], environment: alone).stdout
      #expect(script.contains(command))
      for option in help.matches(of: /\n  --([a-z-]+)/) {
        #expect(script.contains(option.output.1), "\(command) --\(option.output.1)")
      }
    }
  }

  /// Every line of fish's script closes the quotes that it opens.
  @Test func fishQuotesAreBalanced() throws {
    let script = try runProgram(["completion", "fish"], environment: alone).stdout
    for line in script.split(separator: "\n") {
      let quotes = line.replacing("\\'", with: "").filter { $0 == "'" }
      #expect(quotes.count.isMultiple(of: 2), "\(line)")
    }
  }
}
