import Foundation
import RunPlanning
import Tensors

/// RepVGG's training form in Float64, written for reading and not for speed: the oracle of the
/// training network. Parameters and statistics by published name, in published order.
package struct ReferenceNetwork {
  package let blocks: [BlockShape]
  package let classes: Int
  package let table: ParameterTable
  package var state: [String: [Double]]
  package var epsilon = 1e-5
  package var statisticsMomentum = 0.1

  package init(blocks: [BlockShape], classes: Int, state: [String: [Double]]) {
    self.blocks = blocks
    self.classes = classes
    self.state = state
    table = ParameterTable.training(blocks: blocks, classes: classes)
  }

  /// Float64 values of every Float32 tensor.
  package init(blocks: [BlockShape], classes: Int, tensors: NamedTensors) {
    var state: [String: [Double]] = [:]
    for (name, tensor) in tensors { state[name] = tensor.floats?.map(Double.init) }
    self.init(blocks: blocks, classes: classes, state: state)
  }

  package struct Gradients {
    package var values: [String: [Double]] = [:]
    /// Mean loss over the batch.
    package var loss = 0.0
    package var logits: [[Double]] = []
    /// Batch mean and unbiased variance of every BatchNorm by its prefix.
    package var statistics: [String: (mean: [Double], variance: [Double])] = [:]
  }

  private struct Branch {
    var prefix: String
    var convolution: ReferenceConvolution?
    var weightName = ""
  }

  private func branches(_ block: BlockShape) -> [Branch] {
    func convolution(_ kernel: Int) -> ReferenceConvolution {
      ReferenceConvolution(
        kernel: kernel, stride: block.stride, groups: block.groups,
        outputChannels: block.outputChannels)
    }
    var branches = [
      Branch(
        prefix: "\(block.key).rbr_dense.bn", convolution: convolution(3),
        weightName: "\(block.key).rbr_dense.conv.weight"),
      Branch(
        prefix: "\(block.key).rbr_1x1.bn", convolution: convolution(1),
        weightName: "\(block.key).rbr_1x1.conv.weight"),
    ]
    if block.hasIdentity { branches.append(Branch(prefix: "\(block.key).rbr_identity")) }
    return branches
  }

  private func values(_ name: String) -> [Double] { state[name] ?? [] }

  private func norm(_ prefix: String) -> ReferenceBatchNorm {
    ReferenceBatchNorm(
      scale: values("\(prefix).weight"), shift: values("\(prefix).bias"), epsilon: epsilon)
  }

  private func excitation(_ block: BlockShape) -> ReferenceExcitation? {
    guard block.squeezeChannels > 0 else { return nil }
    return ReferenceExcitation(
      down: values("\(block.key).se.down.weight"), downBias: values("\(block.key).se.down.bias"),
      up: values("\(block.key).se.up.weight"), upBias: values("\(block.key).se.up.bias"))
  }
}

// MARK: - Forward

extension ReferenceNetwork {
  /// What the backward pass needs of one block.
  private struct Trace {
    var input: ReferenceTensor
    var values: [ReferenceTensor] = []
    var norms: [ReferenceBatchNorm] = []
    /// The branch sum.
    var sum: ReferenceTensor
    var output: ReferenceTensor
  }

  private func forward(
    _ block: BlockShape, _ input: ReferenceTensor, training: Bool
  ) -> Trace {
    var trace = Trace(input: input, sum: input, output: input)
    var sum: ReferenceTensor?
    for branch in branches(block) {
      let value =
        branch.convolution?.forward(input, values(branch.weightName)) ?? input
      var norm = norm(branch.prefix)
      if training {
        norm.useBatch(value)
      } else {
        norm.useRunning(
          means: values("\(branch.prefix).running_mean"),
          variances: values("\(branch.prefix).running_var"))
      }
      let normalised = norm.forward(value)
      trace.values.append(value)
      trace.norms.append(norm)
      if let previous = sum {
        sum?.values = zip(previous.values, normalised.values).map { $0 + $1 }
      } else {
        sum = normalised
      }
    }
    trace.sum = sum ?? input
    trace.output = excitation(block)?.forward(trace.sum) ?? trace.sum
    trace.output.values = trace.output.values.map { max($0, 0) }
    return trace
  }

  private func classify(_ activations: ReferenceTensor) -> (
    features: [[Double]], logits: [[Double]]
  ) {
    let pixels = activations.height * activations.width
    let (weights, bias) = (values("linear.weight"), values("linear.bias"))
    var features: [[Double]] = []
    var logits: [[Double]] = []
    for image in 0..<activations.images {
      let pooled = (0..<activations.channels).map { channel in
        let start = (image * activations.channels + channel) * pixels
        return activations.values[start..<start + pixels].reduce(0, +) / Double(pixels)
      }
      features.append(pooled)
      logits.append(
        (0..<classes).map { label in
          zip(pooled, weights[(label * pooled.count)...]).reduce(bias[label]) { $0 + $1.0 * $1.1 }
        })
    }
    return (features, logits)
  }

