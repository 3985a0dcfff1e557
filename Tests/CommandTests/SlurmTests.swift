import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// `launch/slurm.sbatch`, with stand-ins for the commands of Slurm that it calls.
  @Suite(.timeLimit(.minutes(3))) struct SlurmTests {}
}

/// The inside of a job: the script as Slurm runs it, `scontrol`, and a project whose launch/train and
/// program say what they were given and then do as `deed` says.
private struct Allocation {
  let scratch: ScratchDirectory
  /// What Slurm tells the script.
  let environment: [String: String]

  /// - Parameters:
  ///   - deed: lines of bash, what launch/train and srun do.
  ///   - state: of the job, as scontrol shows it.
  init(
    _ deed: String, state: String = "RUNNING", nodes: String = "n[1-2]", tasks: String = "2(x2)",
    count: Int = 4
  ) throws {
    scratch = try ScratchDirectory()
    try Self.install(
      """
      case "$*" in
        "show hostnames n[1-2]") printf 'n1\\nn2\\n' ;;
        "show hostnames n[1-3]") printf 'n1\\nn2\\nn3\\n' ;;
        "show hostnames "*) printf '%s\\n' "$3" ;;
        "show job 17") printf 'JobId=17 JobName=x\\n   JobState=\(state) Reason=None\\n' ;;
        "requeue 17") echo 17 >>\(scratch.path("requeued.txt")) ;;
        *) exit 1 ;;
      esac
      """, scratch, "bin/scontrol")
    let told = "printf '%s\\n' \"$*\" >>\(scratch.path("told.txt"))"
    try Self.install("\(told)\n\(deed)", scratch, "launch/train")
    try Self.install("\(told)\n\(deed)", scratch, "bin/srun")
    try Self.install("exit 0", scratch, ".build/release/repvgg")
    environment = [
      "SLURM_JOB_ID": "17", "SLURM_SUBMIT_DIR": scratch.path, "SLURM_NTASKS": "\(count)",
      "SLURM_CPUS_PER_TASK": "3", "SLURM_TASKS_PER_NODE": tasks, "SLURM_JOB_NODELIST": nodes,
      "PATH": "\(scratch.path("bin")):\(ProcessInfo.processInfo.environment["PATH"] ?? "/bin")",
      "OMPI_MCA_plm_rsh_agent": "",
    ]
  }

  private static func install(_ text: String, _ scratch: ScratchDirectory, _ place: String) throws {
    let path = try scratch.write("#!/usr/bin/env bash\n\(text)\n", to: place)
    guard chmod(path, 0o755) == 0 else { throw Unexpected("chmod of \(path)") }
  }

  func start(_ arguments: [String], _ changes: [String: String] = [:]) throws -> RunningProgram {
    try RunningProgram(
      "\(Lab.root)/launch/slurm.sbatch", arguments,
      environment: environment.merging(changes) { $1 }, directory: scratch.path)
  }

  /// What launch/train or srun was told, a line a call.
  func told() throws -> [String] {
    try scratch.text(of: "told.txt").split(separator: "\n").map(String.init)
  }

  var wasRequeued: Bool { FileManager.default.fileExists(atPath: scratch.path("requeued.txt")) }

  func awaitFile(_ name: String) {
    for _ in 0..<2_000 where !FileManager.default.fileExists(atPath: scratch.path(name)) {
      usleep(10_000)
    }
  }
}

extension ProgramTests.SlurmTests {
  /// Waits for the wish to stop, and stops in order.
  private static let listener = """
    trap 'exit 75' USR1
    touch ready
    for _ in {1..300}; do sleep 0.1; done
    """

  @Test(arguments: [
    ("n[1-3]", "4(x2),3", 11, "n1:4,n2:4,n3:3"), ("n[1-2]", "1,2", 3, "n1:1,n2:2"),
    ("node7", "5", 5, "node7:5"), ("n[1-3]", "2(x3)", 6, "n1:2,n2:2,n3:2"),
  ])
  func nodesAndTasksBecomeHostsAndRanks(
    nodes: String, tasks: String, count: Int, hosts: String
  ) throws {
    let job = try Allocation("exit 0", nodes: nodes, tasks: tasks, count: count)
    let result = try job.start(["a b.yaml", "--set", "x=y"]).wait()
    #expect(result.status == 0, "\(result)")
    let line = "a b.yaml --set x=y --hosts \(hosts) --ranks \(count) --threads 3 --restarts 3"
    #expect(try job.told() == [line])
  }

