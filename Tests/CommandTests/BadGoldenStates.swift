import Foundation
import RunPlanning
import Tensors
import _TestSupport

// Golden states that cannot be replayed.

extension BadInput {
  static let goldenStates: [BadInput] = [
    withoutWeight("init"), withoutWeight("grad"), withoutWeight("final"),
    BadInput("golden state of a giant network", 78, ["giant.safetensors", "memory", "smaller"]) {
      try giantGolden($0)
    },
    BadInput("golden state with another recipe", 65, ["recipe"]) { site in
      command("replay", on: try spoilt(site) { $0.metadata["recipe"] = "{\"depths\": [1]}" })
    },
    BadInput("golden state without its input", 65, ["step0.input"]) { site in
      var tensors = try NamedTensors.readSafetensors(path: golden)
      tensors["step0.input"] = nil
      return command(
        "replay", on: try site.write(tensors.safetensorsBytes(), to: "spoilt.safetensors"))
    },
    BadInput("golden state of huge sizes", 65, ["recipe"]) { site in
      var tensors = try NamedTensors.readSafetensors(path: golden)
      tensors.metadata["recipe"] = tensors.metadata["recipe"]?
        .replacingOccurrences(of: "\"stem\": ", with: "\"stem\": 99999999999")
      return command(
        "replay", on: try site.write(tensors.safetensorsBytes(), to: "spoilt.safetensors"))
    },
  ]

  /// A golden state that lacks a weight of one of its states; every rank reads it, one speaks.
  static func withoutWeight(_ prefix: String, ranks: Int = 0) -> BadInput {
    let name = "\(prefix).stage1.0.rbr_dense.conv.weight"
    return BadInput(
      "golden state without \(name)", 65,
      ["spoilt.safetensors: \(name): found nothing, expected F32 [16, 16, 3, 3]"], ranks: ranks
    ) { site in
      var tensors = try NamedTensors.readSafetensors(path: golden)
      tensors[name] = nil
      return command(
        "replay", on: try site.write(tensors.safetensorsBytes(), to: "spoilt.safetensors"))
    }
  }

  /// One image of 2048 x 2048 through 65,536 channels: 32 MB of file, a terabyte of activations.
  private static func giantGolden(_ site: BadInputSite) throws -> [String] {
    var tensors = NamedTensors()
    func add(_ name: String, _ shape: [Int]) {
      tensors[name] = Tensor(shape: shape, [Float](repeating: 0, count: shape.reduce(1, *)))
    }
    let network = Architecture(stemWidth: 65_536, depths: [1], widths: [1])
    let blocks = network.blocks(inputChannels: 1, height: 2048, width: 2048)
    let training = ParameterTable.training(blocks: blocks, classes: 2)
    for entry in training.entries {
      for prefix in ["init", "final"] {
        add("\(prefix).\(entry.name)", entry.shape)
        if entry.kind == .batchCount {
          tensors["\(prefix).\(entry.name)"] = Tensor(shape: [], integers: [0])
        }
      }
      if entry.kind.isTrainable { add("grad.\(entry.name)", entry.shape) }
    }
    for entry in ParameterTable.deploy(blocks: blocks, classes: 2).entries {
      add("deploy.\(entry.name)", entry.shape)
    }
    add("step0.input", [1, 1, 2048, 2048])
    add("step0.logits", [1, 2])
    add("losses", [1])
    add("eval.input", [1, 1, 2048, 2048])
    add("eval.logits", [1, 2])
    tensors["step0.labels"] = Tensor(shape: [1], integers: [0])
    tensors.metadata["recipe"] = """
      {"depths": [1], "widths": [1], "stem": 65536, "groups": {}, "batch": 1, "size": 2048, \
      "steps": 1, "lr": 0.1, "momentum": 0.9, "weight_decay": 0, "nesterov": false, \
      "label_smoothing": 0, "bn_eps": 1e-5, "bn_momentum": 0.1, "classes": 2}
      """
    return command(
      "replay", on: try site.write(tensors.safetensorsBytes(), to: "giant.safetensors"))
  }
}
