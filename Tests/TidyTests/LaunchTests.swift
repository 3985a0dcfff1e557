import Foundation
import Testing
import _TestSupport

/// The scripts that start everything.
@Suite(.timeLimit(.minutes(1)))
struct LaunchTests {
  /// What people start; `*.sh` are read by them.
  static let commands = Project.scripts.filter {
    $0.path.hasPrefix("launch/") && $0.lines.first?.hasPrefix("#!") == true
  }

  @Test func theScriptsOfTheDesignExist() {
    let names = Set(Self.commands.map { String($0.path.dropFirst("launch/".count)) })
    #expect(names.isSuperset(of: ["install", "build", "train", "quickstart", "test"]))
  }

  @Test(
    arguments: Project.scripts.filter { script in
      ![".sh", ".yaml", ".example"].contains { script.path.hasSuffix($0) }
    })
  func scriptsStopAtErrors(_ script: Project.File) {
    #expect(script.lines.first == "#!/usr/bin/env bash", "\(script)")
    #expect(script.lines.contains("set -euo pipefail"), "\(script)")
    #expect(
      FileManager.default.isExecutableFile(atPath: "\(Project.root)/\(script.path)"), "\(script)")
  }

  @Test(arguments: commands)
  func scriptsExplainThemselvesFromAnywhere(_ script: Project.File) throws {
    let path = "\(Project.root)/\(script.path)"
    for option in ["--help", "-h"] {
      let result = try runExecutable(path, [option], directory: "/")
      #expect(result.status == 0, "\(script): \(result.stderr)")
      #expect(result.stdout.hasPrefix("Usage: \(script.path)"), "\(script)")
      #expect(result.stderr.isEmpty, "\(script): \(result.stderr)")
    }
    #expect(
      try runExecutable(path, ["--help"]).stdout.split(separator: "\n").allSatisfy {
        $0.count <= 100
      })
  }

  @Test(arguments: commands.filter { $0.path != "launch/train" })
  func scriptsRefuseWhatTheyDoNotKnow(_ script: Project.File) throws {
    let result = try runExecutable(
      "\(Project.root)/\(script.path)", ["--no-such-option"], directory: "/")
    #expect(result.status == 64, "\(script): \(result.stderr)")
    #expect(result.stderr.contains("--no-such-option"), "\(script): \(result.stderr)")
    #expect(result.stdout.isEmpty, "\(script): \(result.stdout)")
  }

  @Test func trainShowsTheCommandThatItBecomes() throws {
    let result = try runExecutable(
      "\(Project.root)/launch/train",
      ["my configs/a.yaml", "--ranks", "3", "--threads=4096", "--dry-run", "--set", "a.b=c"],
      environment: ["REPVGG_PROGRESS": ""], directory: "/")
    #expect(result.status == 0, "\(result.stderr)")
    let command = result.stdout.split(separator: "\n")
    #expect(command.count == 1)
    #expect(result.stdout.contains("OMPI_MCA_mpi_yield_when_idle=1"), "more threads than cores")
    #expect(
      result.stdout.hasSuffix(
        "/.build/release/repvgg train 'my configs/a.yaml' --set a.b=c --threads 4096 "
          + "--bind auto\n"))
    #expect(result.stdout.contains("mpirun --oversubscribe --bind-to none -np 3 "))
  }

  @Test(arguments: [
    ["--ranks", "0"], ["--ranks", "two"], ["--threads"], ["--ranks=-1"], ["--restarts", "-1"],
    ["--restarts=many"], ["--restart-ranks", "0"], [],
  ])
  func trainRefusesWrongNumbers(_ arguments: [String]) throws {
    let result = try runExecutable("\(Project.root)/launch/train", arguments, directory: "/")
    #expect(result.status == 64, "\(result.stderr)")
    #expect(result.stdout.isEmpty)
  }

  @Test(arguments: [
    ("thesis.txt", "thesis.txt"), ("config.yaml", "no run of repvgg"),
    ("plan.json", "no run of repvgg"),
  ])
  func quickstartRemovesNothingButRuns(name: String, says: String) throws {
    let scratch = try ScratchDirectory()
    try scratch.write("of great value", to: name)
    let result = try runExecutable(
      "\(Project.root)/launch/quickstart", ["--fresh", "--output", scratch.path], directory: "/")
    #expect(result.status == 1)
    #expect(result.stderr.contains(says), "\(result.stderr)")
    #expect(try scratch.text(of: name) == "of great value")
  }
}
