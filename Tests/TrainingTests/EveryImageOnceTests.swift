import Collectives
import ImageData
import RepVGGModel
import RunPlanning
import Tensors
import Testing

@testable import Training

/// Images of one pixel, whose value is the number of the image.
private struct NumberedImages: Dataset {
  let count: Int
  let classes = 10
  let form = StoredForm.pixels(height: 1, width: 1, channels: 1)
  let fingerprint = "numbers"

  func label(of sample: Int) -> Int { sample * 7 % 10 }
  func name(of sample: Int) -> String { "image \(sample)" }
  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    bytes.reserve(1)
    bytes.all[0] = UInt8(sample)
  }
}

/// A network that names the right class for two images of three, and notes what it has seen.
private final class Witness {
  private(set) var seen: [Int] = []
  private let logits: Arena
  private let capacity: Int

  init(_ shape: NetworkShape) {
    logits = Arena(count: shape.imageCapacity * shape.classes)
    capacity = shape.shardCapacity * shape.classes
  }

  var form: Evaluation.Form {
    Evaluation.Form(
      evaluate: { chunks in
        for (place, chunk) in chunks.enumerated() {
          for image in 0..<chunk.count {
            self.answer(Int((chunk.pixels[image] * 255).rounded()), place, image)
          }
        }
      },
      logits: { UnsafePointer(self.logits.base + $0 * self.capacity) })
  }

  private func answer(_ sample: Int, _ chunk: Int, _ image: Int) {
    seen.append(sample)
    let target = logits.base + chunk * capacity + image * 10
    for label in 0..<10 { target[label] = Float((label * 3 + sample) % 10) / 8 }
    if sample % 3 > 0 { target[sample * 7 % 10] = 4 }
  }
}

/// Evaluation counts every image once, whatever the numbers of images and ranks leave over.
@Suite(.timeLimit(.minutes(2))) struct EveryImageOnceTests {
  private struct Part: Sendable {
    var seen: [Int]
    var result: Evaluation.Result
    var images: Tensor?
  }

  /// Both ways to evaluate must count alike.
  private struct Disagreement: Error {}

  private func evaluate(_ count: Int, ranks: Int, chunks: Int = 1) throws -> [Part] {
    try InProcessCommunicator.run(ranks: ranks) { communicator in
      let architecture = Architecture(stemWidth: 4, depths: [1], widths: [4])
      let shape = NetworkShape(
        blocks: architecture.blocks(inputChannels: 1, height: 1, width: 1), classes: 10,
        shards: chunks, shardCapacity: 3)
      let data = NumberedImages(count: count)
      var config = RunConfig()
      (config.data.mean, config.data.standardDeviation) = ([0], [1])
      let evaluation = Evaluation(
        dataset: data,
        transform: try SampleTransform(config: config, form: data.form).deterministic,
        shape: shape, communicator: communicator)
      let witness = Witness(shape)
      let result = try evaluation.run(witness.form)
      let seen = witness.seen
      let kept = try evaluation.runKeepingLogits(
        witness.form, dataset: data, keepingImages: true)
      guard kept.result == result else { throw Disagreement() }
      return Part(seen: seen, result: result, images: kept.tensors["images"])
    }
  }

  /// Numbers of images from none too many to some rounds, so that every remainder from 0 to 8 occurs,
  /// and fewer images than ranks.
  @Test(arguments: 1...8) func everyRemainder(ranks: Int) throws {
    for count in 1...28 {
      let alone = try evaluate(count, ranks: 1)[0]
      let right = (0..<count).filter { $0 % 3 > 0 }.count
      #expect(alone.result.count == count)
      #expect(Int((alone.result.top1 * Double(count)).rounded()) >= right)
      let parts = try evaluate(count, ranks: ranks, chunks: 1 + count % 3)
      #expect(parts.flatMap(\.seen).sorted() == Array(0..<count), "\(count) on \(ranks) ranks")
      for part in parts {
        // Bit for bit, on every rank.
        #expect(part.result == alone.result, "\(count) images on \(ranks) ranks")
        #expect(part.images == alone.images)
      }
    }
  }
}
