import Foundation
import Testing
import _TestSupport

/// From measuring a machine to a table of what runs would take: what is said, never how fast.
extension ProgramTests {
  @Suite(.timeLimit(.minutes(2)), .serialized) struct PredictionTests {
    private static let quickstart = "\(DocumentedCommand.root)/configs/quickstart.yaml"
    private static let network = "bandwidth=25Gb/s,latency=10us"

    private func run(
      _ arguments: [String], in scratch: ScratchDirectory
    ) throws -> ProgramResult {
      try runProgram(arguments, environment: withoutMPI, directory: scratch.path)
    }

    private func object(_ text: String) throws -> [String: Any] {
      try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    /// A machine's curves in `machine.json`, of two images a shard.
    private func measured() throws -> ScratchDirectory {
      let scratch = try ScratchDirectory()
      let step = try run(
        [
          "bench", "step", "--model", Self.quickstart, "--batch", "2", "--steps", "1", "--save",
          "machine.json",
        ], in: scratch)
      #expect(step.status == 0 && step.stdout.contains("added to machine.json"), "\(step.stderr)")
      return scratch
    }

    /// Adds sums over two ranks, as if they had been measured.
    private func addSums(to scratch: ScratchDirectory) throws {
      let text = try scratch.text(of: "machine.json")
      let rows = ["float32", "float64"].map {
        "{\"ranks\": 2, \"type\": \"\($0)\", \"bytes\": 1024, \"seconds\": 0.0001}"
      }
      let sums = "\"sums\" : [\(rows.joined(separator: ", "))]"
      let added = text.replacing(/"sums" : \[\s*\]/, with: sums)
      #expect(added != text)
      try scratch.write(added, to: "machine.json")
    }

    @Test func curvesOfAMachine() throws {
      let scratch = try measured()
      let curves = try object(scratch.text(of: "machine.json"))
      #expect(curves["format"] as? String == "repvgg machine" && curves["version"] as? Int == 1)
      let steps = try #require(curves["steps"] as? [[String: Any]])
      #expect(steps.map { $0["shards"] as? Int } == [1, 4])
      for step in steps {
        #expect(step["shard_images"] as? Int == 2 && step["ranks"] as? Int == 1)
        for block in try #require(step["blocks"] as? [[String: Any]]) {
          #expect(try #require(block["forward"] as? Double) > 0)
          #expect(try #require(block["backward"] as? Double) > 0)
        }
        #expect(try #require(step["head"] as? Double) > 0)
        #expect(try #require(step["update"] as? Double) > 0)
      }
      // Once more, and with other shards.
      for batch in ["2", "3"] {
        let again = try run(
          [
            "bench", "step", "--model", Self.quickstart, "--batch", batch, "--steps", "1", "--save",
            "machine.json", "--json",
          ], in: scratch)
        #expect(again.status == 0)
        #expect((try object(again.stdout)["steps"] as? [Any])?.count == 2)
      }
      let more = try object(scratch.text(of: "machine.json"))
      #expect((more["steps"] as? [Any])?.count == 4)
    }

    @Test(.enabled(if: MPIRun.isAvailable, "\(MPIRun.skipReason)")) func curvesOfTwoRanks() throws {
      let scratch = try measured()
      let sums = try MPIRun.run(
        ranks: 2, ["bench", "collectives", "--steps", "1", "--save", "machine.json"],
        directory: scratch.path)
      #expect(sums.status == 0, "\(sums.stderr)")
      let step = try MPIRun.run(
        ranks: 2,
        [
          "bench", "step", "--model", Self.quickstart, "--batch", "2", "--steps", "1", "--save",
          "machine.json",
        ], directory: scratch.path)
      #expect(step.status == 0, "\(step.stderr)")
      let curves = try object(scratch.text(of: "machine.json"))
      let rows = try #require(curves["sums"] as? [[String: Any]])
      #expect(rows.count == 12 && rows.allSatisfy { $0["ranks"] as? Int == 2 })
      let steps = try #require(curves["steps"] as? [[String: Any]])
      #expect(Set(steps.compactMap { $0["ranks"] as? Int }) == [1, 2])
      for step in steps {
        #expect((step["waiting"] as? Double != nil) == (step["ranks"] as? Int == 2))
      }
      let plan = try run(
        ["plan", Self.quickstart, "--ranks", "1,2", "--ranks-per-host", "2"], in: scratch)
      #expect(plan.status == 0 && plan.stdout.contains("images/s"), "\(plan.stderr)")
      // A rank that cannot write ends all of them.
      let refused = try MPIRun.run(
        ranks: 2, ["bench", "collectives", "--steps", "1", "--save", "nowhere/machine.json"],
        directory: scratch.path)
      #expect(refused.status == 73 && refused.stderr.contains("nowhere"), "\(refused.stderr)")
    }

    @Test func predictionsOfManySizes() throws {
      let scratch = try measured()
      try addSums(to: scratch)
      let arguments = [
        "plan", Self.quickstart, "--ranks", "512,8,64", "--images-per-rank", "2", "--network",
        Self.network, "--ranks-per-host", "2", "--price", "0.05",
      ]
      let text = try run(arguments, in: scratch)
      #expect(text.status == 0 && text.stderr.isEmpty, "\(text.stderr)")
      #expect(text.stdout.contains("25.00 Gb/s, 10.0 us") && text.stdout.contains("cost"))
      let report = try object(
        try run(arguments + ["--json", "--svg", "scaling.svg"], in: scratch).stdout)
      let runs = try #require(report["runs"] as? [[String: Any]])
      #expect(runs.map { $0["ranks"] as? Int } == [8, 64, 512])
      #expect(runs.map { $0["hosts"] as? Int } == [4, 32, 256])
      #expect(runs.map { $0["global_batch"] as? Int } == [16, 128, 1024])
      for run in runs {
        let parts = try #require(run["parts"] as? [String: Double])
        #expect(Set(parts.keys) == ["images", "weights", "waiting", "statistics", "gradients"])
        let seconds = try #require(run["seconds_per_step"] as? Double)
        #expect(abs(parts.values.reduce(0, +) - seconds) < 1e-9 * seconds)
        for key in [
          "images_per_second", "seconds_per_epoch", "seconds_total", "cost", "core_hours",
          "exposed_seconds", "memory_bytes_of_rank",
        ] {
          #expect((run[key] as? Double ?? -1) > 0, "\(key)")
        }
        #expect(run["estimated_blocks"] as? Int == 0 && run["fits"] as? Bool == true)
      }
      let picture = try scratch.text(of: "scaling.svg")
      #expect(picture.hasPrefix("<svg ") && picture.hasSuffix("</svg>\n"))
      #expect(picture.components(separatedBy: "<circle ").count - 1 == 3)
      #expect(!picture.contains("nan") && !picture.contains("inf"))
    }

    /// What is refused, with which code, and what is said of the mend.
    @Test func refusals() throws {
      let scratch = try measured()
      let plan = ["plan", Self.quickstart, "--ranks"]
      for (arguments, status, says) in [
        (plan + ["1,16", "--network", Self.network], 78, "--set training.shards=16"),
        (
          plan + ["1,512", "--network", Self.network], 78,
          "--set training.global_batch=512 --set training.shards=512"
        ),
        (plan + ["2", "--ranks-per-host", "1"], 64, "add --network bandwidth=25Gb/s"),
        (
          plan + ["2", "--ranks-per-host", "2"], 65, "mpirun -np 2 repvgg bench collectives --save"
        ),
        (plan + ["1", "--machine", "nowhere.json"], 66, "repvgg bench step --save makes it"),
        (plan + ["1", "--machine", "."], 65, "no file"),
        (plan + ["1", "--svg", "machine.json"], 73, "would be replaced"),
        (plan + ["1", "--svg", "nowhere/a.svg"], 73, "nowhere"),
        (["bench", "step", "--save", "/tmp"], 73, "/tmp"),
      ] {
        let result = try run(arguments, in: scratch)
        #expect(result.status == status && result.stdout.isEmpty, "\(arguments): \(result.stderr)")
        #expect(result.complaints.count == 1 && result.stderr.contains(says), "\(result.stderr)")
      }
    }

    /// A file of curves that is none any more: named, and left as it is.
    @Test func damagedCurves() throws {
      let scratch = try measured()
      let text = try scratch.text(of: "machine.json")
      let cut = String(text.prefix(text.count / 2))
      for (damaged, says) in [
        ("", "not JSON"), (cut, "not JSON"), ("[]", "another kind of value"),
        ("{}", "format is missing"), ("{\"format\": \"other\"}", "version is missing"),
        (text.replacing("\"version\" : 1", with: "\"version\" : 2"), "version: 2"),
        (text.replacing(/"cores" : \d+/, with: "\"cores\" : -1"), "machine.cores: -1"),
        (text.replacing(/"shards" : 4/, with: "\"shards\" : 0"), "steps[1].shards: 0"),
        (text.replacing(/"head" : [^,]*/, with: "\"head\" : -3"), "steps[0].head: -3"),
        (text.replacing(/"head" : [^,]*/, with: "\"head\" : \"x\""), "steps.0.head"),
      ] {
        try scratch.write(damaged, to: "machine.json")
        for arguments in [
          ["plan", Self.quickstart, "--ranks", "1", "--machine", "machine.json"],
          ["bench", "step", "--batch", "1", "--steps", "1", "--save", "machine.json"],
        ] {
          let result = try run(arguments, in: scratch)
          #expect(result.status == 65 && result.complaints.count == 1, "\(says): \(result.stderr)")
          #expect(
            result.stderr.contains("machine.json: no curves of a machine: "), "\(result.stderr)")
          #expect(result.stderr.contains(says), "\(result.stderr)")
        }
        #expect(try scratch.text(of: "machine.json") == damaged)
      }
    }

    /// Two machines' measurements do not end up in one file.
    @Test func curvesOfAnotherMachine() throws {
      let scratch = try measured()
      let other = try scratch.text(of: "machine.json")
        .replacing(/"cores" : \d+/, with: "\"cores\" : 4096")
      try scratch.write(other, to: "machine.json")
      let result = try run(
        ["bench", "collectives", "--steps", "1", "--save", "machine.json"], in: scratch)
      #expect(result.status == 73 && result.stderr.contains("and not '4096'"), "\(result.stderr)")
      #expect(try scratch.text(of: "machine.json") == other)
      // To predict from them is what they are for.
      let plan = try run(
        ["plan", Self.quickstart, "--ranks", "1", "--machine", "machine.json"], in: scratch)
      #expect(plan.status == 0 && plan.stdout.contains("hosts of 4096 cores"), "\(plan.stderr)")
    }
  }
}
