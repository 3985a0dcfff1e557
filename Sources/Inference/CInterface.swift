import CInference
import Deployment
import ImageData
import Orchestration

// The functions of repvgg.h, where they are described. Nothing that C hands over is trusted further
// than C can promise it: a pointer that is NULL is an error and not a trap.

private let missingArgument = JobFailure(.usage, "an argument is NULL")
private let tooManyImages = JobFailure(.usage, "more images than memory can hold")

private func loaded(_ model: OpaquePointer?) -> LoadedModel? {
  model.map { Unmanaged<LoadedModel>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
}

@c @implementation
package func repvgg_load(
  _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<repvgg_options>?,
  _ error: UnsafeMutablePointer<CChar>?, _ errorSize: Int
) -> OpaquePointer? {
  do {
    guard let path else { throw missingArgument }
    let model = try LoadedModel(
      path: String(cString: path), options: options?.pointee ?? repvgg_options())
    return OpaquePointer(Unmanaged.passRetained(model).toOpaque())
  } catch let failure {
    write("\(failure)", to: error, size: errorSize)
    return nil
  }
}

/// As much of `text` as fits, whole characters of it, and a terminating zero.
private func write(_ text: String, to buffer: UnsafeMutablePointer<CChar>?, size: Int) {
  guard let buffer, size > 0 else { return }
  var count = 0
  for character in text {
    let bytes = character.utf8
    guard count + bytes.count < size else { break }
    for byte in bytes {
      buffer[count] = CChar(bitPattern: byte)
      count += 1
    }
  }
  buffer[count] = 0
}

@c @implementation
package func repvgg_height(_ model: OpaquePointer?) -> CInt {
  CInt(loaded(model)?.classifier.description.height ?? 0)
}

@c @implementation
package func repvgg_width(_ model: OpaquePointer?) -> CInt {
  CInt(loaded(model)?.classifier.description.width ?? 0)
}

@c @implementation
package func repvgg_channels(_ model: OpaquePointer?) -> CInt {
  CInt(loaded(model)?.classifier.description.channels ?? 0)
}

@c @implementation
package func repvgg_classes(_ model: OpaquePointer?) -> CInt {
  CInt(loaded(model)?.classifier.description.classes ?? 0)
}

@c @implementation
package func repvgg_label(_ model: OpaquePointer?, _ label: CInt) -> UnsafePointer<CChar>? {
  loaded(model)?.label(Int(label))
}

@c @implementation
package func repvgg_run(
  _ model: OpaquePointer?, _ pixels: UnsafePointer<UInt8>?, _ images: Int,
  _ logits: UnsafeMutablePointer<Float>?
) -> CInt {
  run(model, pixels, images, logits) { $0.logits(bytes: $1, count: $2) }
}

@c @implementation
package func repvgg_run_normalised(
  _ model: OpaquePointer?, _ values: UnsafePointer<Float>?, _ images: Int,
  _ logits: UnsafeMutablePointer<Float>?
) -> CInt {
  run(model, values, images, logits) { $0.logits($1, count: $2) }
}

/// `compute`: the logits of so many images that begin at a pixel.
private func run<Pixel>(
  _ model: OpaquePointer?, _ pixels: UnsafePointer<Pixel>?, _ images: Int,
  _ logits: UnsafeMutablePointer<Float>?,
  _ compute: (Classifier, UnsafePointer<Pixel>, Int) -> UnsafePointer<Float>
) -> CInt {
  guard let model = loaded(model) else { return ExitCode.usage.rawValue }
  return model.attempt {
    guard let pixels, let logits else { throw missingArgument }
    guard images >= 0 else { throw tooManyImages }
    let classifier = model.classifier
    model.forEachBatch(of: images, into: logits) { first, count in
      compute(classifier, pixels + first * classifier.imageCount, count)
    }
  }
}

@c @implementation
package func repvgg_run_file(
  _ model: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ logits: UnsafeMutablePointer<Float>?
) -> CInt {
  guard let model = loaded(model) else { return ExitCode.usage.rawValue }
  return model.attempt {
    guard let path, let logits else { throw missingArgument }
    let reader = model.classifier.reader(of: [String(cString: path)])
    try model.forEachBatch(of: 1, into: logits) { _, _ in
      try model.classifier.logits(file: 0, of: reader)
    }
  }
}

@c @implementation
package func repvgg_error(_ model: OpaquePointer?) -> UnsafePointer<CChar>? {
  loaded(model).map { UnsafePointer($0.error) } ?? noModel
}

/// Lives as long as the process.
private nonisolated(unsafe) let noModel: UnsafePointer<CChar>? = {
  let text = "there is no model".utf8CString
  let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
  for (index, byte) in text.enumerated() { (copy + index).initialize(to: byte) }
  return UnsafePointer(copy)
}()

@c @implementation
package func repvgg_free(_ model: OpaquePointer?) {
  guard let model else { return }
  Unmanaged<LoadedModel>.fromOpaque(UnsafeRawPointer(model)).release()
}