  @Test func slurmMayStartTheRanks() throws {
    let job = try Allocation("exit 0")
    let result = try job.start(["a.yaml"], ["REPVGG_LAUNCHER": "srun"]).wait()
    #expect(result.status == 0, "\(result)")
    let told = try job.told()
    #expect(told.count == 1 && told[0].hasPrefix("--mpi=pmix "), "\(told)")
    #expect(told[0].hasSuffix("/.build/release/repvgg train a.yaml --threads 3"), "\(told)")
  }

  @Test(arguments: ["mpirun", "srun"], [SIGUSR1, SIGTERM])
  func aJobThatMustMakeWayQueuesItselfAgain(launcher: String, signal: Int32) throws {
    let job = try Allocation(Self.listener)
    let running = try job.start(["a.yaml"], ["REPVGG_LAUNCHER": launcher])
    job.awaitFile("ready")
    running.signal(signal)
    let result = try running.wait()
    #expect(result.status == 75 && job.wasRequeued, "\(result)")
  }

  /// What somebody cancelled does not come back.
  @Test func aCancelledJobStaysAway() throws {
    let job = try Allocation(Self.listener, state: "CANCELLED")
    let running = try job.start(["a.yaml"])
    job.awaitFile("ready")
    running.signal(SIGTERM)
    let result = try running.wait()
    #expect(result.status == 75 && !job.wasRequeued, "\(result)")
  }

  @Test(arguments: [0, 65, 78, 137])
  func otherEndsAreEnds(code: Int) throws {
    let job = try Allocation("exit \(code)")
    let result = try job.start(["a.yaml"]).wait()
    #expect(result.status == code && !job.wasRequeued, "\(result)")
  }

  @Test func wrongUseIsRefused() throws {
    let job = try Allocation("exit 0")
    for (arguments, environment, says) in [
      (["a.yaml"], ["SLURM_JOB_ID": ""], "sbatch launch/slurm.sbatch a.yaml"),
      ([], [:], "no configuration"), (["--set", "a=b"], [:], "before options such as --set"),
      (["a.yaml"], ["REPVGG_LAUNCHER": "ssh"], "mpirun or srun, not ssh"),
      (["a.yaml"], ["REPVGG_ROOT": "/no-such-place"], "REPVGG_ROOT"),
    ] as [([String], [String: String], String)] {
      let result = try job.start(arguments, environment).wait()
      #expect(result.status == 64 && result.stderr.contains(says), "\(result)")
      #expect(!FileManager.default.fileExists(atPath: job.scratch.path("told.txt")))
    }
  }

  /// With the program itself: preempted, queued again, done, and the bits are those of a job that was
  /// let through.
  @Test(.enabled(if: MPIRun.isAvailable, "\(MPIRun.skipReason)"))
  func aPreemptedJobEndsWithTheSameBits() throws {
    let text = TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 60")
      .replacingOccurrences(of: "every_steps: 5", with: "every_steps: 200")
    let job = try TinyJob(text)
    #expect(try job.train(output: "undisturbed").status == 0)
    let host = ProcessInfo.processInfo.hostName
    let slurm = try Allocation("exit 1", nodes: host, tasks: "2", count: 2)
    let configuration = [
      job.scratch.path(TinyJob.configuration), "--output", job.scratch.path("out"),
    ]
    let environment = [
      "REPVGG_ROOT": Lab.root, "REPVGG_PROGRAM": try builtProgram("repvgg"),
      "SLURM_CPUS_PER_TASK": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    ]
    func start(_ count: Int) throws -> MPIJob {
      try MPIJob(
        script: "\(Lab.root)/launch/slurm.sbatch", configuration,
        environment: slurm.environment.merging(environment) { $1 }
          .merging(["SLURM_RESTART_COUNT": "\(count)"]) { $1 }, directory: job.scratch.path)
    }
    let first = try start(0)
    for _ in 0..<6_000 {
      let steps = (try? job.metrics(of: "out").filter { $0.event == "step" }.count) ?? 0
      if steps >= 20 || !first.launcher.isRunning { break }
      usleep(5_000)
    }
    first.launcher.signal(SIGUSR1)
    let stopped = try first.wait()
    #expect(stopped.status == 75 && slurm.wasRequeued, "\(stopped)")
    first.giveTurn()
    let result = try start(1).wait()
    #expect(result.status == 0, "\(result)")
    #expect(try job.hash(of: "out") == job.hash(of: "undisturbed"))
  }
}
