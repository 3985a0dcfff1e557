import RunPlanning

/// The network that a benchmark measures, from `--model`, `--stem-stride` and `--resolution`: one of
/// the zoo on colour images for 1000 classes, or what a configuration says.
struct BenchModel {
  var architecture: Architecture
  var channels = 3
  var height = 224
  var width = 224
  var classes = 1000

  init(_ invocation: Invocation) throws {
    let model = invocation.text("--model") ?? "RepVGG-A0"
    if Self.isFile(model) {
      let config = try RunConfig.load(path: model)
      // Sizes alone: a benchmark's images are random.
      let data = DataSummary.assumed(for: config)
      architecture = config.model.architecture
      (channels, height, width) = (data.channels, data.height, data.width)
      classes = config.model.classes
    } else {
      architecture = try Self.named(model)
    }
    if let side = invocation.integer("--resolution") { (height, width) = (side, side) }
    if let stride = invocation.text("--stem-stride").flatMap({ Int($0) }) {
      architecture.stemStride = stride
    }
  }

  /// No network of the zoo has a slash or a point in its name.
  private static func isFile(_ model: String) -> Bool {
    model.contains("/") || model.contains(".")
  }

  /// A network of the zoo, read as a configuration would.
  private static func named(_ name: String) throws -> Architecture {
    do {
      return try RunConfig.decode(
        text: "{}", file: "--model", overrides: ["model.architecture=\(name)"]
      ).model.architecture
    } catch {
      throw ConfigurationError(error.kind, place: "--model \(name)", error.problem)
    }
  }
}
