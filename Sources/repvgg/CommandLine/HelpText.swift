/// Help for people, made from the table; at most 80 columns.
enum HelpText {
  private static let width = 80

  /// `repvgg help`: what there is.
  static var program: String {
    let names = CommandName.allCases.filter { $0 != .help && $0 != .version && $0 != .completion }
    func list(_ commands: [CommandName]) -> String {
      commands.map { command in
        entry(command.rawValue, CommandLineTable.specification(of: command).summary, column: 14)
      }.joined()
    }
    return """
      Trains RepVGG on CPU clusters over MPI and ships the fused network.

      Usage: repvgg COMMAND [ARGUMENTS]

      Commands:
      \(list(names))
      \(list([.completion, .help, .version]))
      repvgg COMMAND --help explains a command. On several ranks:
      mpirun -np 8 repvgg train CONFIG

      Exit codes: 0 done, 64 usage, 65 bad data or checkpoint, 66 input missing,
      70 internal error, 73 cannot create output, 74 input or output error,
      75 stopped on request with the state saved, 76 numerics, 77 permission or
      lock, 78 configuration.

      """
  }

  /// `repvgg COMMAND --help`: usage, arguments and options of one command.
  static func command(_ name: CommandName) -> String {
    let specification = CommandLineTable.specification(of: name)
    var text = usage(specification) + "\n\(specification.summary).\n"
    if !specification.details.isEmpty {
      text += "\n" + specification.details.map { $0 + "\n" }.joined()
    }
    let options = specification.options.map { (term($0), $0.help) } + [("-h, --help", "Show this")]
    let arguments = specification.arguments.map { ($0.placeholder, $0.help) }
    let column = ((arguments + options).map(\.0.count).max() ?? 0) + 4
    for (title, rows) in [("Arguments", arguments), ("Options", options)] where !rows.isEmpty {
      text += "\n\(title):\n" + rows.map { entry($0, $1, column: column) }.joined()
    }
    return text
  }

  private static func term(_ option: OptionSpecification) -> String {
    option.placeholder.map { "\(option.name) \($0)" } ?? option.name
  }

  private static func usage(_ specification: CommandSpecification) -> String {
    let start = "Usage: repvgg \(specification.name.rawValue)"
    var words = specification.arguments.map { positional in
      let name = positional.placeholder
      let word = positional.count.lowerBound == 0 ? "[\(name)]" : name
      return word + (positional.count.upperBound > 1 ? "..." : "")
    }
    words += specification.options.map { option in
      let term = option.isRequired ? term(option) : "[\(term(option))]"
      return term + (option.isRepeatable ? "..." : "")
    }
    return wrap(words, after: start, indentation: start.count + 1)
  }

  /// `  term    text`, the text wrapped at its column.
  private static func entry(_ term: String, _ text: String, column: Int) -> String {
    let start = "  " + term
    let space = String(repeating: " ", count: max(1, column - start.count - 1))
    return wrap(
      text.split(separator: " ").map(String.init), after: start + space, indentation: column)
  }

  private static func wrap(_ words: [String], after start: String, indentation: Int) -> String {
    var lines = [start]
    for word in words {
      let last = lines[lines.count - 1]
      if last.count + 1 + word.count <= width {
        lines[lines.count - 1] = last + " " + word
      } else {
        lines.append(String(repeating: " ", count: indentation) + word)
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
