import Deployment
import Reporting
import RunPlanning
import Training

// How good the network is, what proves it, and how it is used.

extension ModelCard {
  var accuracy: String {
    func row(_ name: String, _ result: Evaluation.Result) -> [String] {
      [
        name, Quantity.percent(result.top1, decimals: 2),
        Quantity.percent(result.top5, decimals: 2), Quantity.fixed(result.loss, decimals: 4),
      ]
    }
    var text =
      "On the \(Quantity.count(training.count)) test images, each once:\n\n"
      + Self.table(
        ["", "top-1", "top-5", "loss"],
        [row("before the fuse", training), row("after the fuse (shipped)", deploy)])
    if let best {
      text +=
        "\n\nThe weights are those after step \(Quantity.count(step)). The run's best evaluation "
        + "was \(Quantity.percent(best.top1, decimals: 2)) after step \(Quantity.count(best.step))."
    }
    return text
  }

  var certified: String {
    let tolerances = certificate.tolerances
    var rows = [
      [
        "worst error of a block", "\(Float(certificate.worstBlockError)) (relative)",
        "\(tolerances.blockTolerance)",
      ],
      ["largest difference of a weight", "\(Float(certificate.largestDifference))", ""],
      ["mean difference of a weight", "\(Float(certificate.meanDifference))", ""],
    ]
    if let comparison = certificate.comparison {
      let relative = comparison.largestDifference / max(comparison.largestLogit, 1e-30)
      rows += [
        [
          "largest difference of a logit", "\(Float(relative)) of the largest logit",
          "\(tolerances.logitTolerance)",
        ],
        [
          "same class",
          "\(Quantity.count(comparison.agreement)) of \(Quantity.count(comparison.count)) "
            + "\(comparison.split) images",
          "at least \(Quantity.percent(tolerances.minimumAgreement, decimals: 2))",
        ],
      ]
    }
    return "Each of the \(certificate.blocks.count) fused blocks was held against a fuse in "
      + "Float64, and both networks saw the same images; `certificate.json` has every block.\n\n"
      + Self.table(["", "found", "allowed"], rows)
      + (certificate.holds
        ? "" : "\n\nIt does NOT hold: " + certificate.failures.joined(separator: "; ") + ".")
  }

  var use: String {
    let (deploy, settings) = (
      "\(config.name)-deploy.safetensors", "\(config.name)-config.yaml"
    )
    var text =
      "```sh\nrepvgg classify \(deploy) picture.jpg\n"
      + "repvgg evaluate \(deploy) --config \(settings)\n"
      + "repvgg certify \(config.name)-train.safetensors \(deploy)\n```\n\n"
      + "The tensors have the names of \(Self.owner(of: scheme)); `repvgg convert` gives them "
      + "those of "
      + KeyScheme.allCases.filter { $0 != scheme }.map(Self.owner).joined(separator: " or ") + "."
    if let network = files.first(where: { $0.name.hasSuffix(".onnx") }) {
      text +=
        "\n\n```python\nimport onnxruntime\n\n"
        + "session = onnxruntime.InferenceSession(\"\(network.name)\")\n"
        + "logits = session.run(None, {session.get_inputs()[0].name: images})[0]\n```"
    }
    return text
  }

  private static func owner(of scheme: KeyScheme) -> String {
    scheme == .published ? "the published code" : scheme.rawValue
  }

  var hashes: String {
    Self.table(["file", "sha256"], files.map { ["`\($0.name)`", "`\($0.sha256)`"] })
      + "\n\nOf the weights alone, whatever the file (`repvgg inspect`): training "
      + "`\(certificate.trainingSHA256)`, deploy `\(certificate.deploySHA256)`."
  }

  var licence: String {
    let licence = config.artifacts.licence
    return licence.isEmpty
      ? "Not stated. (`artifacts.licence` in the configuration states it.)" : licence
  }

  static func table(_ header: [String], _ rows: [[String]]) -> String {
    ([header, header.map { _ in "---" }] + rows).map { cells in
      let escaped = cells.map { $0.replacing("|", with: "\\|") }
      return "| " + escaped.joined(separator: " | ") + " |"
    }.joined(separator: "\n")
  }

  static func list(_ values: [some CustomStringConvertible]) -> String {
    values.map(\.description).joined(separator: ", ")
  }
}
