import Reporting

/// Runs side by side: for people, for documents, for spreadsheets and for programs.
struct CollectionTable {
  private let runs: [FinishedRun]
  private let isMeasured: Bool

  init(_ runs: [FinishedRun]) {
    self.runs = runs
    isMeasured = runs.contains { $0.inferenceImagesPerSecond != nil }
  }

  /// How the inference speed is measured.
  static let measuredBatch = 8
  static let measuredSteps = 5

  private var headers: [String] {
    [
      "run", "architecture", "parameters", "deploy parameters", "deploy MACs", "top-1", "top-5",
      "training images/s", "training time",
    ] + (isMeasured ? ["inference images/s"] : []) + ["sha256"]
  }

  private func cells(_ run: FinishedRun) -> [String] {
    func rate(_ value: Double?) -> String {
      value.map { Quantity.fixed($0, decimals: $0 < 100 ? 1 : 0) } ?? "-"
    }
    return [
      run.name, run.architecture, Quantity.count(run.trainingParameters),
      Quantity.count(run.deployParameters), Quantity.count(run.deployMACs),
      Quantity.percent(run.top1, decimals: 2), Quantity.percent(run.top5, decimals: 2),
      rate(run.trainingImagesPerSecond),
      run.trainingSeconds.map { Quantity.duration(seconds: $0) } ?? "-",
    ] + (isMeasured ? [rate(run.inferenceImagesPerSecond)] : [])
      + [String(run.weightsSHA256.prefix(12))]
  }

  var text: String {
    let last = headers.count - 1
    var table = TextTable(
      headers.enumerated().map { index, header in
        (2..<last).contains(index) ? .right(header) : .left(header)
      })
    for run in runs { table.append(cells(run)) }
    return table.text
  }

  /// Each run's name leads to its card.
  var markdown: String {
    let rows = runs.map { run in
      var cells = cells(run)
      let directory = Self.encoded(run.name)
      cells[0] =
        run.hasCard ? "[\(run.name)](\(directory)/\(Self.encoded(run.cardName)))" : run.name
      return cells
    }
    return ModelCard.table(headers, rows) + "\n\n"
      + "Accuracy is that of the deploy form on the test images. Training images/s and time are of "
      + "the steps alone, on as many ranks as the run had."
      + (isMeasured
        ? " Inference images/s were measured when the runs were gathered, on one thread in batches "
          + "of \(Self.measuredBatch)." : "")
      + " sha256 is that of the trained weights; the cards have the files'.\n"
  }

  /// RFC 4180, numbers without units.
  var csv: String {
    let header = [
      "run", "architecture", "parameters_training", "parameters_deploy", "macs_deploy", "top1",
      "top5", "training_images_per_second", "training_seconds", "ranks",
      "inference_images_per_second", "weights_sha256", "deploy_file_sha256",
    ]
    let rows = runs.map { run in
      [
        run.name, run.architecture, "\(run.trainingParameters)", "\(run.deployParameters)",
        "\(run.deployMACs)", "\(run.top1)", "\(run.top5)", Self.field(run.trainingImagesPerSecond),
        Self.field(run.trainingSeconds), Self.field(run.ranks),
        Self.field(run.inferenceImagesPerSecond), run.weightsSHA256, run.deployFileSHA256,
      ]
    }
    return ([header] + rows).map { $0.map(Self.quoted).joined(separator: ",") + "\r\n" }.joined()
  }

  private static func field(_ value: (some CustomStringConvertible)?) -> String {
    value.map(\.description) ?? ""
  }

  private static func quoted(_ cell: String) -> String {
    guard cell.contains(where: { ",\"\r\n".contains($0) }) else { return cell }
    return "\"" + cell.replacing("\"", with: "\"\"") + "\""
  }

  /// A name as part of an address: everything but letters, digits and `-._~` as hexadecimal bytes.
  private static func encoded(_ name: String) -> String {
    name.utf8.map { byte -> String in
      let isPlain =
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        || [45, 46, 95, 126].contains(byte)
      let digits = String(byte, radix: 16, uppercase: true)
      return isPlain
        ? String(UnicodeScalar(byte)) : "%" + (digits.count < 2 ? "0" : "") + digits
    }.joined()
  }

  var json: String {
    JSONValue.array(
      runs.map { run in
        .object([
          ("name", .string(run.name)), ("architecture", .string(run.architecture)),
          (
            "parameters",
            .object([
              ("training", .int(run.trainingParameters)), ("deploy", .int(run.deployParameters)),
            ])
          ),
          ("macs_deploy", .int(run.deployMACs)), ("top1", .double(run.top1)),
          ("top5", .double(run.top5)),
          ("training_images_per_second", Self.number(run.trainingImagesPerSecond)),
          ("training_seconds", Self.number(run.trainingSeconds)),
          ("ranks", run.ranks.map { .int($0) } ?? .null),
          ("inference_images_per_second", Self.number(run.inferenceImagesPerSecond)),
          ("weights_sha256", .string(run.weightsSHA256)),
          ("deploy_file_sha256", .string(run.deployFileSHA256)),
        ])
      }
    ).text(indented: true)
  }

  private static func number(_ value: Double?) -> JSONValue {
    value.map { .double($0) } ?? .null
  }
}
