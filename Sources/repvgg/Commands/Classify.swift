import Deployment
import ImageData
import Orchestration
import Reporting

/// `repvgg classify MODEL IMAGE...`: the likeliest classes of image files.
enum ClassifyCommand {
  /// Characters of the bar of a certain class.
  private static let barWidth = 24

  static func run(_ invocation: Invocation) throws -> ExitCode {
    try Machine.requireBuiltForProcessor()
    let files = Array(invocation.positionals.dropFirst())
    var settings = Classifier.Settings()
    settings.threads = invocation.integer("--threads") ?? 1
    let classifier = try Classifier.load(
      invocation.positionals[0], settings: settings,
      resolution: invocation.integer("--resolution") ?? 0, note: Speaker.complain)
    let reader = classifier.reader(of: files)
    let count = min(invocation.integer("--top") ?? 5, classifier.description.classes)
    var results: [(file: String, guesses: [Classifier.Guess])] = []
    var failure: DataError?
    for (index, file) in files.enumerated() {
      do throws(DataError) {
        let logits = try classifier.logits(file: index, of: reader)
        let guesses = classifier.guesses(logits, count: count)
        results.append((file, guesses))
        if !invocation.flag("--json") {
          say(results[results.count - 1], isFirst: results.count == 1)
        }
      } catch {
        // The others are still wanted; what is wrong is said at once, and the code is the first's.
        Speaker.complain("\(error)")
        failure = failure ?? error
      }
    }
    if invocation.flag("--json") {
      Speaker.say(json(results, model: invocation.positionals[0]).text())
    }
    return failure.map(ExitCode.of) ?? .done
  }

  private static func say(
    _ result: (file: String, guesses: [Classifier.Guess]), isFirst: Bool
  ) {
    let width = result.guesses.map(\.name.count).max() ?? 0
    let lines = result.guesses.map { guess in
      let name = guess.name.padding(to: width)
      let share = Quantity.percent(guess.probability, decimals: 1)
      return "  \(name)  \(share.padding(to: 6, left: true))  \(bar(guess.probability))\n"
    }
    Speaker.say((isFirst ? "" : "\n") + "\(result.file)\n" + lines.joined())
  }

  /// A bar in eighths of a character.
  private static func bar(_ share: Double) -> String {
    let eighths = Int((share * Double(barWidth * 8)).rounded())
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
  }

  private static func json(
    _ results: [(file: String, guesses: [Classifier.Guess])], model: String
  ) -> JSONValue {
    .object([
      ("model", .string(model)),
      (
        "images",
        .array(
          results.map { result in
            .object([
              ("file", .string(result.file)),
              (
                "classes",
                .array(
                  result.guesses.map {
                    .object([
                      ("label", .int($0.label)), ("name", .string($0.name)),
                      ("probability", .double($0.probability)),
                    ])
                  })
              ),
            ])
          })
      ),
    ])
  }
}

extension String {
  /// With spaces up to `width` characters, behind the text or before it.
  fileprivate func padding(to width: Int, left: Bool = false) -> String {
    let spaces = String(repeating: " ", count: max(0, width - count))
    return left ? spaces + self : self + spaces
  }
}
