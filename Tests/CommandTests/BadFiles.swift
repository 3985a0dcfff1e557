import Foundation
import Tensors
import _TestSupport

// Weights, golden states and places for output that must be refused.

extension BadInput {
  /// A safetensors file: the length of its header, the header, and so many zero bytes.
  private static func safetensors(_ header: String, bytes: Int = 0, length: UInt64? = nil)
    -> [UInt8]
  {
    let length = length ?? UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
      + [UInt8](repeating: 0, count: bytes)
  }

  private static func tensor(_ type: String, _ shape: String, _ offsets: String) -> String {
    "{\"x\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
  }

  private static let damages: [(name: String, bytes: [UInt8], says: String)] = [
    ("empty file", [], "too short"),
    ("header of 2^63 bytes", safetensors("{}", length: 1 << 63), "header length"),
    ("header beyond the file", safetensors("{}", length: 2_000), "beyond the file"),
    ("no JSON", safetensors("[1, 2]  "), "does not begin with '{'"),
    (
      "overflowing shape", safetensors(tensor("F32", "[4294967296,4294967296]", "[0,0]")),
      "overflow"
    ),
    ("negative size", safetensors(tensor("F32", "[-1]", "[0,4]"), bytes: 4), "whole number"),
    ("unknown type", safetensors(tensor("F31", "[1]", "[0,4]"), bytes: 4), "F31"),
    ("truncated", safetensors(tensor("F32", "[4]", "[0,16]"), bytes: 9), "truncated"),
    ("surplus", safetensors(tensor("F32", "[1]", "[0,4]"), bytes: 12), "belong to none"),
    ("a picture", [0x89] + Array("PNG\r\n\u{1A}\n\0\0\0\rIHDR".utf8), "safetensors file"),
    ("a text", Array("model:\n  classes: 10\n".utf8), "safetensors file"),
  ]

  /// The command line by which a command reads `file`.
  static func command(_ name: String, on file: String) -> [String] {
    switch name {
    case "evaluate": ["evaluate", file, "--config", TinyJob.configuration]
    case "fuse": ["fuse", file, "--output", "fused.safetensors"]
    case "classify": ["classify", file, "data/picture.png"]
    case "convert": ["convert", file, "converted.safetensors"]
    default: [name, file]
    }
  }

  private static let readers = ["inspect", "evaluate", "fuse", "convert", "classify", "replay"]

  static let damagedWeights: [BadInput] = damages.flatMap { damage in
    readers.map { reader in
      BadInput("\(reader): \(damage.name)", 65, ["bad.safetensors: ", damage.says]) { site in
        command(reader, on: try site.write(damage.bytes, to: "bad.safetensors"))
      }
    }
  }

  static let missingWeights: [BadInput] = readers.flatMap { reader in
    [
      BadInput("\(reader): missing", 66, ["nowhere.safetensors: ", "No such file"]) { _ in
        command(reader, on: "nowhere.safetensors")
      },
      BadInput("\(reader): directory", 65, ["data: not a regular file"]) { _ in
        command(reader, on: "data")
      },
    ]
  }

  /// Weights of the shared run with a change, in the site.
  static func spoilt(
    _ site: BadInputSite, _ change: (inout NamedTensors) -> Void
  ) throws -> String {
    var tensors = try NamedTensors.readSafetensors(path: site.trained.training)
    change(&tensors)
    return try site.write(tensors.safetensorsBytes(), to: "spoilt.safetensors")
  }

  static let golden = ProgramTests.ReplayTests.goldenStates[0]

