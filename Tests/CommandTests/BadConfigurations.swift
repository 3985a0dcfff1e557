import Foundation
import _TestSupport

// Configurations, command lines and data that must be refused.

extension BadInput {
  private static func configuration(_ name: String, _ text: String, _ says: [String]) -> BadInput {
    configuration(name, Array(text.utf8), says)
  }

  private static func configuration(_ name: String, _ bytes: [UInt8], _ says: [String])
    -> BadInput
  {
    BadInput(name, 78, says) { site in
      try site.write(bytes, to: TinyJob.configuration)
      return train
    }
  }

  private static func edit(_ old: String, _ new: String, _ says: [String]) -> BadInput {
    BadInput(new.trimmingCharacters(in: .whitespacesAndNewlines), 78, says) { site in
      try site.configure(old, new)
      return train
    }
  }

  static let configurations: [BadInput] = [
    edit(
      "shards: 8", "shard: 8", ["tiny.yaml:11: training.shard: unknown key", "training.shards"]),
    edit("shards: 8", "shards: 8\n  shards: 4", ["tiny.yaml:12", "shards", "twice"]),
    edit("epochs: 3", "epochs: many", ["tiny.yaml:12: training.epochs: 'many'", "1 to 100000"]),
    edit("epochs: 3", "epochs: 010", ["training.epochs: '010' is not a whole number"]),
    edit("epochs: 3", "epochs: 3\n  shuffle: no", ["training.shuffle", "true nor false"]),
    edit("rate: 0.1", "rate: .nan", ["schedule.learning_rate: '.nan' is not a number"]),
    edit("rate: 0.1", "rate: 1e400", ["schedule.learning_rate: '1e400' is out of range"]),
    edit("rate: 0.1", "rate: &r 0.1", ["tiny.yaml:14", "anchors"]),
    edit("rate: 0.1", "rate: *r", ["tiny.yaml:14", "aliases"]),
    edit("rate: 0.1", "rate: !!float 0.1", ["tiny.yaml:14", "tags"]),
    edit("checkpoint:\n", "---\ncheckpoint:\n", ["tiny.yaml:16", "document"]),
    edit("  epochs: 3", "\tepochs: 3", ["tiny.yaml:12"]),
    edit("epochs: 3", "epochs: 3\n  batch_norm: synch", ["did you mean sync"]),
    edit("widths: [8, 16]", "widths: [8, 16, 32]", ["architecture.widths: 3 widths for 2"]),
    edit("widths: [8, 16]", "widths: [8, 9], groups: 2", ["do not divide"]),
    edit("strides: [1, 2, 2]", "strides: [1, 2]", ["model.strides: has 2 items"]),
    edit("data:\n", "data:\n  channels: 3\n", ["data.channels: 3", "IDX"]),
    configuration("empty file", "", ["tiny.yaml:1: the file says nothing"]),
    configuration("no data", "model: {classes: 10}\n", ["no data are named", "data.directory"]),
    configuration("no mapping", "- a\n- b\n", ["tiny.yaml"]),
    configuration("invalid UTF-8", [0x6E, 0x3A, 0x20, 0xFF, 0x0A], ["tiny.yaml:1", "UTF-8"]),
    configuration("NUL", [0x6E, 0x3A, 0x20, 0x00, 0x0A], ["tiny.yaml"]),
    configuration("10 MB", String(repeating: "# long\n", count: 1_500_000), ["at most 1048576"]),
    configuration("nested deeply", String(repeating: "[", count: 100_000), ["tiny.yaml:1"]),
    setting(["training.epochs=0"], ["--set training.epochs=0", "1 to 100000"]),
    setting(["training.epoch=3"], ["did you mean training.epochs?"]),
    setting(["training={epochs: 3}"], ["is a section"]),
    setting(["training.shards=64"], ["64 shards of a global batch of 32"]),
    setting(["optimizer.nesterov=true", "optimizer.momentum=0"], ["optimizer.nesterov"]),
    setting(["name=a/b"], ["name: 'a/b'"]),
    setting(["data.mean=[0.1, 0.2, 0.3]"], ["data.mean: 3 numbers for 1 channels"]),
    setting(["data.standard_deviation=[0]"], ["data.standard_deviation: '0' is out of range"]),
    setting(["schedule.warmup_epochs=9"], ["schedule.warmup_epochs", "at most training.epochs"]),
    setting(["model.architecture=RepVGG-A9"], ["unknown architecture", "RepVGG-A0"]),
    edit(
      "widths: [8, 16]", "widths: [8, 16], squeeze_excitation: true",
      ["8 channels cannot be squeezed"]),
    setting(
      ["model.architecture=RepVGG-B3", "model.strides=[1, 1, 1, 1, 1]", "data.resolution=2048"],
      ["of memory and the machine has"]),
    setting(
      ["data.resolution=1", "training.global_batch=1", "training.shards=1"],
      ["BatchNorm", "one value per channel"]),
    setting(
      [
        "data.crop=random_resized", "data.crop_padding=0", "data.resolution=16",
        "data.resolutions={0: 4, 1: 16}", "training.global_batch=1", "training.shards=1",
      ], ["data.resolutions: on 4 x 4 pixels: BatchNorm", "one value per channel"]),
    // Every step multiplies the weights by about -1000.
    setting(
      [
        "schedule.learning_rate=1000", "optimizer.weight_decay=1", "training.epochs=100",
        "schedule.warmup_epochs=0",
      ], ["is not finite", "another --output", "lower schedule.learning_rate"], code: 76),
    BadInput("missing configuration", 66, ["nowhere.yaml", "No such file"]) { _ in
      ["train", "nowhere.yaml"]
    },
    BadInput("directory as configuration", 66, ["data: ", "not a regular file"]) { _ in
      ["train", "data"]
    },
    BadInput("FIFO as configuration", 66, ["fifo", "not a regular file"]) { site in
      guard mkfifo(site.job.scratch.path("fifo"), 0o600) == 0 else { throw POSIXError(.EIO) }
      return ["train", "fifo"]
    },
    BadInput("line feed in a name", 66, ["a\\u{a}b.yaml"]) { _ in ["train", "a\nb.yaml"] },
    BadInput("plan of a bad configuration", 78, ["tiny.yaml:12"]) { site in
      try site.configure("epochs: 3", "epochs: 0")
      return ["plan", TinyJob.configuration]
    },
    BadInput("plan for too many ranks", 78, ["16 ranks", "--set training.shards=16"]) { _ in
      ["plan", TinyJob.configuration, "--ranks", "16"]
    },
    BadInput("bench of an unknown model", 78, ["RepVGG-A9"]) { _ in
      ["bench", "step", "--model", "RepVGG-A9"]
    },
  ]

