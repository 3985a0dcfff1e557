import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Jobs side by side, and ranks on hosts, as their users see them.
  @Suite(.timeLimit(.minutes(5))) struct RankPlacementTests {}
}

extension ProgramTests.RankPlacementTests {
  private static let long = TinyJob.standard.replacingOccurrences(
    of: "epochs: 3", with: "epochs: 100000")
  private static let cores = ProcessInfo.processInfo.activeProcessorCount

  /// The cores that a process is bound to, as the kernel says.
  private func cores(of process: Int32) -> String {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return line.map { String($0.drop { $0 != ":" }.dropFirst().filter { !$0.isWhitespace }) } ?? ""
  }

  /// The placement in the run's first line of metrics, awaited.
  private func placement(of output: String, _ job: TinyJob) throws -> String {
    for _ in 0..<2_000 {
      if let start = try? job.metrics(of: output).first, start.event == "start" {
        return (start.members["placement"] as? [String])?.joined(separator: "\n") ?? ""
      }
      usleep(10_000)
    }
    throw Unexpected("\(output) has not started")
  }

  /// Each gets a core of its own; who comes when all are held runs unbound and says so, and holds them
  /// all then; a core that was given back is taken again.
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.activeProcessorCount == 2, "two cores are what it is written for")
  )
  func jobsSideBySideDoNotShareCores() throws {
    let job = try TinyJob(Self.long)
    func start(_ output: String, threads: String? = nil) throws -> RunningProgram {
      try RunningProgram(
        try builtProgram("repvgg"),
        ["train", TinyJob.configuration, "--output", output, "--bind", "auto"]
          + (threads.map { ["--threads", $0] } ?? []),
        environment: withoutMPI, directory: job.scratch.path)
    }
    let first = try start("one")
    #expect(try placement(of: "one", job).hasSuffix("on cores 0"))
    #expect(cores(of: first.processID) == "0")
    let second = try start("two")
    let found = try placement(of: "two", job)
    #expect(found.contains("on cores 1; other cores are held by process \(first.processID)"))
    #expect(cores(of: second.processID) == "1")
    let third = try start("three")
    #expect(try placement(of: "three", job).contains("not bound (0 free cores)"))
    #expect(cores(of: third.processID) == "0-1")
    for running in [first, third] {
      running.signal(SIGTERM)
      #expect(try running.wait().status == 75)
    }
    let fourth = try start("four")
    #expect(try placement(of: "four", job).contains("on cores 0"))
    // Threads for all cores hold all of them.
    second.signal(SIGTERM)
    fourth.signal(SIGTERM)
    #expect(try second.wait().status == 75 && fourth.wait().status == 75)
    let whole = try start("whole", threads: "auto")
    #expect(try placement(of: "whole", job).contains("2 threads, on cores 0-1"))
    let late = try start("late")
    #expect(
      try placement(of: "late", job).contains(
        "not bound (0 free cores); other cores are held by process \(whole.processID)"))
    for running in [whole, late] {
      running.signal(SIGTERM)
      #expect(try running.wait().status == 75)
    }
  }

  /// Started in the same moment, several times over.
  @Test func jobsThatStartTogetherDoNotShareCores() throws {
    let job = try TinyJob(Self.long)
    var bound = 0
    for round in 0..<3 {
      let running = try (0..<2).map { try job.start(output: "\(round)-\($0)", ["--bind", "auto"]) }
      for index in 0..<2 { _ = try placement(of: "\(round)-\(index)", job) }
      let all = cores(of: getpid())
      let held = running.map { cores(of: $0.processID) }.filter { $0 != all }
      #expect(Set(held).count == held.count, "\(held)")
      bound += held.count
      for program in running {
        program.signal(SIGTERM)
        #expect(try program.wait().status == 75)
      }
    }
    #expect(bound > 0 || Self.cores == 1)
  }

  @Test func threadsThatFit() throws {
    let job = try TinyJob()
    let alone = try job.run(
      ["train", TinyJob.configuration, "--output", "out", "--threads", "auto"])
    #expect(alone.status == 0, "\(alone)")
    let start = try #require(try job.metrics(of: "out").first)
    #expect(start.members["threads"] as? Int == Self.cores)
    for wrong in ["0", "many", "1025"] {
      let result = try job.run(["train", TinyJob.configuration, "--threads", wrong])
      #expect(result.status == 64 && result.stderr.contains("from 1 to 1024 or auto"), "\(result)")
    }
  }

  @Test func hostsAreLaidOut() throws {
    let job = try TinyJob()
    try job.scratch.write("a slots=4\nb slots=4\n", to: "hosts")
    let text = try job.run(["hosts", "hosts"])
    #expect(text.stdout == "ranks 0 to 3 on a\nranks 4 to 7 on b\n", "\(text)")
    let fewer = try job.run(["hosts", "a:4,b:4", "--ranks", "8", "--without", "b", "--json"])
    #expect(fewer.stdout.contains("\"ranks\":4") && fewer.stdout.contains("\"a:4\""), "\(fewer)")
    let single = try job.run(["hosts", "a:4,b", "--ranks", "5", "--without", "a"])
    #expect(single.stdout == "rank 0 on b\n", "\(single)")
    for (arguments, code, words) in [
      (["a:2", "--ranks", "3"], 78, "3 ranks do not fit into 2 slots"),
      (["a:x"], 64, "'x' is no number of slots"), (["./none"], 66, "No such file"),
      ([TinyJob.configuration], 65, "line 1"), (["a", "--without", "b"], 64, "none of the hosts"),
      (["a", "--without", "a"], 66, "no host is left"),
    ] {
      let result = try job.run(["hosts"] + arguments)
      #expect(result.status == code && result.complaints.count == 1, "\(result)")
      #expect(result.stderr.contains(words), "\(result)")
    }
  }

  @Test func plansSayWhereRanksGo() throws {
    let job = try TinyJob()
    let plan = try job.run(["plan", TinyJob.configuration, "--hosts", "a:2,b:2"])
    #expect(plan.status == 0, "\(plan)")
    #expect(plan.stdout.contains("ranks 2 to 3 on b, 1 thread each, on cores "), "\(plan)")
    let keepalive =
      "--mca oob_tcp_keepalive_time 10 --mca oob_tcp_keepalive_intvl 5 "
      + "--mca oob_tcp_keepalive_probes 3"
    #expect(
      plan.stdout.contains("--map-by slot --host a:2,b:2 \(keepalive) -np 4 ")
        || plan.stdout.contains(
          "--map-by slot --host a:2,b:2 \(keepalive) --mca mpi_yield_when_idle 1 -np 4 "),
      "\(plan)")
    #expect(plan.stdout.contains("  network: "))
    let narrowed = try job.run(
      ["plan", TinyJob.configuration, "--hosts", "a:2,b:2", "--interface", "lo"])
    #expect(narrowed.stdout.contains("; MPI takes lo"), "\(narrowed)")
    #expect(
      narrowed.stdout.contains("--mca btl_tcp_if_include lo --mca oob_tcp_if_include lo"),
      "\(narrowed)")
    let alone = try job.run(["doctor", "--interface", "lo"])
    #expect(alone.status == 64 && alone.stderr.contains("--hosts"), "\(alone)")
    let many = try job.run(["plan", TinyJob.configuration, "--hosts", "a:9", "--ranks", "9"])
    #expect(many.status == 78 && many.stderr.contains("training.shards"), "\(many)")
  }

  @Test(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"))
  func doctorExaminesAllHosts() throws {
    let scratch = try ScratchDirectory()
    let result = try runProgram(
      ["doctor", "--hosts", "localhost:2", "--ranks", "2"], environment: withoutMPI,
      directory: scratch.path, timeout: 60)
    #expect([0, 78].contains(result.status), "\(result)")
    #expect(result.stdout.contains("ranks 0 to 1 of 2"), "\(result)")
    let nested = try MPIRun.run(
      ranks: 1, ["doctor", "--hosts", "localhost"], directory: scratch.path)
    #expect(nested.status == 64 && nested.stderr.contains("starts mpirun itself"), "\(nested)")
  }
}
