import CInference
import Deployment
import ImageData
import Kernels
import Orchestration

/// What a `repvgg_model *` points to: a classifier, the texts lent to C, and the last error.
final class LoadedModel {
  let classifier: Classifier
  private let labels: [UnsafeMutablePointer<CChar>]
  private(set) var error: UnsafeMutablePointer<CChar>

  init(path: String, options: repvgg_options) throws {
    try Machine.requireBuiltForProcessor()
    var settings = Classifier.Settings()
    settings.threads = try Self.value(options.threads, 1, most: 1024, "threads")
    settings.batch = try Self.value(options.batch, 1, most: 65_536, "batch")
    let resolution = try Self.value(options.resolution, 0, most: 4096, "resolution")
    BLAS.useOneThread()
    classifier = try Classifier.load(path, settings: settings, resolution: resolution)
    labels = classifier.labels.map(Self.copy)
    error = Self.copy("")
  }

  deinit {
    labels.forEach { $0.deallocate() }
    error.deallocate()
  }

  private static func value(
    _ value: CInt, _ standard: Int, most: Int, _ name: String
  ) throws -> Int {
    guard value >= 0 && value <= most else {
      throw JobFailure(.usage, "options.\(name) is \(value); expected 0 to \(most)")
    }
    return value == 0 ? standard : Int(value)
  }

  /// `text` with a terminating zero; its owner deallocates it.
  private static func copy(_ text: String) -> UnsafeMutablePointer<CChar> {
    let bytes = text.utf8CString
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { (copy + index).initialize(to: byte) }
    return copy
  }

  func label(_ label: Int) -> UnsafePointer<CChar>? {
    labels.indices.contains(label) ? UnsafePointer(labels[label]) : nil
  }

  /// Runs `body` and keeps what it throws; the code for C.
  func attempt(_ body: () throws -> Void) -> CInt {
    do {
      try body()
      return ExitCode.done.rawValue
    } catch let failure {
      error.deallocate()
      error = Self.copy("\(failure)")
      return ExitCode.of(failure).rawValue
    }
  }

  /// Calls `body` for runs of images of at most a batch, with the first one's number and how many
  /// they are, and copies the logits that it returns.
  func forEachBatch(
    of images: Int, into logits: UnsafeMutablePointer<Float>,
    _ body: (_ first: Int, _ count: Int) throws -> UnsafePointer<Float>
  ) rethrows {
    let classes = classifier.description.classes
    var first = 0
    while first < images {
      let count = min(classifier.batch, images - first)
      (logits + first * classes).update(from: try body(first, count), count: count * classes)
      first += count
    }
  }
}
