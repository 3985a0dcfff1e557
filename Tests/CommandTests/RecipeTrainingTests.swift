import Foundation
import Images
import Testing
import _TestSupport

extension ProgramTests {
  /// The shipped recipes train, on smaller networks, images and batches than their own.
  @Suite(.timeLimit(.minutes(3))) struct Recipes {
    private func train(
      _ path: String, in scratch: ScratchDirectory, _ settings: [String]
    ) throws -> ProgramResult {
      let assignments =
        settings + [
          "data.directory=data", "training.epochs=1", "training.max_steps=2", "output=run",
        ]
      return try runProgram(
        ["train", "\(DocumentedCommand.root)/\(path)", "--quiet"]
          + assignments.flatMap { ["--set", $0] },
        environment: withoutMPI, directory: scratch.path, timeout: 120)
    }

    @Test(arguments: ["repvgg-a0-light", "repvgg-a0-published", "repvgg-b3-heavy"])
    func imageNet(_ name: String) throws {
      let scratch = try ScratchDirectory()
      let image = PixelBuffer()
      for (split, count) in [("train", 8), ("val", 3)] {
        for label in 0..<2 {
          for number in 0..<count {
            image.reshape(height: 33 + number, width: 60 - 5 * label, channels: 3)
            for index in 0..<image.count {
              image.base[index] = UInt8(truncatingIfNeeded: 90 * label + index * (number + 3) % 70)
            }
            try scratch.write(
              try JPEGSettings().encode(image), to: "data/\(split)/n\(label)/\(number).JPEG")
          }
        }
      }
      let result = try train(
        "configs/imagenet/\(name).yaml", in: scratch,
        [
          "model.architecture={stem: 8, depths: [1, 1], widths: [8, 16]}", "model.classes=2",
          "data.resolution=32", "training.global_batch=16",
          "schedule.warmup_epochs=\(name.hasSuffix("heavy") ? 0.5 : 0)",
        ])
      #expect(result.status == 0, "\(result)")
      let artifacts = try FileManager.default.contentsOfDirectory(
        atPath: scratch.path("run/artifacts"))
      #expect(Set(artifacts).isSuperset(of: ["\(name)-train.safetensors", "certificate.json"]))
    }

    @Test func cifar() throws {
      let scratch = try ScratchDirectory()
      for (name, count) in [("train.bin", 32), ("test.bin", 8)] {
        var records: [UInt8] = []
        for record in 0..<count {
          records += [0, UInt8(record * 3)]
          records += (0..<3072).map { UInt8(truncatingIfNeeded: $0 * (record + 2) / 16) }
        }
        try scratch.write(records, to: "data/cifar-100-binary/\(name)")
      }
      let result = try train(
        "configs/cifar100/cifar100-small.yaml", in: scratch,
        ["training.global_batch=16", "schedule.warmup_epochs=0.5"])
      #expect(result.status == 0, "\(result)")
    }
  }
}
