import Glibc
import ImageData

/// The names of classes that lie beside a file of weights.
package enum LabelFile {
  /// `labels.txt` or `classes.txt` beside the weights, or the `classes.txt` of the run that they are an
  /// artifact or a checkpoint of; nil where there is none.
  package static func path(beside model: String) -> String? {
    let directory = model.lastIndex(of: "/").map { String(model[...$0]) } ?? "./"
    return ["labels.txt", "classes.txt", "../../classes.txt"].map { directory + $0 }
      .first { access($0, F_OK) == 0 }
  }

  /// The names for a network of `classes` classes; none where there is no such file.
  ///
  /// - Throws: where the names are not as many as the classes, and what `ClassNames.read` throws.
  package static func names(beside model: String, classes: Int) throws -> [String] {
    guard let path = path(beside: model) else { return [] }
    let names = try ClassNames.read(path: path)
    guard names.count == classes else {
      throw DeploymentError(
        .badModel,
        "\(path): names \(names.count) classes, \(model) has \(classes); remove that file where it "
          + "is not of this model")
    }
    return names
  }
}