  /// Evaluation mode: logits with the running statistics.
  package func evaluate(_ images: ReferenceTensor) -> [[Double]] {
    var activations = images
    for block in blocks { activations = forward(block, activations, training: false).output }
    return classify(activations).logits
  }

  /// Mean loss of a batch in training mode, for finite differences.
  package func loss(_ images: ReferenceTensor, labels: [Int], smoothing: Double) -> Double {
    var activations = images
    for block in blocks { activations = forward(block, activations, training: true).output }
    return crossEntropy(classify(activations).logits, labels, smoothing).loss
  }

  private func crossEntropy(
    _ logits: [[Double]], _ labels: [Int], _ smoothing: Double
  ) -> (loss: Double, gradient: [[Double]]) {
    var loss = 0.0
    let gradient = zip(logits, labels).map { row, label -> [Double] in
      let largest = row.max() ?? 0
      let sum = row.reduce(0) { $0 + exp($1 - largest) }
      return row.indices.map { index in
        let target =
          (index == label ? 1 - smoothing : 0) + smoothing / Double(classes)
        let logProbability = row[index] - largest - log(sum)
        loss -= target * logProbability / Double(labels.count)
        return (exp(logProbability) - target) / Double(labels.count)
      }
    }
    return (loss, gradient)
  }
}

// MARK: - Backward

extension ReferenceNetwork {
  /// Loss, logits, statistics and all gradients of a batch whose BatchNorm statistics are its own.
  package func gradients(
    _ images: ReferenceTensor, labels: [Int], smoothing: Double = 0
  ) -> Gradients {
    var result = Gradients()
    var traces: [Trace] = []
    var activations = images
    for block in blocks {
      let trace = forward(block, activations, training: true)
      record(trace, block, in: &result)
      activations = trace.output
      traces.append(trace)
    }
    let (features, logits) = classify(activations)
    let (loss, logitGradient) = crossEntropy(logits, labels, smoothing)
    (result.loss, result.logits) = (loss, logits)
    var gradient = headBackward(activations, features, logitGradient, &result)
    for (block, trace) in zip(blocks, traces).reversed() {
      gradient = backward(block, trace, gradient, &result)
    }
    return result
  }

  private func record(_ trace: Trace, _ block: BlockShape, in result: inout Gradients) {
    let count = Double(trace.output.images * trace.output.height * trace.output.width)
    for (branch, norm) in zip(branches(block), trace.norms) {
      result.statistics[branch.prefix] = (
        norm.means, norm.variances.map { $0 * count / (count - 1) }
      )
    }
  }

  private func headBackward(
    _ activations: ReferenceTensor, _ features: [[Double]], _ logitGradient: [[Double]],
    _ result: inout Gradients
  ) -> ReferenceTensor {
    let width = activations.channels
    let weights = values("linear.weight")
    var weightGradient = [Double](repeating: 0, count: classes * width)
    var biasGradient = [Double](repeating: 0, count: classes)
    var gradient = activations.zeros
    let pixels = activations.height * activations.width
    for image in 0..<activations.images {
      for label in 0..<classes {
        biasGradient[label] += logitGradient[image][label]
        for channel in 0..<width {
          weightGradient[label * width + channel] +=
            logitGradient[image][label] * features[image][channel]
        }
      }
      for channel in 0..<width {
        let sum = (0..<classes).reduce(0.0) {
          $0 + logitGradient[image][$1] * weights[$1 * width + channel]
        }
        for pixel in 0..<pixels {
          gradient.values[(image * width + channel) * pixels + pixel] = sum / Double(pixels)
        }
      }
    }
    result.values["linear.weight"] = weightGradient
    result.values["linear.bias"] = biasGradient
    return gradient
  }

  private func backward(
    _ block: BlockShape, _ trace: Trace, _ gradient: ReferenceTensor, _ result: inout Gradients
  ) -> ReferenceTensor {
    var gated = gradient
    for place in gated.values.indices where trace.output.values[place] <= 0 {
      gated.values[place] = 0
    }
    if let parts = excitation(block)?.backward(gated, sum: trace.sum) {
      gated = parts.sum
      result.values["\(block.key).se.down.weight"] = parts.down
      result.values["\(block.key).se.down.bias"] = parts.downBias
      result.values["\(block.key).se.up.weight"] = parts.up
      result.values["\(block.key).se.up.bias"] = parts.upBias
    }
    var inputGradient = trace.input.zeros
    for (index, branch) in branches(block).enumerated() {
      let parts = trace.norms[index].backward(gated, input: trace.values[index])
      result.values["\(branch.prefix).weight"] = parts.scale
      result.values["\(branch.prefix).bias"] = parts.shift
      var part = parts.input
      if let convolution = branch.convolution {
        result.values[branch.weightName] = convolution.weightGradient(
          parts.input, input: trace.input)
        part = convolution.inputGradient(
          parts.input, values(branch.weightName), input: trace.input)
      }
      for place in part.values.indices { inputGradient.values[place] += part.values[place] }
    }
    return inputGradient
  }
}
