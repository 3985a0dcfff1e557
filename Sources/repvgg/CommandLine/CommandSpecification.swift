/// The commands of the program.
enum CommandName: String, CaseIterable, Sendable {
  case train, plan, evaluate, fuse, certify, convert, classify, inspect, replay, bench, doctor,
    hosts, collect
  case data, checkpoint, completion, help, version
}

/// What shells offer for a value that is not one of a list.
enum ValueCompletion: Sendable {
  case files, directories, nothing
}

/// One option of a command.
struct OptionSpecification: Sendable {
  enum Value: Sendable {
    /// Takes no value.
    case flag
    /// Any text that is not empty.
    case text(placeholder: String, ValueCompletion)
    /// `KEY=VALUE`.
    case assignment
    case integer(placeholder: String, ClosedRange<Int>)
    /// A word in its place.
    case integerOr(String, placeholder: String, ClosedRange<Int>)
    case choice(placeholder: String, [String])
  }

  /// With its dashes: `--output`.
  let name: String
  let value: Value
  var isRepeatable = false
  var isRequired = false
  /// A line for people; says the default.
  let help: String

  var placeholder: String? {
    switch value {
    case .flag: nil
    case .assignment: "KEY=VALUE"
    case .text(let placeholder, _), .integer(let placeholder, _), .choice(let placeholder, _),
      .integerOr(_, let placeholder, _):
      placeholder
    }
  }
}

/// The positional arguments of a command: all of one kind.
struct PositionalSpecification: Sendable {
  let placeholder: String
  let help: String
  /// How many there must be.
  let count: ClosedRange<Int>
  /// Allowed values; empty allows any.
  var choices: [String] = []
  var completion = ValueCompletion.files

  static func one(
    _ placeholder: String, _ help: String, choices: [String] = [],
    completion: ValueCompletion = .files
  ) -> PositionalSpecification {
    PositionalSpecification(
      placeholder: placeholder, help: help, count: 1...1, choices: choices, completion: completion)
  }
}

/// What options owe each other, so that none is ignored silently.
enum OptionRule: Sendable {
  /// The first says something about the second only.
  case needs(String, String)
  /// The same, and any of several will do.
  case needsAny(String, [String])
  /// One would override the other.
  case excludes(String, String)
  /// One of them must be given, and no second.
  case one([String])
  /// Only some of the positional's choices read these.
  case only([String], [String])
  /// A choice of the positional that does not go without the option.
  case demands(String, String)
}

/// One command: what it takes, and what help says of it.
struct CommandSpecification: Sendable {
  let name: CommandName
  /// A line for the list of commands.
  let summary: String
  /// Whole lines below the usage, at most 80 columns.
  var details: [String] = []
  var positional: PositionalSpecification?
  /// The one argument behind the positional, which is one too.
  var subject: PositionalSpecification?
  var options: [OptionSpecification] = []
  var rules: [OptionRule] = []

  /// In the order in which they are given.
  var arguments: [PositionalSpecification] { [positional, subject].compactMap { $0 } }

  func option(_ name: String) -> OptionSpecification? { options.first { $0.name == name } }
}