  static let wrongKinds: [BadInput] = [
    BadInput("fuse of deploy weights", 65, ["deploy weights", "needs training"]) {
      command("fuse", on: $0.trained.deploy)
    },
    BadInput("fuse of a golden state", 65, [golden, "no RepVGG weights"]) { _ in
      command("fuse", on: golden)
    },
    BadInput("evaluate a golden state", 65, [golden, "no RepVGG weights"]) { _ in
      command("evaluate", on: golden)
    },
    BadInput("convert of a golden state", 65, [golden, "no RepVGG weights"]) { _ in
      command("convert", on: golden)
    },
    BadInput("replay of weights", 65, ["no golden state", "recipe"]) {
      command("replay", on: $0.trained.training)
    },
    BadInput("evaluate with more classes", 65, ["[10, 16]", "[12, 16]", "classes=10"]) {
      command("evaluate", on: $0.trained.training) + ["--set", "model.classes=12"]
    },
    BadInput("evaluate with more blocks", 65, ["stage2.2: 2 tensors missing"]) {
      command("evaluate", on: $0.trained.deploy)
        + ["--set", "model.architecture={stem: 8, depths: [1, 3], widths: [8, 16]}"]
    },
    BadInput("evaluate with fewer blocks", 65, ["stage2.1: 2 tensors not"]) {
      command("evaluate", on: $0.trained.deploy)
        + ["--set", "model.architecture={stem: 8, depths: [1, 1], widths: [8, 16]}"]
    },
    BadInput("fuse without a statistic", 65, ["stage1.0.rbr_dense.bn.running_var"]) { site in
      command("fuse", on: try spoilt(site) { $0["stage1.0.rbr_dense.bn.running_var"] = nil })
    },
    BadInput(
      "fuse without a branch", 65,
      ["spoilt.safetensors: holds no whole network: stage2.1: rbr_1x1 (5 tensors) missing; check"]
    ) { site in
      let file = try spoilt(site) { tensors in
        for name in tensors.names where name.hasPrefix("stage2.1.rbr_1x1.") { tensors[name] = nil }
      }
      return command("fuse", on: file)
    },
    BadInput("evaluate without a kernel", 65, ["stage1.0.rbr_1x1.conv.weight"]) { site in
      command("evaluate", on: try spoilt(site) { $0["stage1.0.rbr_1x1.conv.weight"] = nil })
    },
    BadInput("fuse of a wrong shape", 65, ["stage1.0.rbr_dense.conv.weight"]) { site in
      command(
        "fuse",
        on: try spoilt(site) {
          $0["stage1.0.rbr_dense.conv.weight"] = Tensor(shape: [2, 2], [1, 2, 3, 4])
        })
    },
    BadInput("fuse of an empty kernel", 65, ["stage1.0", "[8, 0, 3, 3]"]) { site in
      command(
        "fuse",
        on: try spoilt(site) {
          $0["stage1.0.rbr_dense.conv.weight"] = Tensor(shape: [8, 0, 3, 3], [])
        })
    },
    BadInput("fuse of a name beyond all numbers", 65, ["spoilt.safetensors", "RepVGG"]) { site in
      command(
        "fuse",
        on: try spoilt(site) {
          $0["stage\(Int.max).\(Int.max).rbr_dense.conv.weight"] = Tensor(shape: [1], [0])
        })
    },
    BadInput("fuse of values that are not finite", 76, ["stage1.0", "not written"]) { site in
      command(
        "fuse",
        on: try spoilt(site) {
          $0["stage1.0.rbr_dense.bn.weight"] = Tensor(
            shape: [8], [Float](repeating: .nan, count: 8))
        })
    },
    BadInput(
      "evaluate without squeeze-and-excitation", 65, ["stage0: se (4 tensors) missing"]
    ) {
      command("evaluate", on: $0.trained.training) + [
        "--set",
        "model.architecture={stem: 16, depths: [1, 2], widths: [16, 16], squeeze_excitation: true}",
      ]
    },
    BadInput("fuse of half a squeeze-and-excitation", 65, ["stage0: se (3 tensors) missing"]) {
      command(
        "fuse",
        on: try spoilt($0) {
          $0["stage0.se.up.bias"] = Tensor(shape: [8], [Float](repeating: 0, count: 8))
        })
    },
    BadInput("bench of a giant batch", 78, ["RepVGG-A0 on 65536 images of 4096 x 4096"]) { _ in
      ["bench", "step", "--batch", "65536", "--resolution", "4096"]
    },
    BadInput("evaluate on giant images", 78, ["tiny.yaml: ", "4096 x 4096", "smaller"]) { site in
      command("evaluate", on: site.trained.deploy)
        + ["training.global_batch=65536", "training.shards=1", "data.resolution=4096"]
        .flatMap { ["--set", $0] }
    },
    BadInput("evaluate without data", 78, ["data.directory"]) { site in
      try site.write("model: {classes: 10}\n", to: "empty.yaml")
      return ["evaluate", site.trained.deploy, "--config", "empty.yaml"]
    },
    BadInput("resume from a foreign directory", 66, ["data"]) { _ in train + ["--resume", "data"] },
  ]

