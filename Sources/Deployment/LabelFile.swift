import Glibc
import ImageData

/// The names of classes that lie beside a file of weights.
package enum LabelFile {
  /// `labels.txt` or `classes.txt` beside the weights, or the `classes.txt` of the run that they are a
  /// checkpoint or an artifact of; nil where there is none.
  package static func path(beside model: String) -> String? {
    let directory = model.lastIndex(of: "/").map { String(model[...$0]) } ?? "./"
    func exists(_ name: String) -> Bool { access(directory + name, F_OK) == 0 }
    var names = ["labels.txt", "classes.txt"]
    // Two or one directories up lies anything, unless it is a run.
    if exists("MANIFEST.json") { names.append("../../classes.txt") }
    if exists("../plan.json") { names.append("../classes.txt") }
    return names.first(where: exists).map { directory + $0 }
  }

  /// The names for a network of `classes` classes; none where there is no such file, or numbers in it.
  ///
  /// - Throws: where the names are not as many as the classes, and what `ClassNames.read` throws.
  package static func names(beside model: String, classes: Int) throws -> [String] {
    guard let path = path(beside: model) else { return [] }
    let names = try ClassNames.read(path: path)
    // What is written beside a network whose data had no names says nothing about them.
    guard names != ClassNames.numbers(names.count) else { return [] }
    guard names.count == classes else {
      throw DeploymentError(
        .badModel,
        "\(path): names \(names.count) classes, \(model) has \(classes); remove that file where it "
          + "is not of this model")
    }
    return names
  }
}
