import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Jobs over several hosts, in the lab of `launch/lab`.
  @Suite(.enabled(if: Lab.isAvailable, "\(Lab.skipReason)"), .timeLimit(.minutes(5)))
  struct LabTests {}
}

extension ProgramTests.LabTests {
  /// One hash, however many ranks there are, on however many hosts, and whoever routes the sums.
  @Test func hostsDoNotChangeTheWeights() throws {
    // Gradients large enough for sums of our own.
    let job = try TinyJob(
      TinyJob.standard.replacingOccurrences(of: "widths: [8, 16]", with: "widths: [64, 160]"),
      trainCount: 64)
    #expect(try job.train(output: "alone").status == 0)
    let expected = try job.hash(of: "alone")
    let lab = try Lab(hosts: 4)
    for (hosts, ranks, reduction) in [
      ("h1", 1, "halving"), ("h1:2", 2, "halving"), ("h1:2", 2, "library"),
      ("h1:4", 4, "halving"), ("h1:4", 4, "library"), ("h1:8", 8, "halving"),
      ("h1:8", 8, "library"), ("h1:1,h2:1", 2, "halving"), ("h1:1,h2:1", 2, "library"),
      ("h1:2,h2:2", 4, "halving"), ("h1:2,h2:2", 4, "library"), ("h1:4,h2:4", 8, "halving"),
      ("h1:4,h2:4", 8, "library"), ("h1:1,h2:1,h3:1,h4:1", 4, "halving"),
      ("h1:1,h2:1,h3:1,h4:1", 4, "library"), ("h1:2,h2:2,h3:2,h4:2", 8, "halving"),
      ("h1:2,h2:2,h3:2,h4:2", 8, "library"),
    ] {
      let output = "\(hosts)-\(reduction)".filter { $0 != ":" && $0 != "," }
      let result = try lab.start(
        job, hosts: hosts, ranks: ranks, output: output,
        ["--set", "communication.reduction=\(reduction)"]
      ).wait()
      #expect(result.status == 0, "\(hosts): \(result.stderr)")
      #expect(try job.hash(of: output) == expected, "\(hosts), \(reduction)")
      let start = try #require(try job.metrics(of: output).first)
      #expect(start.members["world_size"] as? Int == ranks)
      let placement = (start.members["placement"] as? [String] ?? []).joined(separator: "\n")
      for host in hosts.split(separator: ",").map({ $0.prefix { $0 != ":" } }) {
        #expect(placement.contains("on \(host)"), "\(placement)")
      }
    }
  }

  /// The lab itself: built twice is built once, another lab is another, and nothing stays.
  @Test func theLabIsBuiltAndRemoved() throws {
    let before = try namespaces()
    do {
      let lab = try Lab(hosts: 2)
      let status = try lab.run(["up", "--hosts", "2", "--rate", "200mbit"])
      #expect(status == (try lab.run(["status"])))
      let lines = status.split(separator: "\n")
      #expect(lines.count == 2 && lines.allSatisfy { $0.contains("rate 200Mbit") }, "\(status)")
      #expect(try lab.run(on: "h2", ["uname", "-n"]).stdout == "h2\n")
      #expect(try lab.run(on: "h3", ["true"]).status == 66)
      try lab.run(["cut", "h2"])
      #expect(try lab.run(["status"]).contains("10.77.0.2   link cut"))
      try lab.run(["join", "h2"])
      try lab.run(["kill", "h2"])
      #expect(try lab.run(["status"]).contains("down"))
      #expect(try lab.run(on: "h2", ["true"]).status == 66)
      try lab.run(["up"])
      #expect(try lab.run(on: "h2", ["true"]).status == 0)
      let ranks = try lab.run(["run", "--ranks", "4", "--", "uname", "-n"])
      #expect(ranks.split(separator: "\n").sorted() == ["h1", "h1", "h2", "h2"])
      let other = try runExecutable(Lab.script, ["--lab", "t\(getpid())x".suffix(8) + "", "down"])
      #expect(other.status == 0)
      #expect(try lab.run(["status"]).split(separator: "\n").count == 2)
      #expect(try namespaces() != before)
    }
    #expect(try namespaces() == before)
  }

  private func namespaces() throws -> [String] {
    let names = try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")
    return (names ?? []).filter { $0.hasPrefix("repvgg-t\(getpid())-") }.sorted()
  }

  /// Without the rights for it nothing is half done.
  @Test func withoutRootTheLabSaysSo() throws {
    let result = try runExecutable(
      "/usr/bin/env", ["setpriv", "--reuid", "65534", "--clear-groups", Lab.script, "up"])
    #expect(result.status == 77 && result.stderr.contains("needs root"), "\(result)")
  }
}
