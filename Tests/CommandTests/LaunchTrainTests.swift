import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// `launch/train` as it watches over a job: what it does with signals and crashes.
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(20)))
  struct LaunchTrainTests {}
}

/// A program that ends as its script says: a line of `attempts.txt` an attempt, `CODE STEP`, 0 when
/// they are used up. `CODE` may be `stop` (waits for SIGUSR1) or `deaf` (ignores it).
private struct Understudy {
  let scratch: ScratchDirectory

  private static let script = """
    #!/usr/bin/env bash
    cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
    if [[ $1 == plan ]]; then printf '    "run_directory": "%s/out",\\n' "$PWD"; exit; fi
    [[ $OMPI_COMM_WORLD_RANK == 0 ]] || exit 0
    printf '%s %s\\n' "$OMPI_COMM_WORLD_SIZE" "$*" >>starts.txt
    read -r code step <attempts.txt || exit 0
    sed -i 1d attempts.txt
    mkdir -p out
    running=true deaths=0
    if [[ $code == refused ]]; then running=false deaths=3 code=70; fi
    printf '{"step": %9d, "running": %s, "deaths": %4d, "died_in": 3}\\n' "$step" $running $deaths \\
      >out/attempts.json
    case $code in
      stop) trap 'exit 75' USR1 ;;
      deaf) trap '' USR1 ;;
      *) if ((code > 128)); then kill -$((code - 128)) $$; fi; exit "$code" ;;
    esac
    touch ready
    for _ in {1..600}; do read -r -t 0.05 <>pipe || true; done

    """

  init(_ attempts: [String]) throws {
    scratch = try ScratchDirectory()
    let path = try scratch.write(Self.script, to: "repvgg")
    #expect(chmod(path, 0o755) == 0)
    #expect(mkfifo(scratch.path("pipe"), 0o600) == 0)
    try scratch.write(attempts.map { $0 + "\n" }.joined(), to: "attempts.txt")
  }

  func start(_ arguments: [String]) throws -> MPIJob {
    try MPIJob(
      script: "\(projectRoot)/launch/train", program: "repvgg",
      ["--ranks", "1", "any.yaml"] + arguments,
      environment: ["REPVGG_PROGRAM": scratch.path("repvgg")], timeout: 60)
  }

  /// Ranks and arguments of each attempt.
  func starts() throws -> [String] {
    try scratch.text(of: "starts.txt").split(separator: "\n").map(String.init)
  }

  func awaitReadiness() {
    for _ in 0..<3_000 {
      if FileManager.default.fileExists(atPath: scratch.path("ready")) { return }
      usleep(10_000)
    }
  }
}

private let projectRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// What `launch/train` itself says, mpirun's words aside.
private func words(_ result: ProgramResult) -> [String] {
  result.stderr.split(separator: "\n").map(String.init).filter { $0.hasPrefix("train: ") }
}

// MARK: - Crashes

extension ProgramTests.LaunchTrainTests {
  @Test func crashesAreFollowedByRestartsWhileThereIsProgress() throws {
    let job = try Understudy(["137 5", "137 7", "74 9"])
    let result = try job.start(["--restarts", "1", "--restart-ranks=2"]).wait()
    #expect(result.status == 0, "\(result.stderr)")
    let starts = try job.starts()
    #expect(
      starts == [1, 2, 2, 2].map { "\($0) train any.yaml --threads auto --bind auto" },
      "\(starts)")
    #expect(words(result).count == 3 && words(result)[0].contains("signal 9 (code 137) in step 5"))
  }

  @Test func restartsWithoutProgressAreCounted() throws {
    let job = try Understudy(["139 5", "1 5", "139 4", "0 9"])
    let result = try job.start(["--restarts=2"]).wait()
    #expect(result.status == 139, "\(result.stderr)")
    #expect(try job.starts().count == 3)
    #expect(
      words(result).last?.hasPrefix(
        "train: given up: ended by signal 11 (code 139) in step 4, and 2 ")
        == true, "\(words(result))")
  }

  @Test(arguments: [64, 78])
  func whatTryingAgainDoesNotMendEndsIt(code: Int) throws {
    let job = try Understudy(["\(code) 5", "0 6"])
    let result = try job.start(["--restarts", "5"]).wait()
    #expect(result.status == code, "\(result.stderr)")
    #expect(try job.starts().count == 1)
  }

  @Test func aStepThatTheProgramRefusesEndsIt() throws {
    let job = try Understudy(["refused 5", "0 6"])
    let result = try job.start(["--restarts", "5"]).wait()
    #expect(result.status == 70, "\(result.stderr)")
    #expect(try job.starts().count == 1)
    #expect(words(result).last?.hasPrefix("train: given up: ") == true)
  }

  @Test func withoutTheOptionNothingIsStartedAgain() throws {
    let job = try Understudy(["137 5"])
    let result = try job.start([]).wait()
    #expect(result.status == 137 && words(result).isEmpty, "\(result.stderr)")
  }
}

