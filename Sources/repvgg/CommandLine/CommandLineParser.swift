/// What the command line asked for, held against the table: values are of their type and range.
struct Invocation: Sendable {
  let command: CommandName
  let positionals: [String]
  /// Values in the order given; a flag has the one empty value.
  fileprivate let values: [String: [String]]

  /// Whether the flag was given.
  func flag(_ option: String) -> Bool { isGiven(option) }

  /// Whether the option was given, whatever it takes.
  func isGiven(_ option: String) -> Bool { !given(option).isEmpty }

  /// The option's value, or nil where it was not given.
  func text(_ option: String) -> String? { given(option).first }

  /// The values of a repeatable option, in order.
  func texts(_ option: String) -> [String] { given(option) }

  /// The option's number, or nil where it was not given.
  func integer(_ option: String) -> Int? { given(option).first.flatMap { Int($0) } }

  private func given(_ option: String) -> [String] {
    precondition(
      CommandLineTable.specification(of: command).option(option) != nil,
      "\(command) has no \(option)")
    return values[option] ?? []
  }
}

/// A command line that the table does not allow: one line that says where and how to mend it.
struct UsageError: Error, Sendable, CustomStringConvertible {
  let message: String
  var description: String { message }

  /// `command` nil: not even the command is known.
  init(_ message: String, command: CommandName?) {
    let help = command.map { "repvgg \($0.rawValue) --help" } ?? "repvgg help"
    // What was typed may hold anything; the message stays one line.
    let line = message.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }
    self.message = String(String.UnicodeScalarView(line)) + "; see \(help)"
  }
}

/// Reads arguments against `CommandLineTable`.
///
/// `--name value` and `--name=value`; options and positionals in any order; `--` ends the options;
/// names are written out in full. A value that begins with `--` needs the form with `=`.
struct CommandLineParser {
  private let specification: CommandSpecification
  private var rest: ArraySlice<String>
  private var positionals: [String] = []
  private var values: [String: [String]] = [:]

  /// `arguments` without the program's own name.
  static func parse(_ arguments: [String]) throws(UsageError) -> Invocation {
    guard let first = arguments.first else { throw UsageError("no command given", command: nil) }
    switch first {
    case "--help", "-h": return Invocation(command: .help, positionals: [], values: [:])
    case "--version": return Invocation(command: .version, positionals: [], values: [:])
    default: break
    }
    guard let command = CommandName(rawValue: first) else {
      let isOption = first.hasPrefix("-")
      let what = isOption ? "option" : "command"
      let names = isOption ? ["--help", "--version"] : CommandName.allCases.map(\.rawValue)
      throw UsageError("unknown \(what) '\(first)'\(suggestion(first, names))", command: nil)
    }
    var parser = CommandLineParser(command, arguments.dropFirst())
    return try parser.parse()
  }

  private init(_ command: CommandName, _ arguments: ArraySlice<String>) {
    specification = CommandLineTable.specification(of: command)
    rest = arguments
  }

  private mutating func parse() throws(UsageError) -> Invocation {
    while let argument = rest.popFirst() {
      if argument == "--" {
        positionals += rest
        break
      }
      if argument == "--help" || argument == "-h" {
        return Invocation(
          command: .help, positionals: [specification.name.rawValue], values: [:])
      }
      if argument.hasPrefix("-"), argument != "-" {
        try parseOption(argument)
      } else {
        positionals.append(argument)
      }
    }
    try checkPositionals()
    for option in specification.options where option.isRequired && values[option.name] == nil {
      throw error("\(option.name) \(option.placeholder ?? "") is missing")
    }
    for rule in specification.rules { try check(rule) }
    return Invocation(
      command: specification.name, positionals: positionals, values: values)
  }

