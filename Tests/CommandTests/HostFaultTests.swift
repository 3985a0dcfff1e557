import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// What befalls hosts, in the lab of `launch/lab`: named, ended in time, and made good again.
  @Suite(.enabled(if: Lab.isAvailable, "\(Lab.skipReason)"), .timeLimit(.minutes(5)))
  struct HostFaultTests {}
}

// MARK: - Before the first step

extension ProgramTests.HostFaultTests {
  /// A host that has something else than the others, or lacks it: said with its name, and the same
  /// command goes through when it is mended.
  @Test func hostsThatDifferAreNamed() throws {
    let job = try TinyJob()
    #expect(try job.train(output: "alone").status == 0)
    let program = try otherPrograms(for: job)
    try job.scratch.write("", to: "empty/nothing")
    try IDXFiles.write(to: job.scratch, directory: "other", trainCount: 320, testCount: 50)
    let labels = job.scratch.path("other/train-labels-idx1-ubyte")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: labels))
    bytes[20] = bytes[20] == 3 ? 4 : 3
    try bytes.write(to: URL(fileURLWithPath: labels))

    let lab = try Lab(hosts: 2)
    for (from, over, code, words) in [
      (
        program.other, program.path, 78,
        "rank 2 on h2 (and 1 more like it) differs from rank 0 on h1"
      ),
      (
        job.scratch.path("other"), job.scratch.path("data"), 78,
        "differs from rank 0 on h1 in the data"
      ),
      (
        job.scratch.path("empty"), job.scratch.path("data"), 66, "rank 2 on h2: data: holds neither"
      ),
    ] {
      try lab.mount(["--bind", from, over], on: "h2")
      let result = try train(job, lab, program: program.path)
      #expect(result.status == code && !result.timedOut, "\(result)")
      #expect(result.complaints.count == 1, "\(result.complaints)")
      #expect(result.complaints.first?.contains(words) == true, "\(result.complaints)")
      #expect(try lab.run(on: "h2", ["umount", over]).status == 0)
    }
    let result = try train(job, lab, program: program.path)
    #expect(result.status == 0, "\(result.stderr)")
    #expect(try job.hash(of: "out") == job.hash(of: "alone"))
  }

  /// Two builds of the program that do the same: the second has bytes behind its end.
  private func otherPrograms(for job: TinyJob) throws -> (path: String, other: String) {
    let program = try Data(contentsOf: URL(fileURLWithPath: try builtProgram("repvgg")))
    let places = (path: job.scratch.path("repvgg"), other: job.scratch.path("repvgg-other"))
    for (place, tail) in [(places.path, ""), (places.other, "\n")] {
      try (program + Data(tail.utf8)).write(to: URL(fileURLWithPath: place))
      guard chmod(place, 0o755) == 0 else { throw Unexpected("chmod of \(place)") }
    }
    return places
  }

  private func train(
    _ job: TinyJob, _ lab: Lab, output: String = "out", program: String? = nil,
    hosts: String = "h1:2,h2:2"
  ) throws -> ProgramResult {
    try lab.start(job, hosts: hosts, ranks: 4, output: output, program: program).wait()
  }

  @Test func hostsWithoutSpaceAreNamed() throws {
    let job = try TinyJob()
    #expect(try job.train(output: "alone").status == 0)
    let lab = try Lab(hosts: 2)
    // Where rank 0 writes: less than a checkpoint.
    try job.scratch.write("", to: "disk/.keep")
    let (disk, out) = (job.scratch.path("disk"), "disk/out")
    try lab.mount(["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], on: "h1")
    let full = try train(job, lab, output: out)
    #expect(full.status == 74 && !full.timedOut, "\(full)")
    #expect(full.complaints.first?.contains("No space left on device") == true, "\(full)")
    #expect(try lab.run(on: "h1", ["umount", disk]).status == 0)
    // Where MPI keeps its own files.
    try lab.mount(["-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", "/var/tmp"], on: "h2")
    let tight = try train(job, lab, output: out)
    #expect(tight.status == 74 && !tight.timedOut, "\(tight)")
    #expect(tight.stderr.contains("on h2: /var/tmp: "), "\(tight.stderr)")
    #expect(!tight.stderr.contains("crashed"), "\(tight.stderr)")
    #expect(try lab.run(on: "h2", ["umount", "/var/tmp"]).status == 0)
    let result = try train(job, lab, output: out)
    #expect(result.status == 0, "\(result.stderr)")
    #expect(try job.hash(of: out) == job.hash(of: "alone"))
  }

  @Test func aHostThatNobodyKnowsIsNamed() throws {
    let job = try TinyJob()
    let lab = try Lab(hosts: 2)
    let result = try train(job, lab, hosts: "h1:2,h22:2")
    #expect(result.status == 78 && !result.timedOut, "\(result)")
    #expect(result.stderr.hasPrefix("train: host h22 has no address; "), "\(result.stderr)")
  }
}

// MARK: - While the job runs

extension ProgramTests.HostFaultTests {
  /// 600 steps with a checkpoint now and then, and a watchdog that does not wait long.
  private static let long =
    TinyJob.standard.replacingOccurrences(of: "epochs: 3", with: "epochs: 60")
    .replacingOccurrences(of: "every_steps: 5", with: "every_steps: 40")
    + "watchdog:\n  warn_seconds: 2\n  abort_seconds: 8\n"

  private func awaitSteps(_ count: Int, of job: TinyJob, _ running: MPIJob) throws {
    for _ in 0..<6_000 {
      let steps = (try? job.metrics(of: "out").filter { $0.event == "step" }.count) ?? 0
      if steps >= count { return }
      guard running.launcher.isRunning else { break }
      usleep(5_000)
    }
    throw Unexpected("\(count) steps were not reached")
  }

  /// Killed or cut off: the job goes on with the hosts that remain, and ends with the bits of one that
  /// nothing befell.
  @Test(arguments: ["kill", "cut"])
  func aLostHostIsLeftOut(fate: String) throws {
    let job = try TinyJob(Self.long)
    #expect(try job.train(output: "alone").status == 0)
    let lab = try Lab(hosts: 2)
    let running = try lab.start(
      job, hosts: "h1,h2", ranks: 4, output: "out", ["--restarts", "2"])
    try awaitSteps(60, of: job, running)
    try lab.run([fate, "h2"])
    let result = try running.wait()
    #expect(result.status == 0 && !result.timedOut, "\(result)")
    #expect(result.stderr.contains("train: h2 does not answer: going on with "), "\(result.stderr)")
    #expect(try job.hash(of: "out") == job.hash(of: "alone"))
    let starts = try job.metrics(of: "out").filter { $0.event == "start" }
    #expect(starts.count == 2 && starts.last.map { $0.step >= 40 } == true)
    // What was cut off hears of nothing, and ends by itself.
    guard fate == "cut" else { return }
    for _ in 0..<300 {
      if try lab.processes(on: "h2").isEmpty { return }
      usleep(100_000)
    }
    Issue.record("ranks of the host that was cut off still run")
  }

  /// The host that holds rank 0 and mpirun is gone: any other takes up the run.
  @Test func aLostFirstHostIsReplaced() throws {
    let job = try TinyJob(Self.long)
    #expect(try job.train(output: "alone").status == 0)
    let lab = try Lab(hosts: 2)
    let running = try lab.start(job, hosts: "h1:2,h2:2", ranks: 4, output: "out")
    try awaitSteps(60, of: job, running)
    try lab.run(["kill", "h1"])
    #expect(try running.wait().status == 137)
    running.giveTurn()
    let result = try lab.start(job, from: "h2", hosts: "h2:2", ranks: 2, output: "out").wait()
    #expect(result.status == 0, "\(result.stderr)")
    #expect(try job.hash(of: "out") == job.hash(of: "alone"))
  }
}
