import Foundation
import Images
import _TestSupport

/// A job on JPEG files in directories of classes: 4 classes of 9 and 3 pictures, 3 steps an epoch.
enum FolderJob {
  static let configuration = """
    model:
      architecture: {stem: 8, depths: [1, 2], widths: [8, 16]}
      strides: [1, 2, 2]
      classes: 4
    data: {format: folder, directory: data, resolution: 16}
    training: {global_batch: 16, shards: 8, epochs: 2}
    schedule: {learning_rate: 0.1}
    checkpoint: {every_steps: 2, every_minutes: 0, keep: 2}

    """

  /// Settings that put these data into the place of the tiny job's.
  static let settings = [
    "data.format=folder", "data.directory=images", "data.resolution=16", "data.crop_padding=0",
  ].flatMap { ["--set", $0] }

  /// A picture of its class's brightness and a shape of its own.
  static func picture(_ label: Int, _ number: Int) throws -> [UInt8] {
    let image = PixelBuffer()
    image.reshape(height: 20 + number, width: 31 - number, channels: 3)
    for index in 0..<image.count {
      image.base[index] = UInt8(truncatingIfNeeded: 60 * label + (index * (number + 3)) % 50)
    }
    return try JPEGSettings().encode(image)
  }

  static func write(
    to scratch: ScratchDirectory, directory: String,
    classes: [String] = (0..<4).map { "class\($0)" }
  ) throws {
    for (split, count) in [("train", 9), ("val", 3)] {
      for (label, name) in classes.enumerated() {
        for number in 0..<count {
          try scratch.write(
            picture(label, number), to: "\(directory)/\(split)/\(name)/image\(number).jpg")
        }
      }
    }
  }

  static func make() throws -> TinyJob {
    let job = try TinyJob(configuration)
    try write(to: job.scratch, directory: "data")
    return job
  }
}
