import Foundation
import Testing
import _TestSupport

/// Every command in the documents is run, or planned, or read by the program as far as it goes
/// without its inputs; those that cannot be stand in a list with the reason.
@Suite(.timeLimit(.minutes(1)))
struct DocumentedCommandsTests {
  /// Beginnings of commands that no test runs, and why. Their options are still checked against
  /// the help of the script or program.
  private static let exceptions: [(beginning: [String], reason: String)] = [
    (["cc"], "InferenceTests compiles that program and runs it"),
    (["launch/quickstart"], "trains for minutes"),
    (["launch/test"], "runs these tests"),
    ([".ci/run"], "runs these tests"),
    (["launch/fuzz"], "reads spoilt files for minutes; tests do with fewer"),
    (["launch/campaign"], "strikes a tiny job for minutes; launch/test does"),
    (["launch/peers"], "compares with PyTorch for many minutes"),
    (["launch/prediction"], "measures for minutes; what it runs is tested with the commands"),
    (["launch/lab"], "needs root and namespaces; LabTests run it"),
    (["sbatch"], "needs Slurm; SlurmTests run what it runs"),
    (["kubectl"], "needs Kubernetes; a test reads what it applies"),
    (["launch/build"], "builds what these tests run"),
    (["repvgg", "bench"], "measures for minutes; its small form is tested with the command"),
    (["swift", "format"], "rewrites the source files"),
  ]

  @Test func documentsHaveCommands() {
    #expect(DocumentedCommand.all.count >= 15)
    #expect(DocumentedCommand.all.contains { $0.place.hasPrefix("README.md:") })
  }

  @Test(arguments: DocumentedCommand.all)
  func itWorks(_ command: DocumentedCommand) throws {
    let words = command.words.map { $0.hasPrefix("./") ? String($0.dropFirst(2)) : $0 }
    if Self.exceptions.contains(where: { Self.program(words).starts(with: $0.beginning) }) {
      try checkOptions(words)
    } else if words[0] == "launch/train" {
      try checkLaunch(words)
    } else if Self.program(words)[0] == "repvgg" {
      try checkProgram(words)
    } else {
      Issue.record("no test runs \(command.text); teach this one, or list it with a reason")
    }
  }

  @Test func exceptionsAreNeeded() {
    for exception in Self.exceptions {
      #expect(
        DocumentedCommand.all.contains {
          Self.program($0.words.map { $0.hasPrefix("./") ? String($0.dropFirst(2)) : $0 })
            .starts(with: exception.beginning)
        }, "no document has \(exception.beginning) any more")
    }
  }

  @Test func commandsAreReadAsAShellReadsThem() {
    let lines = [
      "```sh", "A=1 b 'c d' --e=f  # g", "  h \\", "  i", "", "# j", "```", "k", "```console",
      "$ l \"m n\"", "answer", "```", "```yaml", "o: p", "```",
    ]
    let commands = DocumentedCommand.commands(in: lines, of: "x.md")
    #expect(commands.map(\.words) == [["b", "c d", "--e=f"], ["h", "i"], ["l", "m n"]])
    #expect(commands.map(\.place) == ["x.md:2", "x.md:4", "x.md:10"])
  }

  /// The command behind mpirun and its options.
  private static func program(_ words: [String]) -> [String] {
    guard words.first == "mpirun", let start = words.firstIndex(of: "repvgg") else { return words }
    return Array(words[start...])
  }

  /// Every option that is used stands in the help.
  private func checkOptions(_ words: [String]) throws {
    let program = Self.program(words)
    guard program[0] == "repvgg" || program[0].hasPrefix("launch/") else { return }
    let help =
      program[0] == "repvgg"
      ? try runProgram([program[1], "--help"])
      : try runExecutable("\(DocumentedCommand.root)/\(program[0])", ["--help"])
    #expect(help.status == 0)
    // What comes after `--` is another program's.
    for option in program.prefix(while: { $0 != "--" }) where option.hasPrefix("--") {
      let name = option.split(separator: "=").first.map(String.init) ?? option
      #expect(help.stdout.contains(name), "\(program[0]) has no \(name)")
    }
  }

  /// `launch/train` builds the mpirun command, and what that would train can be planned.
  private func checkLaunch(_ words: [String]) throws {
    // Hosts of documents are none that this machine knows.
    var words = words
    if let place = words.firstIndex(of: "--hosts") { words[place + 1] = "localhost:8" }
    let result = try runExecutable(
      "\(DocumentedCommand.root)/\(words[0])", Array(words.dropFirst()) + ["--dry-run"],
      directory: DocumentedCommand.root)
    #expect(result.status == 0, "\(result.stderr)")
    let command = DocumentedCommand.words(result.stdout.trimmingCharacters(in: .newlines))
    let start = try #require(command.firstIndex { $0.hasSuffix("/repvgg") })
    let mpirun = try #require(command.firstIndex(of: "mpirun"))
    try checkProgram(Array(command[mpirun..<start]) + ["repvgg"] + command[(start + 1)...])
  }

  /// Runs what is cheap; plans what would train; runs anything else where its inputs are missing,
  /// which it must say without a word about usage.
  private func checkProgram(_ words: [String]) throws {
    let scratch = try ScratchDirectory()
    try FileManager.default.copyItem(
      atPath: "\(DocumentedCommand.root)/configs", toPath: scratch.path("configs"))
    let program = Self.program(words)
    let arguments = Array(program.dropFirst())
    if arguments.contains(where: { $0.hasPrefix("docs/") }) {
      try FileManager.default.copyItem(
        atPath: "\(DocumentedCommand.root)/docs", toPath: scratch.path("docs"))
    }
    let name = try #require(arguments.first)
    if arguments.contains("--help") || ["help", "version", "completion", "plan"].contains(name) {
      let result = try runProgram(arguments, directory: scratch.path)
      #expect(result.status == 0, "\(result.stderr)")
      #expect(!result.stdout.isEmpty)
    } else if name == "doctor" {
      let result = try runProgram(arguments, directory: scratch.path)
      #expect([0, 78].contains(result.status), "\(result.stderr)")
    } else if name == "train" {
      try checkTraining(arguments, ranks: Self.ranks(words), in: scratch)
    } else {
      let result = try runProgram(arguments, directory: scratch.path)
      #expect(result.status == 66, "\(result.status): \(result.stderr)")
    }
  }

  private func checkTraining(_ arguments: [String], ranks: String, in scratch: ScratchDirectory)
    throws
  {
    // The command line is read to its end, and only then the configuration is missed.
    let elsewhere = try ScratchDirectory()
    let train = try runProgram(arguments, directory: elsewhere.path)
    #expect(train.status == 66, "\(train.status): \(train.stderr)")
    // What only training knows is left out of the plan.
    var planned = ["plan"]
    var rest = arguments.dropFirst()
    while let word = rest.popFirst() {
      if ["--output", "--resume", "--progress", "--bind"].contains(word) {
        _ = rest.popFirst()
      } else if word == "--set", rest.first?.hasPrefix("model.initialize_from=") == true {
        // The plan would look into the file.
        _ = rest.popFirst()
      } else if word != "--quiet" {
        planned.append(word)
      }
    }
    let plan = try runProgram(planned + ["--ranks", ranks], directory: scratch.path)
    #expect(plan.status == 0, "\(plan.stderr)")
  }

  /// The number behind mpirun's -np; 1 without mpirun.
  private static func ranks(_ words: [String]) -> String {
    guard let option = words.firstIndex(of: "-np"), option + 1 < words.count else { return "1" }
    return words[option + 1]
  }
}