  static let commandLines: [BadInput] = [
    BadInput("no command", 64, ["repvgg help"]) { _ in [] },
    BadInput("unknown command", 64, ["did you mean train?"]) { _ in ["trian"] },
    BadInput("no configuration", 64, ["CONFIG is missing"]) { _ in ["train"] },
    BadInput("unknown option", 64, ["did you mean --output?"]) { _ in train + ["--ouput", "x"] },
    BadInput("setting without value", 64, ["KEY=VALUE"]) { _ in train + ["--set", "name"] },
    BadInput("too many threads", 64, ["1 to 1024"]) { _ in train + ["--threads", "5000"] },
    BadInput("unknown split", 64, ["--split"]) { site in
      ["evaluate", site.trained.deploy, "--config", TinyJob.configuration, "--split", "val"]
    },
    BadInput("fuse without output", 64, ["--output FILE or --artifacts DIR is missing"]) {
      ["fuse", $0.trained.training]
    },
    BadInput("what ONNX takes, without ONNX", 64, ["--pixels has no effect without --onnx or"]) {
      ["fuse", $0.trained.training, "--output", "x", "--pixels"]
    },
  ]
}

// MARK: - Data

extension BadInput {
  private static let trainImages = "data/train-images-idx3-ubyte"
  private static let trainLabels = "data/train-labels-idx1-ubyte"

