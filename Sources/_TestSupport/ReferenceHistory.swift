import RunPlanning
import Tensors

/// A golden state made by the Float64 reference network: a training history to replay.
package struct ReferenceHistory {
  package var architecture: Architecture
  package var size: Int
  package var batch: Int
  package var steps = 2
  package var classes = 7
  package var learningRate = 0.02
  package var momentum = 0.9
  package var weightDecay = 1e-4
  package var nesterov = false
  package var labelSmoothing = 0.0
  package var seed: UInt64 = 1

  package init(architecture: Architecture, size: Int, batch: Int) {
    self.architecture = architecture
    self.size = size
    self.batch = batch
  }

  /// The whole history as a golden state's tensors.
  package func tensors() -> NamedTensors {
    let blocks = architecture.blocks(inputChannels: 3, height: size, width: size)
    var network = ReferenceNetwork(
      blocks: blocks, classes: classes, state: initialState(blocks))
    var golden = NamedTensors()
    golden.metadata["recipe"] = recipe
    copy(network, "init", steps: 0, into: &golden)
    var velocity: [String: [Double]] = [:]
    var losses: [Float] = []
    for step in 0..<steps {
      let images = testTensor(
        images: batch, channels: 3, height: size, width: size, seed: seed &+ UInt64(50 + step))
      let labels = (0..<batch).map { ($0 * 5 + step) % classes }
      let result = network.gradients(images, labels: labels, smoothing: labelSmoothing)
      golden["step\(step).input"] = tensor([batch, 3, size, size], images.values)
      golden["step\(step).labels"] = Tensor(shape: [batch], integers: labels.map(Int64.init))
      golden["step\(step).logits"] = tensor([batch, classes], result.logits.flatMap { $0 })
      losses.append(Float(result.loss))
      if step == 0 {
        for entry in network.table.entries where entry.kind.isTrainable {
          golden["grad.\(entry.name)"] = tensor(entry.shape, result.values[entry.name] ?? [])
        }
      }
      update(&network, result, &velocity)
    }
    golden["losses"] = Tensor(shape: [steps], losses)
    copy(network, "final", steps: steps, into: &golden)
    evaluate(network, into: &golden)
    return golden
  }

  private var recipe: String {
    let groups = architecture.groups.sorted { $0.key < $1.key }.map { "\"\($0)\": \($1)" }
    let squeeze = architecture.squeezeExcitation ? "\"squeeze_excitation\": true, " : ""
    return """
      {\(squeeze)"depths": \(architecture.depths), "widths": \(architecture.widths), \
      "stem": \(architecture.stemWidth), "groups": {\(groups.joined(separator: ", "))}, \
      "batch": \(batch), "size": \(size), "steps": \(steps), "lr": \(learningRate), \
      "momentum": \(momentum), "weight_decay": \(weightDecay), "nesterov": \(nesterov), \
      "label_smoothing": \(labelSmoothing), "bn_eps": 1e-05, "bn_momentum": 0.1, \
      "classes": \(classes)}
      """
  }

  private func tensor(_ shape: [Int], _ values: [Double]) -> Tensor {
    Tensor(shape: shape, values.map(Float.init))
  }

  /// Values that Float32 holds exactly, so that both start from the same state.
  private func initialState(_ blocks: [BlockShape]) -> [String: [Double]] {
    var state: [String: [Double]] = [:]
    let table = ParameterTable.training(blocks: blocks, classes: classes)
    for (index, entry) in table.entries.enumerated() {
      let values = testValues(entry.count, seed: seed &+ UInt64(1000 + index))
      let fanIn = Float(entry.shape.dropFirst().reduce(1, *))
      switch entry.kind {
      case .batchNormScale: state[entry.name] = values.map { Double(1 + 0.3 * $0) }
      case .runningVariance: state[entry.name] = values.map { Double(1 + 0.5 * $0) }
      case .batchCount: break
      case .convolutionWeight, .linearWeight:
        state[entry.name] = values.map { Double($0 * (3 / fanIn).squareRoot()) }
      default: state[entry.name] = values.map { Double(0.1 * $0) }
      }
    }
    return state
  }

  /// SGD as PyTorch writes it, and the running statistics.
  private func update(
    _ network: inout ReferenceNetwork, _ result: ReferenceNetwork.Gradients,
    _ velocity: inout [String: [Double]]
  ) {
    for entry in network.table.entries where entry.kind.isTrainable {
      let weights = network.state[entry.name] ?? []
      let decay = entry.decays ? weightDecay : 0
      let direction = zip(result.values[entry.name] ?? [], weights).map { $0 + decay * $1 }
      let previous = velocity[entry.name] ?? direction.map { _ in 0 }
      let next = zip(direction, previous).map { $0 + momentum * $1 }
      velocity[entry.name] = next
      let step = nesterov ? zip(direction, next).map { $0 + momentum * $1 } : next
      network.state[entry.name] = zip(weights, step).map { $0 - learningRate * $1 }
    }
    for (prefix, statistics) in result.statistics {
      for (member, batch) in [
        ("running_mean", statistics.mean), ("running_var", statistics.variance),
      ] {
        let name = "\(prefix).\(member)"
        network.state[name] = zip(network.state[name] ?? [], batch).map { 0.9 * $0 + 0.1 * $1 }
      }
    }
  }

  private func copy(
    _ network: ReferenceNetwork, _ prefix: String, steps: Int, into golden: inout NamedTensors
  ) {
    for entry in network.table.entries {
      golden["\(prefix).\(entry.name)"] =
        entry.kind == .batchCount
        ? Tensor(shape: [], integers: [Int64(steps)])
        : tensor(entry.shape, network.state[entry.name] ?? [])
    }
  }

  private func evaluate(_ network: ReferenceNetwork, into golden: inout NamedTensors) {
    let images = testTensor(images: 5, channels: 3, height: size, width: size, seed: seed &+ 99)
    golden["eval.input"] = tensor([5, 3, size, size], images.values)
    golden["eval.logits"] = tensor(
      [5, classes], network.evaluate(images).flatMap { $0 })
    for block in network.blocks {
      let (kernel, bias) = fuse(block, network)
      golden["deploy.\(block.key).rbr_reparam.weight"] = tensor(
        [block.outputChannels, block.inputChannels / block.groups, 3, 3], kernel)
      golden["deploy.\(block.key).rbr_reparam.bias"] = tensor([block.outputChannels], bias)
    }
    for entry in network.table.entries
    where entry.name.hasPrefix("linear.") || entry.name.contains(".se.") {
      golden["deploy.\(entry.name)"] = tensor(entry.shape, network.state[entry.name] ?? [])
    }
  }

  /// The fuse by its effect: the response of the three branches to unit images, and to none.
  private func fuse(
    _ block: BlockShape, _ network: ReferenceNetwork
  ) -> (kernel: [Double], bias: [Double]) {
    let inputs = block.inputChannels / block.groups
    let groupOutputs = block.outputChannels / block.groups
    var kernel: [Double] = []
    let bias = network.response(block, channel: 0, tap: nil)
    for output in 0..<block.outputChannels {
      for input in 0..<inputs {
        for tap in 0..<9 {
          let channel = output / groupOutputs * inputs + input
          kernel.append(network.response(block, channel: channel, tap: tap)[output] - bias[output])
        }
      }
    }
    return (kernel, bias)
  }
}

