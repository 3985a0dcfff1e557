import Glibc
import ImageData
import Kernels
import RepVGGModel
import RunPlanning
import Tensors

/// A deploy network with all that it takes to classify images: the size and normalisation that it
/// expects and the names of its classes. Training weights are fused when they are read.
///
/// Belongs to one thread, which lends the pool's threads its work.
package final class Classifier {
  /// What weighs between speed and memory.
  package struct Settings: Sendable {
    package var threads = 1
    /// Images that are computed together at most.
    package var batch = 1

    package init() {}
  }

  /// A class and its probability.
  package struct Guess: Sendable, Equatable {
    package var label: Int
    package var name: String
    package var probability: Double
  }

  package let description: ModelDescription
  /// Of every class by its label; `class 7` where the model has no names.
  package let labels: [String]
  package let batch: Int
  private let network: DeployNetwork
  private let transform: SampleTransform
  private let normalisation: [Float]
  private let pixels: Arena

  /// `description` of the file's network on the images that are to come; `names` of the classes, or
  /// none.
  package init(
    _ file: consuming ModelFile, description: ModelDescription, names: [String], settings: Settings,
    pool: WorkerPool
  ) throws {
    precondition(names.isEmpty || names.count == description.classes, "a name for every class")
    let deploy = file.form == .deploy ? file.tensors : try Fuse.deployTensors(from: file.tensors)
    // The weights are wanted once more only, transformed.
    _ = consume file
    labels = names.isEmpty ? (0..<description.classes).map { "class \($0)" } : names
    batch = settings.batch
    network = try DeployNetwork(
      shape: NetworkShape(
        blocks: description.blocks, classes: description.classes, shards: 1,
        shardCapacity: settings.batch),
      tensors: deploy, pool: pool)
    let size = SampleTransform.Size(
      height: description.height, width: description.width, channels: description.channels)
    transform = try SampleTransform(
      evaluating: size, side: description.evaluationSide, mean: description.mean,
      deviation: description.standardDeviation)
    normalisation = transform.valuesOfBytes
    pixels = Arena(count: settings.batch * size.elements)
    self.description = description
  }

  /// Values of one image.
  package var imageCount: Int { network.shape.imageCount }

  /// Logits [count][classes] of normalised images, Float32 NHWC, at most `batch` of them; valid until
  /// the next call.
  package func logits(_ images: UnsafePointer<Float>, count: Int) -> UnsafePointer<Float> {
    network.evaluate([ShardImages(pixels: images, count: count)])
    return network.logits(shard: 0)
  }

  /// Logits of images as bytes, [count][height][width][channels], at most `batch` of them.
  package func logits(bytes: UnsafePointer<UInt8>, count: Int) -> UnsafePointer<Float> {
    precondition(count <= batch, "more images than the classifier was made for")
    let channels = description.channels
    normalisation.withUnsafeBufferPointer { table in
      for index in 0..<count * imageCount {
        pixels.base[index] = table[channels * Int(bytes[index]) + index % channels]
      }
    }
    return logits(UnsafePointer(pixels.base), count: count)
  }

  /// Reads image files as evaluation does; the names of `files` are in errors.
  package func reader(of files: [String]) -> SampleReader {
    SampleReader(dataset: ImageFiles(paths: files), transform: transform)
  }

  /// Logits of one file of a reader's; valid until the next call.
  package func logits(
    file: Int, of reader: SampleReader
  ) throws(DataError) -> UnsafePointer<Float> {
    try reader.read(file, epoch: 0, into: pixels.base)
    return logits(UnsafePointer(pixels.base), count: 1)
  }

  /// The `count` likeliest classes of one image's logits, the likeliest first; of equal ones that with
  /// the smaller label.
  package func guesses(_ logits: UnsafePointer<Float>, count: Int) -> [Guess] {
    let values = (0..<description.classes).map { Double(logits[$0]) }
    let largest = values.max() ?? 0
    let exponentials = values.map { exp($0 - largest) }
    let sum = exponentials.reduce(0, +)
    let order = values.indices.sorted {
      values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1
    }
    return order.prefix(count).map {
      Guess(label: $0, name: labels[$0], probability: exponentials[$0] / sum)
    }
  }
}
