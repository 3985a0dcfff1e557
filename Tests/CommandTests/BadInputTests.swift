import Foundation
import Testing
import _TestSupport

/// Whatever is wrong ends with its code and one line that says what, where and how to mend it, and
/// nothing of the user's is lost.
@Suite(.trainedRun, .timeLimit(.minutes(20))) struct BadInputTests {
  @Test(arguments: BadInput.configurations) func configuration(input: BadInput) throws {
    try input.check()
  }

  @Test(arguments: BadInput.commandLines) func commandLine(input: BadInput) throws {
    try input.check()
  }

  @Test(arguments: BadInput.datasets) func dataset(input: BadInput) throws { try input.check() }

  @Test(arguments: BadInput.imageFolders + BadInput.archives + BadInput.cifar)
  func images(input: BadInput) throws { try input.check() }

  @Test(arguments: BadInput.damagedWeights + BadInput.missingWeights)
  func weights(input: BadInput) throws { try input.check() }

  @Test(arguments: BadInput.wrongKinds) func wrongKind(input: BadInput) throws {
    try input.check()
  }

  @Test(arguments: BadInput.beginnings) func beginning(input: BadInput) throws {
    try input.check()
  }

  @Test(arguments: BadInput.goldenStates) func goldenState(input: BadInput) throws {
    try input.check()
  }

  @Test(arguments: BadInput.places) func place(input: BadInput) throws { try input.check() }

  /// mpirun adds its banner; the program's line is still one, from whichever rank.
  @Test(
    .enabled(if: MPIRun.isAvailable, "mpirun is not installed"),
    arguments: [
      BadInput.setting(
        ["training.shards=2"], ["4 ranks but only 2 shards", "--set training.shards=4"], ranks: 4),
      BadInput.setting(
        ["training.global_batch=2", "training.shards=2"], ["at most 2 ranks"], ranks: 3),
      BadInput.setting(["training.epochs=0"], ["1 to 100000"], ranks: 2),
      BadInput.setting(["data.directory=nowhere"], ["nowhere"], code: 66, ranks: 2),
      BadInput("usage", 64, ["CONFIG is missing"], ranks: 2) { _ in ["train"] },
      BadInput("foreign directory", 73, ["out: not empty"], ranks: 2) { site in
        try site.makeDirectory("out")
        try site.write("mine", to: "out/thesis.tex")
        return BadInput.train
      },
      BadInput("wrong form", 65, ["needs training"], ranks: 2) {
        ["fuse", $0.trained.deploy, "--output", "fused.safetensors"]
      },
      BadInput("golden state missing", 66, ["nowhere"], ranks: 2) { _ in ["replay", "nowhere"] },
      BadInput.withoutWeight("init", ranks: 2),
    ])
  func underMPIRun(input: BadInput) throws { try input.check() }

  @Test(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"))
  func parentsAreMade() throws {
    let site = try BadInputSite()
    let result = try site.job.train(.ranks(2), output: "a/b/c", ["--quiet"])
    #expect(result.status == 0, "\(result.stderr)")
    #expect(try site.job.hash(of: "a/b/c").count == 64)
  }

  /// Bytes changed at random in files that are sound: whatever comes of it, it is not a signal.
  /// REPVGG_SEED tries others than the ones tried every time.
  @Test(arguments: ["inspect", "evaluate", "fuse", "replay", "plan"])
  func mutantsEndInOrder(reader: String) throws {
    let environment = ProcessInfo.processInfo.environment
    let seed = environment["REPVGG_SEED"].flatMap { UInt64($0) } ?? 1
    let site = try BadInputSite()
    let golden = ProgramTests.ReplayTests.goldenStates[1]
    let source =
      switch reader {
      case "replay": golden
      case "plan": site.job.scratch.path(TinyJob.configuration)
      default: site.trained.training
      }
    let sound = Array(try Data(contentsOf: URL(fileURLWithPath: source)))
    // Where a safetensors file says what it holds; all of a configuration.
    let length = min(sound.count, 4_000)
    for mutant in 0..<20 {
      var bytes = sound
      var mutator = Mutator(seed: seed, number: mutant)
      for _ in 0...mutator.pick(4) { mutator.change(&bytes, within: length) }
      try site.write(bytes, to: "mutant")
      let result = try site.job.run(BadInput.command(reader, on: "mutant"))
      let comment = Comment("REPVGG_SEED=\(seed), \(reader), mutant \(mutant): \(result.stderr)")
      #expect([0, 65, 66, 76, 78].contains(result.status) && !result.timedOut, comment)
      #expect(result.complaints.count == (result.status == 0 ? 0 : 1), comment)
    }
  }

  @Test(.enabled(if: Unprivileged.isPossible, "cannot run the program as another user"))
  func withoutPermission() throws {
    for input in Unprivileged.cases { try input.check(as: Unprivileged.command) }
  }
}

/// The program as a user whom permissions bind, which they do not bind root.
enum Unprivileged {
  static let command: [String] =
    geteuid() == 0
    ? ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : []

  static let isPossible: Bool = {
    guard let program = try? builtProgram("repvgg") else { return false }
    let whole = command + [program, "version"]
    let result = try? runExecutable(
      whole[0], Array(whole.dropFirst()), environment: withoutMPI)
    return result?.status == 0
  }()

  private static func forbidden(_ name: String, _ says: [String], _ file: String, _ mode: mode_t)
    -> BadInput
  {
    BadInput(name, 77, says) { site in
      chmod(site.job.scratch.path(file), mode)
      return BadInput.train
    }
  }

  private static func unreadable(_ name: String, _ file: String) -> BadInput {
    BadInput(name, 77, [file, "Permission denied", "readable"]) { site in
      try FolderJob.write(to: site.job.scratch, directory: "images")
      chmod(site.job.scratch.path(""), 0o777)
      chmod(site.job.scratch.path(file), 0)
      return BadInput.trainOnFolders
    }
  }

  static let cases = [
    // The site belongs to the test's own user: without write permission where that is not root.
    forbidden("output may not be made", ["out: ", "Permission denied", "--output"], "", 0o555),
    forbidden("configuration may not be read", ["tiny.yaml"], TinyJob.configuration, 0),
    forbidden("images may not be read", ["images"], "data/train-images-idx3-ubyte", 0),
    BadInput("output may not be written", 77, ["out", "Permission denied"]) { site in
      try site.makeDirectory("out")
      chmod(site.job.scratch.path("out"), 0o555)
      return BadInput.train
    },
    unreadable("an image may not be read", "images/train/class1/image3.jpg"),
    unreadable("a class may not be read", "images/train/class1"),
    BadInput("weights may not be read", 77, ["w.safetensors"]) { site in
      try site.write([1, 2, 3], to: "w.safetensors")
      chmod(site.job.scratch.path("w.safetensors"), 0)
      return ["inspect", "w.safetensors"]
    },
  ]
}