// MARK: - Signals

extension ProgramTests.LaunchTrainTests {
  @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
  func theFirstSignalStopsInOrder(number: Int32) throws {
    let job = try Understudy(["stop 5"])
    let running = try job.start(["--restarts", "5"])
    job.awaitReadiness()
    running.launcher.signal(number)
    let result = try running.wait()
    #expect(result.status == 75 && !result.timedOut, "\(result.stderr)")
    #expect(try job.starts().count == 1)
    #expect(words(result).last == "train: stopped; the same command goes on")
  }

  @Test func theSecondCtrlCEndsAtOnceWhatDoesNotListen() throws {
    let job = try Understudy(["deaf 5"])
    let running = try job.start(["--restarts", "5"])
    job.awaitReadiness()
    let mpirun = try #require(running.mpirun)
    let processes = [mpirun] + RunningProgram.children(of: mpirun, named: "repvgg")
    running.launcher.signal(SIGINT)
    usleep(300_000)
    running.launcher.signal(SIGINT)
    let result = try running.wait()
    #expect(result.status == 130 && !result.timedOut, "\(result.stderr)")
    #expect(MPIJob.areGone(processes, within: 5))
    #expect(try job.starts().count == 1)
  }

  /// mpirun can lock itself up in its own end; a stopped one looks the same from outside.
  @Test func anMPIRunThatIsStuckBehindItsRanksIsEnded() throws {
    let job = try Understudy(["stop 5"])
    let running = try job.start([])
    job.awaitReadiness()
    let mpirun = try #require(running.mpirun)
    kill(mpirun, SIGSTOP)
    for rank in RunningProgram.children(of: mpirun, named: "repvgg") { kill(rank, SIGUSR1) }
    let result = try running.wait()
    #expect(result.status == 137 && !result.timedOut, "\(result)")
    #expect(words(result) == ["train: mpirun does not end although all its ranks have; ending it"])
  }

  /// Whoever kills the script must not leave ranks behind that hold cores and the run's lock.
  @Test func nothingOutlivesTheScript() throws {
    let job = try Understudy(["deaf 5"])
    let running = try job.start([])
    job.awaitReadiness()
    let mpirun = try #require(running.mpirun)
    let processes = [mpirun] + RunningProgram.children(of: mpirun, named: "repvgg")
    running.launcher.signal(SIGKILL)
    #expect(try running.wait().status == 137)
    #expect(MPIJob.areGone(processes, within: 10), "\(processes)")
  }
}

// MARK: - With the program itself

