import Deployment
import RunPlanning
import Tensors
import Testing
import _TestSupport

@testable import Orchestration
@testable import Training

/// The card is a function of values: the same run has the same text.
@Suite struct ModelCardTests {
  private static let configuration = """
    model: {architecture: {stem: 4, depths: [2], widths: [6]}, strides: [2, 2], classes: 7}
    data:
      format: cifar10
      directory: "/data/some|where"
      mean: [0.5, 0.5, 0.5]
      standard_deviation: [0.25, 0.25, 0.25]
      crop_padding: 2
      horizontal_flip: true
    training: {global_batch: 32, shards: 8, epochs: 2, label_smoothing: 0.1, mixup_alpha: 0.2}

    """

  private func plan(_ more: [String], names: [String] = []) throws -> RunPlan {
    let config = try RunConfig.decode(
      text: Self.configuration, file: "net.yaml", overrides: more)
    return try RunPlan.resolve(
      config: config, worldSize: 2, threads: 1,
      data: DataSummary(
        trainCount: 64_000, testCount: 1000, classes: 7, channels: 3, height: 32, width: 32,
        fingerprint: "f0", classNames: names),
      machine: MachineSummary(
        cpu: "Test CPU", physicalMemoryBytes: 1 << 40, cores: 2, blasKernel: "Zen",
        blasEnvironment: [:], mpiVersion: "none", programVersion: "1.2.3"))
  }

  private func certificate(agreement: Int) throws -> FuseCertificate {
    var training = NamedTensors()
    let history = ReferenceHistory(
      architecture: Architecture(stemWidth: 4, depths: [2], widths: [6]), size: 9, batch: 3)
    for (name, tensor) in history.tensors() where name.hasPrefix("final.") {
      training[String(name.dropFirst("final.".count))] = tensor
    }
    return try FuseCertificate(
      model: "net", training: training, deploy: Fuse.deployTensors(from: training),
      comparison: FuseCertificate.Comparison(
        split: "test", count: 1000, agreement: agreement, largestDifference: 1e-6,
        largestLogit: 8, trainingTop1: 0.9, deployTop1: 0.9), tolerances: RunConfig.Fuse())
  }

  private func card(
    _ more: [String] = [], names: [String] = [], agreement: Int = 1000, files: [String] = []
  ) throws -> String {
    ModelCard(
      plan: try plan(more, names: names), step: 4000,
      training: Evaluation.Result(count: 1000, top1: 0.9, top5: 0.995, loss: 0.25),
      deploy: Evaluation.Result(count: 1000, top1: 0.901, top5: 0.995, loss: 0.2501),
      best: RunState.Best(step: 2000, top1: 0.91),
      certificate: try certificate(agreement: agreement),
      files: files.map { FuseCertificate.File(name: $0, sha256: "ab12") }, scheme: .published
    ).text
  }

  @Test func itTellsWhatSomebodyNeeds() throws {
    let text = try card()
    let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }.map(String.init)
    #expect(
      headings == [
        "# net", "## Network", "## Input", "## Data", "## Recipe", "## Accuracy",
        "## Certificate", "## Use", "## Files", "## Licence",
      ])
    for line in [
      "| architecture | custom |", "| channels of the stages | 6 |", "| groups that occur | 1 |",
      "| strides, the stem's first | 2, 2 |", "| squeeze-and-excitation | no |",
      "| shape | 3 x 32 x 32 (channels, height, width) |", "| mean | 0.5, 0.5, 0.5 |",
      "| directory | some\\|where |", "| training images | 64,000 |", "| test images | 1,000 |",
      "| classes | 7 |", "| fingerprint | `f0` |", "| epochs | 2 |", "| steps | 4,000 |",
      "| global batch | 32 in 8 shards |", "| optimizer | SGD, momentum 0.9 |",
      "| weight decay | 0.0001 |", "| label smoothing | 0.1 |", "| seed | 1 |",
      "| augmentation | crop padded by 2, horizontal flip, mixup 0.2 |",
      "| before the fuse | 90.00 % | 99.50 % | 0.2500 |",
      "| after the fuse (shipped) | 90.10 % | 99.50 % | 0.2501 |",
      "| same class | 1,000 of 1,000 test images | at least 99.90 % |",
      "repvgg evaluate net-deploy.safetensors --config net-config.yaml",
    ] {
      #expect(text.contains("\n\(line)\n"), "\(line)")
    }
    #expect(text.contains("best evaluation was 91.00 % after step 2,000."))
    #expect(text.contains("Not stated."))
    #expect(text.contains("`repvgg` 1.2.3"))
    #expect(!text.contains("does NOT hold") && !text.contains("onnx") && !text.contains("Test CPU"))
  }

  @Test func itTellsWhatIsThere() throws {
    let text = try card(
      ["artifacts.licence=MIT"], names: ["a|b"] + (1...11).map { "c\($0)" },
      files: ["labels.txt", "net.onnx"])
    #expect(text.hasSuffix("## Licence\n\nMIT\n"))
    #expect(text.contains("| named | a\\|b, c1, c2, c3, c4, c5, c6, c7, c8, c9, … ("))
    #expect(text.contains("| `labels.txt` | `ab12` |\n| `net.onnx` | `ab12` |\n"))
    #expect(text.contains("onnxruntime.InferenceSession(\"net.onnx\")"))
  }

  @Test func aCertificateThatDoesNotHoldIsSaid() throws {
    #expect(try card(agreement: 900).contains("It does NOT hold: both forms agree on 900 of 1000"))
  }

  @Test func theSameValuesGiveTheSameText() throws {
    #expect(try card() == card())
    #expect(try card() != card(["training.seed=2"]))
  }
}
