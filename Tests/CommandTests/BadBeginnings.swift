import Tensors

// Weights with which a run cannot begin.

extension BadInput {
  /// Training and its plan with `model.initialize_from`; nothing is trained.
  private static func beginning(
    _ name: String, _ code: Int, _ says: [String], with settings: [String] = [],
    _ weights: @escaping @Sendable (BadInputSite) throws -> String
  ) -> [BadInput] {
    [("train", train), ("plan", ["plan", TinyJob.configuration])].map { command, arguments in
      BadInput("\(command): \(name)", code, says) { site in
        let path = try weights(site)
        let all = settings + ["model.initialize_from=\(path)"]
        return arguments + all.flatMap { ["--set", $0] }
      }
    }
  }

  static let beginnings: [BadInput] = [
    beginning("no such file", 66, ["nowhere.safetensors: ", "No such file"]) { _ in
      "nowhere.safetensors"
    },
    beginning("a directory", 65, ["data: not a regular file"]) { _ in "data" },
    beginning("a text", 65, ["tiny.yaml: "]) { _ in TinyJob.configuration },
    beginning("a golden state", 65, [golden, "no RepVGG weights"]) { _ in golden },
    beginning(
      "deploy weights", 65, ["these are deploy weights; model.initialize_from needs training"]
    ) { $0.trained.deploy },
    beginning(
      "a network of fewer blocks", 65,
      ["tiny-train.safetensors: ", "network: stage2.2: 17 tensors missing; check"],
      with: ["model.architecture={stem: 8, depths: [1, 3], widths: [8, 16]}"]
    ) { $0.trained.training },
    beginning(
      "a network of other widths", 65,
      ["[16, 8, 3, 3], this network needs [24, 8, 3, 3]; ", "more shapes; check that"],
      with: ["model.architecture={stem: 8, depths: [1, 2], widths: [8, 24]}"]
    ) { $0.trained.training },
    beginning("half a classifier", 65, ["network: linear.bias missing"]) { site in
      try spoilt(site) { $0["linear.bias"] = nil }
    },
    beginning("integers", 65, ["stage0.rbr_dense.bn.bias has element type I64"]) { site in
      try spoilt(site) {
        $0["stage0.rbr_dense.bn.bias"] = Tensor(
          shape: [8], integers: [Int64](repeating: 0, count: 8))
      }
    },
  ].flatMap { $0 }
}