  private static func data(
    _ name: String, _ file: String, _ says: [String],
    _ change: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> BadInput {
    BadInput(name, 65, [file] + says) { site in
      try site.change(file, change)
      return train
    }
  }

  private static func gzip(_ site: BadInputSite, _ file: String) throws {
    let result = try runExecutable("/bin/gzip", ["-n", site.job.scratch.path(file)])
    guard result.status == 0 else { throw ProgramRunError(description: result.stderr) }
  }

  static let datasets: [BadInput] = [
    data("empty images", trainImages, ["ends inside the header"]) { $0 = [] },
    data("magic number", trainImages, ["magic number is 50 4b"]) { $0[0...1] = [0x50, 0x4B] },
    data("element type", trainImages, ["type code is 0x0d"]) { $0[2] = 0x0D },
    data("labels as images", trainImages, ["dimension count is 1"]) {
      $0 = IDXFiles.file([64], [UInt8](repeating: 0, count: 64))
    },
    data("no images", trainImages, ["dimension 0 is 0"]) { $0 = IDXFiles.file([0, 16, 16], []) },
    data("overflowing dimensions", trainImages, ["promise more than"]) {
      $0 = IDXFiles.file([1 << 31, 1 << 31, 1 << 31], [1, 2, 3])
    },
    data("short images", trainImages, ["promise more than"]) { $0.removeLast() },
    data("surplus images", trainImages, ["surplus data"]) { $0.append(0) },
    data("fewer labels", trainLabels, ["63 labels", "64 images"]) {
      $0 = IDXFiles.file([63], [UInt8](repeating: 0, count: 63))
    },
    data("label beyond the classes", trainLabels, ["label 10 of sample 17", "model.classes 10"]) {
      $0[8 + 17] = 10
    },
    BadInput("test images of another size", 65, ["t10k-images-idx3-ubyte", "8 x 8", "16 x 16"]) {
      let images = IDXFiles.file([50, 8, 8], [UInt8](repeating: 0, count: 3200))
      try $0.write(images, to: "data/t10k-images-idx3-ubyte")
      return train
    },
    setting(["model.classes=5"], ["label 5 of sample 5", "model.classes 5"], code: 65),
    setting(["data.directory=nowhere"], ["nowhere", "data.directory"], code: 66),
    setting(["data.directory=tiny.yaml"], ["is not a directory"], code: 66),
    setting(["data.train_images=nowhere"], ["nowhere"], code: 66),
    setting(["data.train_images=data"], ["is a directory"], code: 65),
    BadInput("missing labels", 66, ["neither train-labels-idx1-ubyte nor"]) { site in
      try FileManager.default.removeItem(atPath: site.job.scratch.path(trainLabels))
      return train
    },
    BadInput("FIFO as images", 65, [trainImages, "not a regular file"]) { site in
      let path = site.job.scratch.path(trainImages)
      guard unlink(path) == 0, mkfifo(path, 0o600) == 0 else { throw POSIXError(.EIO) }
      return train
    },
    BadInput("truncated gzip", 65, ["\(trainImages).gz", "middle of its gzip data"]) { site in
      try gzip(site, trainImages)
      try site.change("\(trainImages).gz") { $0.removeLast(40) }
      return train
    },
    BadInput("damaged gzip", 65, ["\(trainImages).gz", "damaged gzip data"]) { site in
      try gzip(site, trainImages)
      // In the checksum behind the compressed data.
      try site.change("\(trainImages).gz") { $0[$0.count - 7] ^= 1 }
      return train
    },
    BadInput("compressed twice", 65, ["compressed twice"]) { site in
      try gzip(site, trainImages)
      try FileManager.default.moveItem(
        atPath: site.job.scratch.path("\(trainImages).gz"),
        toPath: site.job.scratch.path(trainImages))
      try gzip(site, trainImages)
      return train
    },
  ]
}
