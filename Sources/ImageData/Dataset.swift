/// Labelled images in a fixed order, opened and validated.
///
/// Pixels come as bytes, height x width x channels, all samples of one size. Where stored images
/// vary in size (folders or archives of JPEGs), bringing them to that one size is part of `decode`:
/// such a dataset is made for a target size and carries its resize rule, so that nothing behind
/// this protocol knows how an image was stored. Random augmentation is not its business
/// (`SampleTransform`). Implementations are immutable: any thread may decode any sample at any time.
package protocol Dataset: Sendable {
  /// Number of samples.
  var count: Int { get }
  /// Classes as found: the largest label plus one.
  var classes: Int { get }
  /// Of every decoded image.
  var channels: Int { get }
  /// Rows of every decoded image.
  var height: Int { get }
  /// Columns of every decoded image.
  var width: Int { get }
  /// Content in one line: the same for the same samples in the same order, on every rank and at
  /// every resume.
  var fingerprint: String { get }

  /// The class of `sample`, `0..<classes`.
  func label(of sample: Int) -> Int

  /// Writes `height * width * channels` bytes, HWC.
  func decode(_ sample: Int, into pixels: UnsafeMutablePointer<UInt8>) throws(DataError)

  /// Where `sample` comes from, for messages: `train-images-idx3-ubyte.gz[123]`.
  func name(of sample: Int) -> String
}

extension Dataset {
  /// Bytes of one decoded image.
  package var bytesPerSample: Int { height * width * channels }
}
