import Deployment
import Foundation
import Images
import RunPlanning
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  /// `repvgg evaluate` on weights that were trained elsewhere.
  @Suite(.timeLimit(.minutes(3))) struct WeightsOfOthers {
    private static let configuration = """
      model:
        architecture: {stem: 8, depths: [2, 1], widths: [8, 16], groups: {2: 2}}
        classes: 3
      data: {format: folder, directory: data, resolution: 32}

      """

    /// A directory with the configuration and test images alone, two of each class.
    private func directory() throws -> ScratchDirectory {
      let scratch = try ScratchDirectory()
      try scratch.write(Self.configuration, to: "c.yaml")
      for (label, name) in ["n01", "n02", "n03"].enumerated() {
        for number in 0..<2 {
          try scratch.write(try jpeg(label, number), to: "data/val/\(name)/\(number).jpg")
        }
      }
      return scratch
    }

    private func jpeg(_ label: Int, _ number: Int) throws -> [UInt8] {
      let image = PixelBuffer()
      image.reshape(height: 40 + 9 * number, width: 57 - 6 * label, channels: 3)
      for index in 0..<image.count {
        image.base[index] = UInt8(truncatingIfNeeded: 70 * label + (index * (number + 3)) % 60)
      }
      return try JPEGSettings().encode(image)
    }

    private func weights(_ scratch: ScratchDirectory) throws -> NamedTensors {
      let config = try RunConfig.load(path: scratch.path("c.yaml"))
      return testWeights(
        .training(
          blocks: config.model.architecture.blocks(inputChannels: 3, height: 32, width: 32),
          classes: 3))
    }

    private func renamed(_ tensors: NamedTensors, _ name: (String) throws -> String) rethrows
      -> NamedTensors
    {
      var renamed = NamedTensors()
      for (published, tensor) in tensors { renamed[try name(published)] = tensor }
      return renamed
    }

    private func evaluate(_ scratch: ScratchDirectory, _ arguments: [String] = []) throws
      -> ProgramResult
    {
      try runProgram(
        ["evaluate", "w.safetensors", "--config", "c.yaml"] + arguments, environment: withoutMPI,
        directory: scratch.path)
    }

    /// Without a training split. The names of timm and mmpretrain are checked against PyTorch by
    /// launch/interop.
    @Test func anyNamesAndEitherFormWithoutTrainingImages() throws {
      let scratch = try directory()
      let training = try weights(scratch)
      for (form, tensors) in [
        ("training", training), ("deploy", try Fuse.deployTensors(from: training)),
      ] {
        var first: [Float]?
        for scheme in KeyScheme.allCases {
          for wrapper in ["", "module.", "state_dict.module."] {
            let file = try renamed(tensors) {
              wrapper + (try #require(KeyScheme.published.translate($0, to: scheme)))
            }
            try scratch.write(file.safetensorsBytes(), to: "w.safetensors")
            let result = try evaluate(scratch, ["--logits", "l.safetensors", "--json"])
            try #require(result.status == 0, "\(result)")
            let json = try #require(
              try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any])
            #expect(json["form"] as? String == form)
            #expect(json["names"] as? String == scheme.rawValue && json["count"] as? Int == 6)
            let answers = try NamedTensors.readSafetensors(path: scratch.path("l.safetensors"))
            #expect(answers["labels"]?.integers == [0, 0, 1, 1, 2, 2])
            let logits = try #require(answers["logits"]?.floats)
            #expect(logits == first ?? logits && Set(logits).count > 12, "\(scheme) \(wrapper)")
            first = first ?? logits
          }
        }
      }
    }

    @Test func accuracyAndLossWithAndWithoutLogitsAreTheSame() throws {
      let scratch = try directory()
      try scratch.write(try weights(scratch).safetensorsBytes(), to: "w.safetensors")
      func figures(_ arguments: [String]) throws -> [Double] {
        let result = try evaluate(scratch, arguments + ["--json"])
        let json = try #require(
          try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any])
        return ["top1", "top5", "loss"].compactMap { json[$0] as? Double }
      }
      let plain = try figures([])
      #expect(plain.count == 3 && plain[1] == 1)
      #expect(try figures(["--logits", "l.safetensors", "--images"]) == plain)
    }

    @Test func otherTensorsAreNamed() throws {
      let scratch = try directory()
      let whole = try weights(scratch)
      func complaint(
        _ arguments: [String] = [], status: Int = 65, _ change: (inout NamedTensors) -> Void
      ) throws -> String {
        var tensors = whole
        change(&tensors)
        try scratch.write(tensors.safetensorsBytes(), to: "w.safetensors")
        let result = try evaluate(scratch, arguments)
        #expect(result.status == status && result.complaints.count == 1, "\(result)")
        return result.stderr
      }
      let missing = try complaint { $0["stage1.1.rbr_identity.bias"] = nil }
      #expect(missing.contains("stage1.1.rbr_identity.bias missing"))
      let surplus = try complaint { $0["stage1.2.rbr_identity.bias"] = Tensor(shape: [1], [0]) }
      #expect(surplus.contains("stage1.2.rbr_identity.bias not expected"))
      let twice = try complaint { $0["module.linear.bias"] = $0["linear.bias"] }
      #expect(twice.contains("linear.bias twice"))
      let bytes = try complaint {
        $0["linear.bias"] = Tensor(
          shape: [3], values: .raw(elementType: "U8", bytes: [UInt8](repeating: 0, count: 3)))
      }
      #expect(bytes.contains("linear.bias has element type U8, expected F32"))
      let classes = try complaint(["--set", "model.classes=2"], status: 78) { _ in }
      #expect(classes.contains("model.classes is 2") && classes.contains("go up to 2"))
      let more = try complaint(["--set", "model.classes=4"]) { _ in }
      #expect(more.contains("directories of 3 classes, but model.classes is 4"))
    }

    /// A published network that is not the configuration's is recognised, and the mend named.
    @Test func anotherPublishedNetworkIsNamed() throws {
      let scratch = try directory()
      let network = try #require(Architecture.zoo.first { $0.name == "RepVGG-A0" })
      let blocks = network.blocks(inputChannels: 3, height: 32, width: 32)
      var tensors = NamedTensors()
      for entry in ParameterTable.deploy(blocks: blocks, classes: 3).entries {
        tensors[entry.name] = Tensor(
          shape: entry.shape, [Float](repeating: 0, count: entry.count))
      }
      try scratch.write(tensors.safetensorsBytes(), to: "w.safetensors")
      let classes = try evaluate(
        scratch, ["--set", "model.architecture=RepVGG-A0", "--set", "model.classes=10"])
      #expect(classes.status == 65, "\(classes)")
      #expect(classes.stderr.contains("holds RepVGG-A0 for 3 classes"))
      #expect(classes.stderr.contains("; add --set model.classes=3"))
      let other = try evaluate(scratch, ["--set", "model.architecture=RepVGG-B0"])
      #expect(other.status == 65, "\(other)")
      #expect(
        other.stderr.contains("asks for RepVGG-B0 for 3; add --set model.architecture=RepVGG-A0"))
      let right = try evaluate(scratch, ["--set", "model.architecture=RepVGG-A0"])
      #expect(right.status == 0, "\(right)")
    }
  }
}