  /// An output directory with one file of somebody else's in it, named as a run names its own.
  private static func foreign(_ name: String, _ text: String) -> BadInput {
    BadInput("output holds only \(name): \(text)", 73, ["out: not empty", "--output"]) { site in
      try site.makeDirectory(name.hasPrefix("artifacts") ? "out/artifacts" : "out")
      try site.write(text, to: "out/\(name)")
      return train
    }
  }

  static let places: [BadInput] = [
    BadInput("output is a file", 73, ["out: ", "Not a directory", "--output"]) { site in
      try site.write("mine", to: "out")
      return train
    },
    BadInput("output lies below a file", 73, ["file", "Not a directory"]) { site in
      try site.write("mine", to: "file")
      return ["train", TinyJob.configuration, "--output", "file/out"]
    },
    BadInput("output is a foreign directory", 73, ["out: not empty", "--output"]) { site in
      try site.makeDirectory("out/checkpoints")
      try site.write("mine", to: "out/thesis.tex")
      return train
    },
    BadInput("output is a dangling link", 73, ["out: "]) { site in
      try FileManager.default.createSymbolicLink(
        atPath: site.job.scratch.path("out"), withDestinationPath: "nowhere/else")
      return train
    },
    foreign("config.yaml", "model: {classes: 10}\n"), foreign("log.txt", "dear diary\n"),
    foreign("artifacts/thesis.tex", "mine"), foreign(".lock", "hands off, this is mine\n"),
    foreign("plan.json", "{\"plan\": [\"lunch\"]}\n"), foreign("plan.json", "lunch\n"),
    foreign("plan.json", "{\"program\": \"other\", \"machine\": {\"program_version\": \"1\"}}\n"),
    BadInput("output holds a FIFO as plan", 73, ["out: not empty", "--output"]) { site in
      try site.makeDirectory("out")
      guard mkfifo(site.job.scratch.path("out/plan.json"), 0o600) == 0 else {
        throw POSIXError(.EIO)
      }
      return train
    },
    BadInput("checkpoints are a file", 73, ["out/checkpoints: "]) { site in
      try site.makeDirectory("out")
      try site.write("", to: "out/.lock")
      try site.write("mine", to: "out/checkpoints")
      return train
    },
    BadInput("metrics are a directory", 73, ["out/metrics.jsonl"]) { site in
      try site.makeDirectory("out/metrics.jsonl/kept")
      try site.write("", to: "out/.lock")
      return train
    },
    BadInput("fuse into a missing directory", 73, ["nowhere", "create the directory"]) { site in
      ["fuse", site.trained.training, "--output", "nowhere/x.safetensors"]
    },
    BadInput("fuse onto a directory", 73, ["data"]) { site in
      ["fuse", site.trained.training, "--output", "data"]
    },
    BadInput("fuse onto its own input", 73, ["own.safetensors", "another --output"]) { site in
      try FileManager.default.copyItem(
        atPath: site.trained.training, toPath: site.job.scratch.path("own.safetensors"))
      return ["fuse", "own.safetensors", "--output", "./own.safetensors"]
    },
    BadInput("convert onto its own input", 73, ["own.safetensors", "another OUT"]) { site in
      try FileManager.default.copyItem(
        atPath: site.trained.training, toPath: site.job.scratch.path("own.safetensors"))
      return ["convert", "own.safetensors", "./own.safetensors", "--keys", "timm"]
    },
    BadInput("logits onto the model", 73, ["own.safetensors", "another --logits"]) { site in
      try FileManager.default.copyItem(
        atPath: site.trained.training, toPath: site.job.scratch.path("own.safetensors"))
      return command("evaluate", on: "own.safetensors") + ["--logits", "own.safetensors"]
    },
    BadInput("logits into a missing directory", 73, ["nowhere"]) { site in
      command("evaluate", on: site.trained.deploy) + ["--logits", "nowhere/x.safetensors"]
    },
    // The model, which is missing too, is not looked at before.
    BadInput("logits into a missing directory, early", 73, ["elsewhere: ", "create the directory"])
    { _ in
      command("evaluate", on: "nowhere.safetensors") + ["--logits", "elsewhere/x.safetensors"]
    },
    BadInput("logits onto a directory, early", 73, ["data: ", "directory"]) { _ in
      command("evaluate", on: "nowhere.safetensors") + ["--logits", "data"]
    },
    BadInput("logits onto the configuration", 73, ["tiny.yaml: ", "another --logits"]) {
      command("evaluate", on: $0.trained.deploy) + ["--logits", "./tiny.yaml"]
    },
    BadInput("fuse into one file", 64, ["./x: ", "another --certificate"]) {
      ["fuse", $0.trained.training, "--output", "x", "--certificate", "./x"]
    },
    BadInput("fuse into one file with its ONNX", 64, ["./x: ", "another --onnx"]) {
      ["fuse", $0.trained.training, "--output", "x", "--onnx", "./x"]
    },
    BadInput("fuse to ONNX nowhere, early", 73, ["nowhere"]) { _ in
      ["fuse", "nowhere.safetensors", "--output", "x", "--onnx", "nowhere/x.onnx"]
    },
    BadInput("collect nothing", 66, ["nowhere", "finished runs"]) { _ in
      ["collect", "nowhere", "--output", "all"]
    },
    BadInput("collect what is no run", 66, ["data", "finished runs"]) { _ in
      ["collect", "data", "--output", "all"]
    },
    BadInput("collect an unfinished run", 65, ["cut: ", "not finished"]) { site in
      try FileManager.default.copyItem(
        atPath: site.trained.directory, toPath: site.job.scratch.path("cut"))
      try site.change("cut/metrics.jsonl") { bytes in
        let end = Array("{\"event\":\"end\"".utf8)
        let line = bytes.split(separator: 0x0A).first { $0.starts(with: end) }
        bytes.removeSubrange((line?.startIndex ?? 0)...)
      }
      return ["collect", "cut", "--output", "all"]
    },
    BadInput("collect other deploy weights", 65, ["cut/artifacts: ", "tiny-deploy", "certificate"])
    {
      site in
      try FileManager.default.copyItem(
        atPath: site.trained.directory, toPath: site.job.scratch.path("cut"))
      try site.change("cut/artifacts/tiny-deploy.safetensors") { $0[$0.count - 1] ^= 1 }
      return ["collect", "cut", "--output", "all"]
    },
    BadInput("collect a run twice", 65, ["same name", "--set name="]) { site in
      ["collect", site.trained.directory, site.trained.directory, "--output", "all"]
    },
    BadInput("collect onto a file", 73, ["tiny.yaml", "another --output"]) { site in
      ["collect", site.trained.directory, "--output", TinyJob.configuration]
    },
    BadInput("collect into a foreign directory", 73, ["mine: ", "another --output"]) { site in
      try site.makeDirectory("mine")
      try site.write("mine", to: "mine/table.md")
      return ["collect", site.trained.directory, "--output", "mine"]
    },
  ]
}
