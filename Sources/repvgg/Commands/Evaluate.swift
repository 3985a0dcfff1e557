import Checkpoints
import ImageData
import Orchestration
import Reporting

/// `repvgg evaluate MODEL --config CONFIG`: accuracy of weights of either form; under mpirun every
/// rank takes its part of the images.
enum EvaluateCommand {
  static func run(_ invocation: Invocation) -> Int32 {
    Backend.run { backend in
      let model = invocation.positionals[0]
      let configuration = invocation.text("--config") ?? ""
      try Agreement.all(backend.communicator) {
        guard backend.communicator.rank == 0, let path = invocation.text("--logits") else { return }
        for input in [model, configuration] {
          try OutputFile.require(path, isNot: input, option: "--logits")
        }
      }
      let evaluation = ModelEvaluation(
        model: model, configuration: configuration,
        overrides: invocation.texts("--set"),
        split: invocation.text("--split").flatMap(Datasets.Split.init(rawValue:)) ?? .test,
        threads: invocation.integer("--threads") ?? 1)
      let outcome = try evaluation.run(
        over: backend.communicator, keepingLogits: invocation.text("--logits") != nil,
        keepingImages: invocation.flag("--images"))
      try Agreement.all(backend.communicator) {
        guard backend.communicator.rank == 0 else { return }
        if let path = invocation.text("--logits") {
          try AtomicFile.write(path: path, bytes: outcome.tensors.safetensorsBytes())
        }
      }
      report(outcome, model: model, asJSON: invocation.flag("--json"))
      return .done
    }
  }

  private static func report(_ outcome: ModelEvaluation.Outcome, model: String, asJSON: Bool) {
    let result = outcome.result
    if asJSON {
      Speaker.say(
        JSONValue.object([
          ("model", .string(model)), ("form", .string(outcome.form.rawValue)),
          ("names", .string(outcome.scheme.rawValue)), ("split", .string(outcome.split.rawValue)),
          ("count", .int(result.count)),
          ("top1", .double(result.top1)), ("top5", .double(result.top5)),
          ("loss", .double(result.loss)), ("images_per_second", .double(outcome.imagesPerSecond)),
        ]).text())
      return
    }
    var summary = Summary(
      title: "\(model): \(outcome.form.rawValue) form, \(outcome.scheme.rawValue) names")
    summary.append(outcome.split.rawValue, "\(Quantity.count(result.count)) images")
    summary.append("top-1", Quantity.percent(result.top1, decimals: 2))
    summary.append("top-5", Quantity.percent(result.top5, decimals: 2))
    summary.append("loss", Quantity.fixed(result.loss, decimals: 4))
    summary.append("images/s", Quantity.fixed(outcome.imagesPerSecond, decimals: 0))
    Speaker.say(summary.text)
  }
}