extension ReferenceNetwork {
  /// Evaluation-mode branch sum at the middle pixel of a 3x3 image that is 1 at `tap` of `channel`
  /// and 0 elsewhere (everywhere, without a tap).
  func response(_ block: BlockShape, channel: Int, tap: Int?) -> [Double] {
    (0..<block.outputChannels).map { output in
      var sum = 0.0
      func normalise(_ value: Double, _ prefix: String) -> Double {
        func member(_ name: String) -> Double { (state["\(prefix).\(name)"] ?? [])[output] }
        return member("weight") * (value - member("running_mean"))
          / (member("running_var") + epsilon).squareRoot() + member("bias")
      }
      let inputs = block.inputChannels / block.groups
      let groupOutputs = block.outputChannels / block.groups
      let isConnected = channel / inputs == output / groupOutputs
      func weight(_ name: String, _ taps: Int, _ tap: Int) -> Double {
        (state["\(block.key).\(name)"] ?? [])[(output * inputs + channel % inputs) * taps + tap]
      }
      let dense = tap.map { isConnected ? weight("rbr_dense.conv.weight", 9, $0) : 0 } ?? 0
      let pointwise = tap == 4 && isConnected ? weight("rbr_1x1.conv.weight", 1, 0) : 0
      sum += normalise(dense, "\(block.key).rbr_dense.bn")
      sum += normalise(pointwise, "\(block.key).rbr_1x1.bn")
      if block.hasIdentity {
        let input = tap == 4 && channel == output ? 1.0 : 0
        sum += normalise(input, "\(block.key).rbr_identity")
      }
      return sum
    }
  }
}
