import Deployment
import RepVGGModel
import RunPlanning

extension ModelDescription {
  /// What a run's files say of its network. Images are those of evaluation: of the largest resolution.
  init(_ config: RunConfig, classes: Int, channels: Int, height: Int, width: Int) {
    let data = config.data
    self.init(
      architecture: config.model.architecture, classes: classes, channels: channels,
      height: height, width: width, mean: data.mean, standardDeviation: data.standardDeviation,
      name: config.name)
    if data.evaluationResize > 0 {
      evaluationSide = data.evaluationResize
    } else {
      // Stored pixels are not resized.
      evaluationSide =
        data.format.isEncoded ? data.standardEvaluationSide : Swift.max(height, width)
    }
  }

  init(_ plan: RunPlan) {
    self.init(
      plan.config, classes: plan.classes, channels: plan.inputChannels, height: plan.height,
      width: plan.width)
  }

  /// Of a network that may be at work on smaller images at the moment.
  init(_ config: RunConfig, network shape: NetworkShape) {
    let (first, side) = (shape.blocks[0], config.data.resolution)
    self.init(
      config, classes: shape.classes, channels: first.inputChannels,
      height: side > 0 ? side : first.inputHeight, width: side > 0 ? side : first.inputWidth)
  }
}
