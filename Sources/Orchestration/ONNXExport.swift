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
    if let resolution { description.resize(to: resolution) }
    return try ONNX.bytes(
      of: deploy, description: description, input: input, classNames: classNames,
      producerVersion: Machine.programVersion)
  }
}
