import Foundation
import Tensors
import Testing
import _TestSupport

extension ProgramTests {
  @Suite(.enabled(if: MPIRun.isAvailable, "mpirun is not installed"), .timeLimit(.minutes(20)))
  struct ReplayTests {
    static let goldenStates = ["tiny", "tiny-g2"].map { name in
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("OrchestrationTests/Golden/\(name).safetensors").path
    }

    @Test(arguments: goldenStates, [1, 2, 4, 8])
    func goldenStatesAreMet(golden: String, ranks: Int) throws {
      let result = try MPIRun.run(ranks: ranks, ["replay", golden, "--json"])
      #expect(result.status == 0, "\(result.stderr)")
      let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
      let report = try #require(object as? [String: Any])
      #expect(report["inside"] as? Bool == true)
      #expect(report["ranks"] as? Int == ranks)
      #expect((report["findings"] as? [Any])?.isEmpty == false)
    }

    /// Values that are wrong by 1 % in one tensor: each must be found, and by its name.
    /// mpirun takes its second to end a job that fails, so most of them run alone.
    @Test(arguments: [
      ("grad.stage0.rbr_dense.conv.weight", 1), ("losses", 2), ("step1.logits", 1),
      ("eval.logits", 1),
    ])
    func wrongValuesAreFound(name: String, ranks: Int) throws {
      let scratch = try ScratchDirectory()
      var golden = try NamedTensors.readSafetensors(path: try #require(Self.goldenStates.first))
      let tensor = try #require(golden[name])
      golden[name] = Tensor(
        shape: tensor.shape, try #require(tensor.floats).map { $0 * 1.01 })
      let path = try scratch.write(golden.safetensorsBytes(), to: "wrong.safetensors")
      let result =
        ranks == 1
        ? try runProgram(["replay", path], environment: withoutMPI)
        : try MPIRun.run(ranks: ranks, ["replay", path])
      #expect(result.status == 76)
      try #require(result.complaints.count == 1, "\(result.stderr)")
      #expect(result.complaints[0].hasPrefix("repvgg: \(path): "))
      #expect(result.complaints[0].contains("is above"))
      #expect(result.stdout.contains("✗"))
    }
  }
}
