import Checkpoints
import Deployment
import ImageData
import Orchestration
import Reporting

/// `repvgg certify TRAIN DEPLOY`: whether both files are one network in its two forms.
enum CertifyCommand {
  /// Failures that are listed; the certificate has all.
  private static let shownFailures = 3

  static func run(_ invocation: Invocation) throws -> ExitCode {
    try Machine.requireBuiltForProcessor()
    let (first, second) = (invocation.positionals[0], invocation.positionals[1])
    if let path = invocation.text("--output") {
      for input in [first, second] + [invocation.text("--config")].compactMap({ $0 }) {
        try OutputFile.require(path, isNot: input, option: "--output")
      }
    }
    let images = invocation.text("--config").map {
      Certification.Images(
        configuration: $0, overrides: invocation.texts("--set"),
        split: invocation.text("--split").flatMap(Datasets.Split.init(rawValue:)) ?? .test,
        threads: invocation.integer("--threads") ?? 1)
    }
    let outcome = try Certification(first, second, images: images).run()
    let certificate = outcome.certificate
    let json = try certificate.json()
    if let path = invocation.text("--output") { try AtomicFile.write(path: path, bytes: json) }
    Speaker.say(
      invocation.flag("--json")
        ? String(String(decoding: json, as: UTF8.self).dropLast()) : text(outcome))
    guard certificate.holds else {
      let more = certificate.failures.count - shownFailures
      throw JobFailure(
        .numerics,
        "\(outcome.deploy): not the network of \(outcome.training): "
          + certificate.failures.prefix(shownFailures).joined(separator: "; ")
          + (more > 0 ? " (and \(more) more)" : ""))
    }
    return .done
  }

  private static func text(_ outcome: Certification.Outcome) -> String {
    let certificate = outcome.certificate
    var table = TextTable([
      .left("block"), .right("weights"), .right("output"), .right("largest"), .right("relative"),
      .right("mean"), .left("excitation"),
    ])
    for block in certificate.blocks {
      let errors = [
        block.weightError, block.outputError, block.largestDifference,
        block.largestRelativeDifference, block.meanDifference,
      ]
      table.append(
        [block.key] + errors.map { "\(Float($0))" }
          + [block.excitationIsSame.map { $0 ? "the same" : "differs" } ?? ""])
    }
    var summary = Summary(
      title: certificate.holds
        ? "\(outcome.deploy): the network of \(outcome.training)"
        : "\(outcome.deploy): NOT the network of \(outcome.training)")
    summary.append(
      "worst block error",
      "\(Float(certificate.worstBlockError)) (relative; allowed "
        + "\(certificate.tolerances.blockTolerance))")
    summary.append("largest difference", "\(Float(certificate.largestDifference)) of a weight")
    summary.append("mean difference", "\(Float(certificate.meanDifference))")
    if let comparison = certificate.comparison {
      summary.append(
        "same class",
        "\(Quantity.count(comparison.agreement)) of \(Quantity.count(comparison.count)) images "
          + "(\(comparison.split))")
      summary.append(
        "logits",
        "differ by \(Float(comparison.largestDifference)) at most, the largest is "
          + "\(Float(comparison.largestLogit))")
      summary.append("top-1, training form", percent(comparison.trainingTop1))
      summary.append("top-1, deploy form", percent(comparison.deployTop1))
    }
    for (name, hash) in [
      ("training file", certificate.trainingFileSHA256),
      ("deploy file", certificate.deployFileSHA256),
    ] {
      if let hash { summary.append(name, "sha256 \(hash)") }
    }
    return table.text + "\n" + summary.text
  }

  private static func percent(_ share: Double) -> String {
    Quantity.percent(share, decimals: 2)
  }
}
