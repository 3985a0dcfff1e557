import Deployment
import Foundation
import RunPlanning
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// `repvgg convert`, and the names that `repvgg fuse` writes.
  @Suite(.timeLimit(.minutes(3))) struct ConvertTests {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    private func weights(_ form: ModelForm) throws -> NamedTensors {
      let network = Architecture(
        stemWidth: 16, depths: [2], widths: [16], squeezeExcitation: true)
      let blocks = network.blocks(inputChannels: 3, height: 32, width: 32)
      var tensors = testWeights(.training(blocks: blocks, classes: 3))
      if form == .deploy { tensors = try Fuse.deployTensors(from: tensors) }
      tensors.metadata = ["format": "pt", "form": form.rawValue]
      return tensors
    }

    private func run(_ arguments: [String]) throws -> ProgramResult {
      try runProgram(arguments, environment: withoutMPI, directory: scratch.path)
    }

    private func convert(_ input: String, _ output: String, _ keys: KeyScheme) throws {
      let result = try run(["convert", input, output, "--keys", keys.rawValue])
      #expect(result.status == 0 && result.stderr.isEmpty, "\(result)")
      #expect(result.stdout.hasPrefix("\(output): "))
      #expect(result.stdout.contains(" form, \(keys.rawValue) names\n"))
    }

    @Test(arguments: [ModelForm.training, .deploy])
    func roundTripsGiveTheSameFile(form: ModelForm) throws {
      try scratch.write(try weights(form).safetensorsBytes(), to: "published")
      try convert("published", "timm", .timm)
      try convert("timm", "mmpretrain", .mmpretrain)
      try convert("mmpretrain", "back", .published)
      #expect(try scratch.read("back") == scratch.read("published"))
      let timm = try NamedTensors.readSafetensors(path: scratch.path("timm"))
      #expect(timm["stages.0.1.attn.fc1.weight"] != nil && timm["head.fc.bias"] != nil)
      #expect(timm.metadata["form"] == form.rawValue)
      // Over what is there, and from names that are those already.
      try convert("timm", "mmpretrain", .timm)
      #expect(try scratch.read("mmpretrain") == scratch.read("timm"))
    }

    @Test func publishedNamesAreTheDefault() throws {
      let tensors = try weights(.deploy)
      try scratch.write(KeyScheme.timm.naming(tensors).safetensorsBytes(), to: "t")
      let result = try run(["convert", "t", "p", "--json"])
      #expect(result.status == 0, "\(result)")
      #expect(try scratch.read("p") == tensors.safetensorsBytes())
      let json = try #require(
        try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any])
      #expect(json["form"] as? String == "deploy" && json["input_keys"] as? String == "timm")
      #expect(json["keys"] as? String == "published")
      #expect(json["weights_sha256"] as? String == tensors.weightsSHA256())
      #expect((json["widened"] as? [String: Int])?.isEmpty == true)
    }

    @Test func widenedHalvesAreSaid() throws {
      var tensors = try weights(.training)
      for name in ["linear.weight", "linear.bias"] {
        let tensor = try #require(tensors[name])
        let halves = [UInt8](repeating: 0x3C, count: 2 * tensor.count)
        tensors[name] = Tensor(
          shape: tensor.shape, values: .raw(elementType: "F16", bytes: halves))
      }
      try scratch.write(tensors.safetensorsBytes(), to: "halves")
      let result = try run(["convert", "halves", "whole"])
      #expect(result.status == 0 && result.stdout.contains("widened to F32  2 of F16\n"))
      let whole = try NamedTensors.readSafetensors(path: scratch.path("whole"))
      #expect(whole["linear.bias"]?.floats?.count == 3)
      #expect(whole["stage0.rbr_dense.bn.num_batches_tracked"]?.elementType == "I64")
    }

    @Test func theInputStays() throws {
      let bytes = try weights(.deploy).safetensorsBytes()
      try scratch.write(bytes, to: "w")
      try FileManager.default.linkItem(atPath: scratch.path("w"), toPath: scratch.path("other"))
      for output in ["w", "./w", "other"] {
        let result = try run(["convert", "w", output, "--keys", "timm"])
        #expect(result.status == 73 && result.complaints.count == 1, "\(result)")
        #expect(result.stderr.contains("is an input and would be replaced; give another OUT"))
      }
      #expect(try scratch.read("w") == bytes)
    }

    @Test func fuseWritesTheNamesThatAreAskedFor() throws {
      try scratch.write(try weights(.training).safetensorsBytes(), to: "w")
      let fuse = ["fuse", "w", "--certificate", "c.json", "--output"]
      #expect(try run(fuse + ["published"]).status == 0)
      // All but the hash of the file, of the published names, whatever the file's.
      func certificate() throws -> [Substring] {
        try scratch.text(of: "c.json").split(separator: "\n")
          .filter { !$0.contains("deploy_file_sha256") }
      }
      let published = try certificate()
      for scheme in [KeyScheme.timm, .mmpretrain] {
        let result = try run(fuse + [scheme.rawValue, "--keys", scheme.rawValue])
        #expect(result.status == 0, "\(result)")
        try convert("published", "converted", scheme)
        #expect(try scratch.read(scheme.rawValue) == scratch.read("converted"))
        #expect(try certificate() == published)
      }
    }
  }
}
