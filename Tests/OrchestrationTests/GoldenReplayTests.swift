import Collectives
import Foundation
import Orchestration
import RunPlanning
import Tensors
import Testing
import _TestSupport

/// Histories computed in Float64, replayed by the real training step on 1 to 8 ranks.
@Suite(.timeLimit(.minutes(2))) struct GoldenReplayTests {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Golden").path

  private func replay(_ path: String, ranks: Int, threads: Int = 1) throws {
    let findings = try InProcessCommunicator.run(ranks: ranks) { communicator in
      let golden = try GoldenState.read(path: path)
      return try GoldenReplay(golden, communicator: communicator, threads: threads).run()
    }
    #expect(findings.count == ranks)
    for finding in findings[0] {
      #expect(
        finding.isInside,
        "\(ranks) ranks: \(finding.quantity): \(finding.error) at \(finding.worst)")
    }
  }

  @Test(arguments: ["tiny", "tiny-g2"], [1, 2, 3, 4, 5, 8])
  func goldenStates(name: String, ranks: Int) throws {
    try replay("\(Self.directory)/\(name).safetensors", ranks: ranks)
  }

  @Test func goldenStateWithTwoThreads() throws {
    try replay("\(Self.directory)/tiny-g2.safetensors", ranks: 2, threads: 2)
  }

  /// Other depths and widths, groups of 4, nesterov, label smoothing, odd sizes, other batches.
  static let histories: [(String, ReferenceHistory)] = {
    var nesterov = ReferenceHistory(
      architecture: Architecture(stemWidth: 8, depths: [1, 2], widths: [12, 20]), size: 24,
      batch: 24)
    nesterov.nesterov = true
    var smoothing = ReferenceHistory(
      architecture: Architecture(
        stemWidth: 8, depths: [3, 1], widths: [8, 24], groups: [1: 4, 2: 4, 4: 4]), size: 21,
      batch: 32)
    smoothing.labelSmoothing = 0.1
    let odd = ReferenceHistory(
      architecture: Architecture(stemWidth: 7, depths: [2, 1], widths: [9, 33]), size: 19,
      batch: 13)
    let excited = ReferenceHistory(
      architecture: Architecture(
        stemWidth: 16, depths: [2, 1], widths: [16, 33], groups: [2: 2], squeezeExcitation: true),
      size: 17, batch: 19)
    return [
      ("nesterov", nesterov), ("groups 4, smoothing", smoothing), ("odd", odd),
      ("squeeze-and-excitation", excited),
    ]
  }()

  @Test(arguments: 0..<4, [1, 2, 4, 8])
  func referenceHistories(index: Int, ranks: Int) throws {
    let (name, history) = Self.histories[index]
    let directory = try ScratchDirectory()
    let path = try directory.write(
      history.tensors().safetensorsBytes(), to: "\(name).safetensors")
    try replay(path, ranks: ranks)
  }

  @Test func aWrongHistoryIsFound() throws {
    var tensors = try NamedTensors.readSafetensors(path: "\(Self.directory)/tiny.safetensors")
    var weights = try #require(tensors["final.linear.weight"]?.floats)
    for place in weights.indices { weights[place] *= 1.001 }
    tensors["final.linear.weight"] = Tensor(shape: [10, 64], weights)
    let directory = try ScratchDirectory()
    let golden = try GoldenState.read(
      path: try directory.write(tensors.safetensorsBytes(), to: "wrong.safetensors"))
    let findings = try GoldenReplay(golden, communicator: SoloCommunicator(), threads: 1).run()
    let outside = findings.filter { !$0.isInside }
    #expect(outside.contains { $0.quantity == "final state" && $0.worst == "linear.weight" })
  }

  @Test func badGoldenStatesAreNamed() throws {
    let good = try NamedTensors.readSafetensors(path: "\(Self.directory)/tiny.safetensors")
    func message(_ change: (inout NamedTensors) -> Void) throws -> String {
      var tensors = good
      change(&tensors)
      let directory = try ScratchDirectory()
      let path = try directory.write(tensors.safetensorsBytes(), to: "bad.safetensors")
      let error = #expect(throws: GoldenError.self) { try GoldenState.read(path: path) }
      return error?.description ?? ""
    }
    #expect(try message { $0.metadata = [:] }.contains("have no recipe"))
    #expect(try message { $0.metadata["recipe"] = "{}" }.contains("depths is missing"))
    func excited(_ recipe: String?) -> String {
      "{\"squeeze_excitation\": true, " + (recipe ?? "").dropFirst()
    }
    #expect(
      try message { $0.metadata["recipe"] = excited($0.metadata["recipe"]) }
        .contains("init.stage0.se.down.weight: found nothing"))
    #expect(
      try message {
        $0.metadata["recipe"] = excited($0.metadata["recipe"])
          .replacing("\"stem\": 16", with: "\"stem\": 15")
      }.contains("squeeze_excitation needs 16 channels or more"))
    #expect(try message { $0["losses"] = nil }.contains("losses: found nothing, expected F32 [3]"))
    #expect(
      try message { $0["step1.labels"] = Tensor(shape: [1], integers: [99]) }
        .contains("step1.labels: expected 16 classes below 10"))
    #expect(
      try message { $0["grad.linear.bias"] = Tensor(shape: [9], [Float](repeating: 0, count: 9)) }
        .contains("bad.safetensors: grad.linear.bias: found F32 [9], expected F32 [10]"))
    #expect(
      try message {
        $0["final.stage0.rbr_1x1.bn.num_batches_tracked"] = Tensor(shape: [], [3])
      }.contains("num_batches_tracked: found F32 [], expected I64 []"))
    #expect(
      try message { $0["deploy.stage0.rbr_dense.bias"] = Tensor(shape: [1], [0]) }
        .contains("deploy.stage0.rbr_dense.bias: the network of the recipe has no such tensor"))
  }
}
