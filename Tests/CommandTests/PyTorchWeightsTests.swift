import Foundation
import Testing
import _TestSupport

extension ProgramTests {
  /// Files of torch.save given to the program. Networks of PyTorch are evaluated from them by
  /// launch/interop.
  @Suite(.timeLimit(.minutes(1))) struct PyTorchWeights {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../TensorsTests/PyTorch").standardized.path

    private func run(_ arguments: [String], _ scratch: ScratchDirectory) throws -> ProgramResult {
      try runProgram(arguments, environment: withoutMPI, directory: scratch.path)
    }

    @Test func inspectListsTheirTensors() throws {
      let result = try run(
        ["inspect", "\(Self.fixtures)/state-dict.pth", "--json"], ScratchDirectory())
      try #require(result.status == 0, "\(result)")
      let json = try #require(
        try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any])
      let tensors = try #require(json["tensors"] as? [[String: Any]])
      #expect(tensors.count == 6 && json["kind"] as? String == "tensors")
      #expect(tensors.first?["name"] as? String == "0.weight")
      #expect(tensors.first?["shape"] as? [Int] == [2, 1, 2, 2])
    }

    /// The file would make another one in the directory at hand, could it run anything.
    @Test(arguments: ["inspect", "fuse"]) func nothingIsRun(_ command: String) throws {
      let scratch = try ScratchDirectory()
      let file = "\(Self.fixtures)/system.pth"
      let output = command == "fuse" ? ["--output", "deploy.safetensors"] : []
      let result = try run([command, file] + output, scratch)
      #expect(result.status == 65 && result.stdout.isEmpty, "\(result)")
      #expect(result.complaints.count == 1, "\(result)")
      #expect(
        result.stderr.contains("its pickle wants to run posix.system; nothing was run"),
        "\(result)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
    }

    @Test func othersAreNamed() throws {
      let scratch = try ScratchDirectory()
      let result = try run(["fuse", "\(Self.fixtures)/bare.pth", "--output", "x"], scratch)
      #expect(result.status == 65 && result.stderr.contains("no RepVGG weights"), "\(result)")
      let legacy = try run(["inspect", "\(Self.fixtures)/legacy.pth"], scratch)
      #expect(legacy.status == 65 && legacy.stderr.contains("format before 1.6"), "\(legacy)")
    }
  }
}
