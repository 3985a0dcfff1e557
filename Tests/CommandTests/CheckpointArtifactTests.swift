import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// `fuse --artifacts`: of a checkpoint what a job delivers at its end.
  @Suite(.timeLimit(.minutes(20))) struct CheckpointArtifactTests {
    private static let earlier = "out/checkpoints/step-000000010"
    private let job: TinyJob

    init() throws {
      job = try TinyJob()
      let result = try job.train(
        output: "out",
        ["--quiet", "--set", "checkpoint.every_steps=10", "--set", "checkpoint.keep=9"])
      try #require(result.status == 0, "\(result.stderr)")
    }

    private func bytes(in directory: String) throws -> [String: [UInt8]] {
      let names = try FileManager.default.contentsOfDirectory(
        atPath: job.scratch.path(directory))
      return try names.reduce(into: [:]) { $0[$1] = try job.scratch.read("\(directory)/\($1)") }
    }

    @Test func theLastOnesAreTheJobs() throws {
      let fused = try job.run(["fuse", "out", "--artifacts", "models/last", "--threads", "2"])
      #expect(fused.status == 0, "\(fused.stderr)")
      let (own, delivered) = (try bytes(in: "models/last"), try bytes(in: "out/artifacts"))
      #expect(delivered.count == 7 && own.keys.sorted() == delivered.keys.sorted())
      for (name, bytes) in delivered { #expect(own[name] == bytes, "\(name)") }
    }

    /// Those of another step, under other names, are read back, and renewed in their place.
    @Test func anyCheckpointHasThem() throws {
      let fuse = ["fuse", Self.earlier, "--artifacts", "early"]
      let fused = try job.run(fuse + ["--keys", "timm", "--pixels"])
      #expect(fused.status == 0, "\(fused.stderr)")
      #expect(fused.stdout.contains("after step 10"))
      let card = try job.scratch.text(of: "early/tiny-card.md")
      #expect(card.contains("| steps | 10 |") && card.contains("have the names of timm;"))
      let weights = try NamedTensors.readSafetensors(
        path: job.scratch.path("early/tiny-deploy.safetensors"))
      #expect(weights["stem.reparam_conv.weight"] != nil)
      let certified = try job.run(
        ["certify", Self.earlier, "early/tiny-deploy.safetensors"])
      #expect(certified.status == 0, "\(certified.stderr)")
      let pixels = try job.scratch.read("early/tiny-deploy.onnx")
      #expect(try job.run(fuse).status == 0)
      #expect(try job.scratch.read("early/tiny-deploy.onnx") != pixels)
      #expect(try job.scratch.text(of: "early/tiny-card.md").contains("of the published code"))
    }

    @Test func whatIsNotOursIsLeft() throws {
      func refusal(_ arguments: [String]) throws -> (status: Int, text: String) {
        let result = try job.run(["fuse"] + arguments)
        return (Int(result.status), result.stderr)
      }
      try job.scratch.write("mine", to: "home/labels.txt")
      let before = try bytes(in: "out/artifacts")
      let home = try refusal(["out", "--artifacts", "home"])
      #expect(home.status == 73 && home.text.contains("home: not empty"), "\(home.text)")
      let own = try refusal([Self.earlier, "--artifacts", "out/artifacts"])
      #expect(own.status == 73 && own.text.contains("where the run itself delivers"))
      let file = try refusal(["out/artifacts/tiny-train.safetensors", "--artifacts", "new"])
      #expect(file.status == 65 && file.text.contains("name a checkpoint or a run"))
      #expect(try refusal(["nowhere", "--artifacts", "new"]).status == 66)
      let data = try refusal(
        ["out", "--artifacts", "new", "--set", "data.test_limit=40"])
      #expect(data.status == 65 && data.text.contains("the data differ"), "\(data.text)")
      let both = try refusal(["out", "--artifacts", "new", "--output", "x"])
      #expect(both.status == 64 && both.text.contains("exclude each other"))
      #expect(try refusal(["out", "--output", "x", "--threads", "2"]).status == 64)
      #expect(!FileManager.default.fileExists(atPath: job.scratch.path("new")))
      #expect(try job.scratch.text(of: "home/labels.txt") == "mine")
      #expect(try bytes(in: "out/artifacts") == before)
    }

    /// Without the network's being the same, no weights are left, and what lay there is not either.
    @Test func aMissedToleranceLeavesNoWeights() throws {
      #expect(try job.run(["fuse", "out", "--artifacts", "a"]).status == 0)
      let strict = try job.run(
        ["fuse", "out", "--artifacts", "a", "--set", "fuse.block_tolerance=1e-12"])
      #expect(strict.status == 76, "\(strict.stderr)")
      #expect(
        try bytes(in: "a").keys.sorted() == [
          "certificate.json", "labels.txt", "tiny-config.yaml", "tiny-train.safetensors",
        ])
    }

    @Test func deployWeightsBecomeONNX() throws {
      let shipped = "out/artifacts/tiny-deploy.safetensors"
      let converted = try job.run(["convert", shipped, "tiny.onnx"])
      #expect(converted.status == 0, "\(converted.stderr)")
      #expect(converted.stdout.contains("deploy form, ONNX"))
      #expect(
        try job.scratch.read("tiny.onnx") == job.scratch.read("out/artifacts/tiny-deploy.onnx"))
      #expect(try job.run(["convert", shipped, "raw.onnx", "--pixels"]).status == 0)
      #expect(try job.scratch.read("raw.onnx") != job.scratch.read("tiny.onnx"))
      let training = try job.run(["convert", "out", "x.onnx"])
      #expect(training.status == 65 && training.stderr.contains("repvgg fuse out --output"))
      for arguments in [["x.onnx", "--keys", "timm"], ["x.safetensors", "--pixels"]] {
        let useless = try job.run(["convert", shipped] + arguments)
        #expect(useless.status == 64 && useless.stderr.contains("has no effect on"))
      }
    }
  }
}