extension ProgramTests.LaunchTrainTests {
  /// Stopped by Ctrl-C, then a rank killed: nothing is lost, and the bits are those of a run that
  /// nothing befell.
  @Test func stoppedAndCrashedRunsEndWithTheSameBits() throws {
    let text = TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 60")
      .replacingOccurrences(of: "every_steps: 5", with: "every_steps: 40")
    let job = try TinyJob(text)
    #expect(try job.train(output: "undisturbed").status == 0)
    func start(_ arguments: [String]) throws -> MPIJob {
      try MPIJob(
        script: "\(projectRoot)/launch/train",
        [TinyJob.configuration, "--ranks", "2", "--output", "out"] + arguments,
        directory: job.scratch.path)
    }
    func steps() -> Int { (try? job.metrics(of: "out").filter { $0.event == "step" }.count) ?? 0 }
    func awaitSteps(_ count: Int, _ running: MPIJob) {
      for _ in 0..<6_000 {
        if steps() >= count || !running.launcher.isRunning { return }
        usleep(5_000)
      }
    }
    func run(_ arguments: [String], steps count: Int, _ strike: (MPIJob) -> Void) throws
      -> ProgramResult
    {
      let running = try start(arguments)
      awaitSteps(count, running)
      strike(running)
      return try running.wait()
    }
    let stopped = try run([], steps: 10) { $0.launcher.signal(SIGINT) }
    #expect(stopped.status == 75, "\(stopped.stderr)")
    let result = try run(["--restarts", "1"], steps: steps() + 12) { running in
      if let rank = running.ranks.last { kill(rank, SIGKILL) }
    }
    #expect(result.status == 0, "\(result.stderr)")
    #expect(words(result).count == 1, "\(result.stderr)")
    #expect(try job.hash(of: "out") == job.hash(of: "undisturbed"))
    let record = try job.scratch.text(of: "out/attempts.json")
    #expect(
      record.contains("\"running\": false") && record.contains("\"deaths\":    0"), "\(record)")
  }

  /// A signal that comes before mpirun, or its ranks, can take it is not lost, and does no harm.
  @Test func signalsInTheFirstMomentsStopTheJob() throws {
    let text = TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 100000")
    let job = try TinyJob(text)
    for (signal, pause) in [
      (SIGINT, 0), (SIGUSR1, 60), (SIGINT, 150), (SIGUSR1, 300), (SIGINT, 500),
    ] {
      let running = try MPIJob(
        script: "\(projectRoot)/launch/train",
        [TinyJob.configuration, "--ranks", "2", "--output", "out", "--restarts", "3"],
        directory: job.scratch.path)
      usleep(UInt32(pause * 1000))
      running.launcher.signal(signal)
      let result = try running.wait()
      // Before the script listens, the signal ends it as any other; it then says its command.
      let early = result.stdout.isEmpty ? [128 + Int(signal)] : []
      #expect(([75] + early).contains(result.status), "\(pause) ms: \(result)")
    }
  }

  /// The program refuses a step that three attempts died in: nothing is tried again.
  @Test func aRefusedStepIsNotTriedAgain() throws {
    let job = try TinyJob()
    #expect(try job.train(.ranks(2), output: "out").status == 0)
    try spoilAttempts(of: job)
    let result = try MPIJob(
      script: "\(projectRoot)/launch/train",
      [TinyJob.configuration, "--ranks", "2", "--output", "out", "--restarts", "9"],
      directory: job.scratch.path
    ).wait()
    #expect(result.status == 70, "\(result)")
    #expect(result.complaints.count == 1 && result.stderr.contains("3 attempts in a row died"))
    #expect(words(result).count == 1 && words(result)[0].hasPrefix("train: given up: "))
  }

  /// As a third process leaves the record that dies in step 13.
  private func spoilAttempts(of job: TinyJob) throws {
    let record = try job.scratch.text(of: "out/attempts.json")
    try #require(
      record.hasPrefix("{\"step\":           31, \"running\": false, \"deaths\":    0, "))
    let setup = try #require(record.range(of: "\"setup\""))
    try job.scratch.write(
      "{\"step\": 13, \"running\": true, \"deaths\": 2, \"died_in\": 13, "
        + record[setup.lowerBound...], to: "out/attempts.json")
  }

  /// Three attempts that die in the same step, and the fourth that says so.
  @Test func aStepThatIsNotSurvivedIsNamedWithItsSamples() throws {
    let job = try TinyJob()
    #expect(try job.train(output: "out").status == 0)
    try spoilAttempts(of: job)
    for launch in [Launch.alone(), .ranks(2)] {
      // Another number of ranks may survive it.
      let result = try job.train(launch, output: "out")
      guard case .alone = launch else {
        #expect(result.status == 0, "\(result.stderr)")
        continue
      }
      #expect(result.status == 70, "\(result.stderr)")
      let line = try #require(result.complaints.first)
      #expect(line.contains("3 attempts in a row died in step 13"), "\(line)")
      #expect(line.contains("epoch 2") && line.contains("train-images-idx3-ubyte["), "\(line)")
      #expect(try job.scratch.text(of: "out/log.txt").contains("samples of step 13: "))
      #expect(try job.train(output: "out").status == 70, "and again")
    }
  }
}
