import Checkpoints
import Deployment
import Tensors

/// Deploy weights as an ONNX file, beside or instead of the safetensors file.
package struct ONNXExport: Sendable {
  package var path: String
  package var input: ONNX.Input
  /// Pixels of an image's side; nil: as the network was trained.
  package var resolution: Int?

  package init(path: String, input: ONNX.Input = .normalised, resolution: Int? = nil) {
    self.path = path
    self.input = input
    self.resolution = resolution
  }

  /// The file's bytes, for those who write several files or none.
  ///
  /// - Parameters:
  ///   - deploy: deploy weights under published names.
  ///   - description: of their file, or of the training weights that they were fused from.
  ///   - classNames: by label; none where they are not known.
  package func bytes(
    of deploy: NamedTensors, description: ModelDescription, classNames: [String]
  ) throws -> [UInt8] {
    var description = description
    if let resolution { (description.height, description.width) = (resolution, resolution) }
    return try ONNX.bytes(
      of: deploy, description: description, input: input, classNames: classNames,
      producerVersion: Machine.programVersion)
  }

  /// Writes a file of deploy weights as ONNX, atomically, with the names of classes that lie beside it.
  ///
  /// - Parameter source: the file's path.
  /// - Throws: where `file` holds training weights, which `repvgg fuse` turns into deploy weights.
  package func write(_ file: ModelFile, source: String) throws {
    let deploy = try file.require(.deploy, source: source)
    let description = try ModelDescription(of: file, source: source)
    let names = try LabelFile.names(beside: source, classes: description.classes)
    try AtomicFile.write(
      path: path, bytes: try bytes(of: deploy, description: description, classNames: names))
  }
}
