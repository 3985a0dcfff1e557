import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// What lies in `artifacts` at the end of a run, and `certify`, which checks it and others' files.
  @Suite(.timeLimit(.minutes(20))) struct ArtifactTests {
    private static let trained = "out/artifacts/tiny-train.safetensors"
    private static let shipped = "out/artifacts/tiny-deploy.safetensors"
    private let job: TinyJob

    init() throws {
      job = try TinyJob()
      let result = try job.train(
        output: "out", ["--quiet", "--set", "artifacts.licence=CC-BY-4.0"])
      try #require(result.status == 0, "\(result.stderr)")
    }

    private func object(_ text: String) throws -> [String: Any] {
      let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
      return try #require(object as? [String: Any])
    }

    @Test func theyExplainThemselves() throws {
      let card = try job.scratch.text(of: "out/artifacts/tiny-card.md")
      let certificate = try object(job.scratch.text(of: "out/artifacts/certificate.json"))
      let files = try #require(certificate["files"] as? [[String: String]])
      let names = files.compactMap { $0["name"] }
      for name in [
        "labels.txt", "tiny-config.yaml", "tiny-train.safetensors", "tiny-deploy.safetensors",
        "tiny-deploy.onnx", "tiny-card.md",
      ] {
        #expect(names.contains(name))
      }
      for name in names {
        let hash = SHA256Digest.hex(try job.scratch.read("out/artifacts/\(name)"))
        #expect(files.first { $0["name"] == name }?["sha256"] == hash, "\(name)")
        if name != "tiny-card.md" { #expect(card.contains("| `\(name)` | `\(hash)` |")) }
      }
      #expect(
        certificate["deploy_file_sha256"] as? String
          == files.first { $0["name"] == "tiny-deploy.safetensors" }?["sha256"])
      #expect(card.contains("## Licence\n\nCC-BY-4.0\n"))
      #expect(card.contains("| training images | 320 |"))
      let top1 = try #require(
        job.metrics(of: "out").last { $0.event == "evaluation" }?.members["top1"] as? Double)
      #expect(card.contains("| after the fuse (shipped) | \(Int((top1 * 100).rounded())).00 % |"))
      #expect(
        try job.scratch.text(of: "out/artifacts/labels.txt")
          == (0..<10).map { "\($0)\n" }.joined())
    }

    /// The configuration beside the weights is the run's, with every key.
    @Test func theConfigurationGivesTheSamePlan() throws {
      let licence = ["--set", "artifacts.licence=CC-BY-4.0"]
      let given = try job.run(["plan", TinyJob.configuration, "--json"] + licence)
      let resolved = try job.run(["plan", "out/artifacts/tiny-config.yaml", "--json"])
      #expect(resolved.status == 0, "\(resolved.stderr)")
      func plan(_ text: String) throws -> NSDictionary {
        var plan = try object(text)
        // Lists `--set` arguments and files by the names that they were given.
        plan["notes"] = nil
        // The default place is that of the configuration's name, the other one's file name.
        plan["paths"] = nil
        var configuration = try #require(plan["configuration"] as? [String: Any])
        configuration["output"] = nil
        plan["configuration"] = configuration
        return plan as NSDictionary
      }
      #expect(try plan(given.stdout) == plan(resolved.stdout))
    }

    @Test func ownPairsAreCertified() throws {
      let arguments = ["certify", Self.trained, Self.shipped]
      let told = try job.run(arguments)
      #expect(told.status == 0, "\(told.stderr)")
      #expect(told.stdout.contains("stage1.0") && told.stdout.contains("worst block error"))
      // In either order, and by the run and by a checkpoint, whose newest weights they are.
      for training in [Self.trained, "out", "out/checkpoints/step-000000030"] {
        #expect(try job.run(["certify", Self.shipped, training]).status == 0, "\(training)")
      }
      let seen = try job.run(
        arguments + ["--config", TinyJob.configuration, "--json", "--output", "proof.json"])
      #expect(seen.status == 0, "\(seen.stderr)")
      let certificate = try object(seen.stdout)
      #expect(try job.scratch.text(of: "proof.json") == seen.stdout)
      let comparison = try #require(certificate["comparison"] as? [String: Any])
      #expect(comparison["count"] as? Int == 50 && comparison["agreement"] as? Int == 50)
      #expect(comparison["split"] as? String == "test")
      #expect(
        certificate["training_file_sha256"] as? String
          == SHA256Digest.hex(try job.scratch.read(Self.trained)))
    }

    @Test func othersPairsAreCertified() throws {
      for (scheme, file) in [("timm", Self.trained), ("mmpretrain", Self.shipped)] {
        let result = try job.run(["convert", file, "\(scheme).safetensors", "--keys", scheme])
        #expect(result.status == 0, "\(result.stderr)")
      }
      let pair = ["certify", "timm.safetensors", "mmpretrain.safetensors"]
      #expect(try job.run(pair).status == 0)
      let seen = try job.run(pair + ["--config", TinyJob.configuration, "--split", "train"])
      #expect(seen.status == 0, "\(seen.stderr)")
      #expect(seen.stdout.contains("320 of 320 images (train)"))
    }

    @Test func otherNetworksAreRefused() throws {
      var other = try NamedTensors.readSafetensors(path: job.scratch.path(Self.shipped))
      for name in ["stage1.0.rbr_reparam.bias", "stage2.1.rbr_reparam.weight"] {
        let tensor = try #require(other[name])
        var values = try #require(tensor.floats)
        values[values.count - 1] += 0.01
        other[name] = Tensor(shape: tensor.shape, values)
      }
      try job.scratch.write(other.safetensorsBytes(), to: "other.safetensors")
      let refused = try job.run(
        ["certify", Self.trained, "other.safetensors", "--output", "proof.json"])
      #expect(refused.status == 76)
      let complaint = try #require(refused.complaints.first)
      #expect(complaint.contains("other.safetensors: not the network of \(Self.trained)"))
      #expect(complaint.contains("stage1.0: ") && complaint.contains("stage2.1: "))
      let failures = try object(job.scratch.text(of: "proof.json"))["failures"] as? [String]
      #expect(failures?.count == 2)

      let same = try job.run(["certify", Self.trained, "out"])
      #expect(same.status == 65)
      #expect(same.stderr.contains("these are both training weights"))
      let both = try job.run(["certify", Self.shipped, Self.shipped])
      #expect(both.status == 65 && both.stderr.contains("these are both deploy weights"))
      #expect(try job.run(["certify", Self.trained, "nowhere"]).status == 66)
      #expect(
        try job.run(["certify", Self.trained, Self.shipped, "--split", "test"]).status == 64)
      let onto = try job.run(
        ["certify", Self.trained, Self.shipped, "--output", Self.shipped])
      #expect(onto.status == 73)
    }

    /// A checkpoint or a run is as good as a file of weights.
    @Test func checkpointsAreFusedAndEvaluated() throws {
      for (number, model) in ["out", "out/checkpoints/step-000000030"].enumerated() {
        let file = "fused\(number).safetensors"
        let fused = try job.run(["fuse", model, "--output", file])
        #expect(fused.status == 0, "\(fused.stderr)")
        let own = try NamedTensors.readSafetensors(path: job.scratch.path(file))
        let delivered = try NamedTensors.readSafetensors(path: job.scratch.path(Self.shipped))
        #expect(own.weightsSHA256() == delivered.weightsSHA256())
      }
      let evaluated = try job.run(["evaluate", "out", "--config", TinyJob.configuration, "--json"])
      #expect(try object(evaluated.stdout)["count"] as? Int == 50)
      let empty = try ScratchDirectory()
      try empty.write("{}", to: "run/plan.json")
      let missing = try job.run(["fuse", empty.path("run"), "--output", "x.safetensors"])
      #expect(missing.status == 66 && missing.stderr.contains("has no checkpoints yet"))
    }
  }
}
