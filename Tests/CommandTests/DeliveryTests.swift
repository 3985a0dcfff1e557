import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// What a job leaves in `artifacts` when its deploy network is refused.
  @Suite(.timeLimit(.minutes(20))) struct DeliveryTests {
    @Test func nothingContradictsARefusal() throws {
      let job = try TinyJob()
      let paths = ["train", "deploy"].map { "out/artifacts/tiny-\($0).safetensors" }
      func digest(_ path: String) throws -> String {
        try NamedTensors.readSafetensors(path: job.scratch.path(path)).weightsSHA256()
      }
      func certificate() throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(
          with: Data(job.scratch.text(of: "out/artifacts/certificate.json").utf8))
        return try #require(object as? [String: Any])
      }
      #expect(try job.train(output: "out", ["--set", "training.max_steps=10"]).status == 0)
      #expect(try certificate()["training_sha256"] as? String == digest(paths[0]))
      #expect(try certificate()["deploy_sha256"] as? String == digest(paths[1]))

      // Finer than Float32 can be.
      let refused = try job.train(output: "out", ["--set", "fuse.block_tolerance=1e-12"])
      #expect(refused.status == 76)
      try #require(refused.complaints.count == 1, "\(refused.stderr)")
      #expect(refused.complaints[0].contains("deploy weights are not written"))
      #expect(try (certificate()["failures"] as? [Any])?.isEmpty == false)
      #expect(try certificate()["training_sha256"] as? String == digest(paths[0]))
      for path in [paths[1], "out/artifacts/tiny-deploy.onnx", "out/artifacts/tiny-card.md"] {
        #expect(!FileManager.default.fileExists(atPath: job.scratch.path(path)), "\(path)")
      }
      let collected = try job.run(["collect", "out", "--output", "all"])
      #expect(collected.status == 65)
      #expect(collected.complaints.first?.contains("the certificate does not hold") == true)

      let mended = try job.train(output: "out")
      #expect(mended.status == 0, "\(mended.stderr)")
      #expect(try certificate()["deploy_sha256"] as? String == digest(paths[1]))
      #expect(try job.run(["collect", "out", "--output", "all"]).status == 0)
    }

    /// Deploy weights are not left without the certificate that was asked for.
    @Test func fuseWritesBothFilesOrNone() throws {
      let job = try TinyJob()
      #expect(try job.train(output: "out", ["--set", "training.max_steps=1"]).status == 0)
      let fuse = ["fuse", "out/artifacts/tiny-train.safetensors", "--output", "x.safetensors"]
      let refused = try job.run(fuse + ["--certificate", "nowhere/x.json"])
      #expect(refused.status == 73)
      #expect(!FileManager.default.fileExists(atPath: job.scratch.path("x.safetensors")))
      #expect(try job.run(fuse + ["--certificate", "x.json"]).status == 0)
      let certificate = try JSONSerialization.jsonObject(
        with: Data(job.scratch.text(of: "x.json").utf8))
      let tensors = try NamedTensors.readSafetensors(path: job.scratch.path("x.safetensors"))
      #expect(
        (certificate as? [String: Any])?["deploy_sha256"] as? String == tensors.weightsSHA256())
    }

    /// ONNX beside the weights, of the images that the network was trained for or of other sizes.
    @Test func fuseWritesONNX() throws {
      let job = try TinyJob()
      #expect(try job.train(output: "out", ["--set", "training.max_steps=1"]).status == 0)
      let trained = "out/artifacts/tiny-train.safetensors"
      func fuse(_ model: String, _ onnx: String, _ options: [String] = []) throws -> [UInt8] {
        let result = try job.run(
          ["fuse", model, "--output", "x.safetensors", "--onnx", onnx] + options)
        try #require(result.status == 0, "\(result.stderr)")
        return try job.scratch.read(onnx)
      }
      let bytes = try fuse(trained, "a.onnx")
      #expect(try fuse(trained, "b.onnx") == bytes)
      let text = String(decoding: bytes, as: UTF8.self)
      for part in ["images", "logits", "stage2.1.rbr_reparam.weight", "weights_sha256", "1x16x16"] {
        #expect(text.contains(part), "\(part)")
      }
      #expect(try fuse(trained, "c.onnx", ["--pixels"]) != bytes)
      let larger = String(
        decoding: try fuse(trained, "d.onnx", ["--resolution", "20"]), as: UTF8.self)
      #expect(larger.contains("1x20x20"))

      let fused = try NamedTensors.readSafetensors(path: job.scratch.path("x.safetensors"))
      #expect(fused.metadata["form"] == "deploy" && fused.metadata["input"] == "1x16x16")
      #expect(fused.metadata["network"]?.contains("\"depths\":[1,2]") == true)

      // Names of another number of classes lie beside the weights: nothing is written.
      try job.scratch.write("cat\ndog\n", to: "out/artifacts/labels.txt")
      let refused = try job.run(
        ["fuse", trained, "--output", "y.safetensors", "--onnx", "y.onnx"])
      #expect(refused.status == 65)
      #expect(refused.complaints.first?.contains("labels.txt: names 2 classes") == true)
      for name in ["y.safetensors", "y.onnx"] {
        #expect(!FileManager.default.fileExists(atPath: job.scratch.path(name)))
      }
    }
  }
}