  private mutating func parseOption(_ argument: String) throws(UsageError) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0])
    guard let option = specification.option(name) else {
      let names = specification.options.map(\.name) + ["--help"]
      throw error("unknown option '\(name)'\(suggestion(name, names))")
    }
    if values[name] != nil, !option.isRepeatable { throw error("\(name) is given twice") }
    let attached = parts.count == 2 ? String(parts[1]) : nil
    guard let placeholder = option.placeholder else {
      if attached != nil { throw error("\(name) takes no value") }
      values[name] = [""]
      return
    }
    let next = rest.first.flatMap { $0.hasPrefix("--") ? nil : $0 }
    if attached == nil, next != nil { rest.removeFirst() }
    guard let value = attached ?? next, !value.isEmpty else {
      throw error("\(name) needs a value: \(name) \(placeholder)")
    }
    try check(value, of: option)
    values[name, default: []].append(value)
  }

  private func check(_ value: String, of option: OptionSpecification) throws(UsageError) {
    switch option.value {
    case .flag, .text: break
    case .assignment:
      guard let equals = value.firstIndex(of: "="), equals != value.startIndex else {
        throw error("\(option.name) '\(value)' is not KEY=VALUE")
      }
    case .integerOr(let word, _, let range):
      if value != word { try check(value, of: option, in: range, or: " or \(word)") }
    case .integer(_, let range): try check(value, of: option, in: range)
    case .choice(_, let choices):
      guard choices.contains(value) else {
        throw error(
          "\(option.name) '\(value)' is none of \(choices.joined(separator: ", "))\(suggestion(value, choices))"
        )
      }
    }
  }

  private func check(
    _ value: String, of option: OptionSpecification, in range: ClosedRange<Int>,
    or word: String = ""
  ) throws(UsageError) {
    guard let number = Int(value), range.contains(number) else {
      throw error(
        "\(option.name) '\(value)' is not a whole number from \(range.lowerBound) to "
          + "\(range.upperBound)\(word)")
    }
  }

  private func check(_ rule: OptionRule) throws(UsageError) {
    switch rule {
    case .needs(let option, let other): try check(.needsAny(option, [other]))
    case .needsAny(let option, let others):
      if values[option] != nil, others.allSatisfy({ values[$0] == nil }) {
        throw error("\(option) has no effect without \(others.joined(separator: " or "))")
      }
    case .one(let options):
      let given = options.filter { values[$0] != nil }
      if given.count > 1 { throw error("\(given[0]) and \(given[1]) exclude each other") }
      guard given.isEmpty else { return }
      let terms = options.map { "\($0) \(specification.option($0)?.placeholder ?? "")" }
      throw error("\(terms.joined(separator: " or ")) is missing")
    case .excludes(let option, let other):
      if values[option] != nil, values[other] != nil {
        throw error("\(option) and \(other) exclude each other")
      }
    case .only(let choices, let options):
      guard let positional = positionals.first, !choices.contains(positional),
        let option = options.first(where: { values[$0] != nil })
      else { return }
      throw error(
        "\(option) has no effect on \(specification.name.rawValue) \(positional)")
    case .demands(let choice, let name):
      guard positionals.first == choice, values[name] == nil else { return }
      throw error("\(name) \(specification.option(name)?.placeholder ?? "") is missing")
    }
  }

  private func checkPositionals() throws(UsageError) {
    var rest = positionals[...]
    for argument in specification.arguments {
      try check(rest.prefix(argument.count.upperBound), of: argument)
      rest = rest.dropFirst(argument.count.upperBound)
    }
    if let extra = rest.first { throw error("unexpected argument '\(extra)'") }
  }

  private func check(
    _ values: ArraySlice<String>, of positional: PositionalSpecification
  ) throws(UsageError) {
    if values.count < positional.count.lowerBound {
      throw error("\(positional.placeholder) is missing")
    }
    if values.contains("") { throw error("\(positional.placeholder) is empty") }
    guard !positional.choices.isEmpty else { return }
    for value in values where !positional.choices.contains(value) {
      throw error(
        "\(positional.placeholder) '\(value)' is none of \(positional.choices.joined(separator: ", "))\(suggestion(value, positional.choices))"
      )
    }
  }

  private func error(_ message: String) -> UsageError {
    UsageError(message, command: specification.name)
  }
}

/// `, did you mean X?` where a name is near enough, else nothing.
private func suggestion(_ text: String, _ names: [String]) -> String {
  let limit = max(1, (text.count + 1) / 3)
  let nearest = names.map { (name: $0, distance: editDistance(text, $0)) }
    .filter { $0.distance <= limit || ($0.name.hasPrefix(text) && text.count > 2) }
    .min { $0.distance < $1.distance }
  return nearest.map { ", did you mean \($0.name)?" } ?? ""
}

/// Insertions, deletions, replacements and swaps of neighbours that make one text of the other
/// (optimal string alignment). The first 64 characters count: names are short, input may not be.
private func editDistance(_ first: String, _ second: String) -> Int {
  let (first, second) = (Array(first.prefix(64)), Array(second.prefix(64)))
  var before: [Int] = []
  var last = Array(0...second.count)
  for (i, a) in first.enumerated() {
    var current = [i + 1]
    for (j, b) in second.enumerated() {
      var distance = min(last[j] + (a == b ? 0 : 1), last[j + 1] + 1, current[j] + 1)
      if i > 0, j > 0, a == second[j - 1], first[i - 1] == b {
        distance = min(distance, before[j - 1] + 1)
      }
      current.append(distance)
    }
    (before, last) = (last, current)
  }
  return last[second.count]
}
