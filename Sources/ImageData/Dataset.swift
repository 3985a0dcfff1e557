/// Labelled images in a fixed order, opened and validated.
///
/// What is stored of a sample is bytes: the pixels themselves, all images of one size, or an encoded
/// file (JPEG, PNG), whose size and orientation `SampleReader` finds out. Bringing it to what the
/// network sees is `SampleTransform`'s business, random or not: a random crop decides which part of
/// a file is decoded at all. Implementations are immutable: any thread may read any sample at any
/// time.
package protocol Dataset: Sendable {
  /// Number of samples.
  var count: Int { get }
  /// Classes as found: the largest label plus one, or the number of named classes.
  var classes: Int { get }
  /// Names of the classes by label; empty where the data has none.
  var classNames: [String] { get }
  /// Of what `read` gives.
  var form: StoredForm { get }
  /// Content in one line: the same for the same samples in the same order, on every rank and at
  /// every resume.
  var fingerprint: String { get }
  /// What was left out or could not be kept, one line each, to be said once.
  var notes: [String] { get }
  /// Bytes that the data set holds in a rank's memory.
  var residentBytes: Int { get }

  /// The class of `sample`, `0..<classes`.
  func label(of sample: Int) -> Int

  /// Bytes that are stored of a sample, without looking at it.
  func storedSize(of sample: Int) -> Int

  /// Reads the stored bytes of a sample: pixels, HWC, or an encoded file.
  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError)

  /// Where `sample` comes from, for messages: `train-images-idx3-ubyte.gz[123]`.
  func name(of sample: Int) -> String

  /// The same as the system takes it: names need not be UTF-8.
  func nameBytes(of sample: Int) -> [UInt8]

  /// The directory in which all samples lie, as it was named; nil where there is none of the kind.
  var directory: String? { get }

  /// The file or member that `sample` is; nil where samples have no names of their own.
  func origin(of sample: Int) -> SampleOrigin?
}

/// A file below a split's directory, or an archive's member.
package struct SampleOrigin: Sendable, Equatable {
  /// Name without its ending; bytes, since names need not be UTF-8.
  var stem: [UInt8]
  /// `jpg`, as stored; empty where it is not known.
  var ending: [UInt8]
  /// Bytes stored.
  var size: Int
  /// Modification time of the file or archive, nanoseconds since 1970.
  var modified: Int64
}

/// What a data set stores of an image.
package enum StoredForm: Sendable, Equatable {
  /// Bytes, height x width x channels.
  case pixels(height: Int, width: Int, channels: Int)
  /// A JPEG or PNG file of any size.
  case encoded
}

extension Dataset {
  package var classNames: [String] { [] }
  package var notes: [String] { [] }
  package var residentBytes: Int { 0 }
  package var directory: String? { nil }
  package func origin(of sample: Int) -> SampleOrigin? { nil }
  package func nameBytes(of sample: Int) -> [UInt8] { Array(name(of: sample).utf8) }

  package func storedSize(of sample: Int) -> Int {
    if case .pixels(let height, let width, let channels) = form { return height * width * channels }
    return 0
  }
}
