import ImageData
import RunPlanning

/// A data set whose samples are all the same stored bytes.
struct OneImage: Dataset {
  var form: StoredForm
  var bytes: [UInt8]
  var count = 1 << 20
  let classes = 10
  let fingerprint = "one image"

  func label(of sample: Int) -> Int { sample % classes }
  func name(of sample: Int) -> String { "one[\(sample)]" }

  func read(_ sample: Int, into target: ByteBuffer) throws(DataError) {
    target.reserve(bytes.count)
    bytes.withUnsafeBytes { target.all.copyMemory(from: $0) }
  }
}

extension SampleTransform {
  /// Of images of `height` x `width` stored as pixels; byte values stay as they are by default.
  init(
    channels: Int = 1, height: Int, width: Int, resolution: Int = 0, mean: [Double] = [0],
    deviation: [Double] = [1.0 / 255], seed: UInt64 = 3,
    _ change: (inout RunConfig.Data) -> Void = { _ in }
  ) throws {
    var config = RunConfig()
    config.training.seed = seed
    config.data.channels = channels
    config.data.resolution = resolution
    func spread(_ values: [Double]) -> [Double] {
      values.count == 1 ? Array(repeating: values[0], count: channels) : values
    }
    (config.data.mean, config.data.standardDeviation) = (spread(mean), spread(deviation))
    change(&config.data)
    try self.init(
      config: config, form: .pixels(height: height, width: width, channels: channels))
  }
}

/// The values that the network sees of a sample.
func values(
  _ transform: SampleTransform, _ dataset: some Dataset, sample: Int = 0, epoch: Int = 0
) throws -> [Float] {
  let reader = SampleReader(dataset: dataset, transform: transform)
  var values = [Float](repeating: .nan, count: transform.size(epoch: epoch).elements)
  try values.withUnsafeMutableBufferPointer { target in
    guard let target = target.baseAddress else { return }
    try reader.read(sample, epoch: epoch, into: target)
  }
  return values
}
