/// Completion scripts, made from the table.
enum ShellCompletion {
  /// The script for `bash`, `zsh` or `fish`; nil for any other shell.
  static func script(shell: String) -> String? {
    switch shell {
    case "bash": bash
    case "zsh": "#compdef repvgg\nautoload -U +X bashcompinit && bashcompinit\n" + bash
    case "fish": fish
    default: nil
    }
  }

  private static var commands: [CommandSpecification] {
    CommandName.allCases.map(CommandLineTable.specification)
  }

  private static var bash: String {
    let names = commands.map(\.name.rawValue) + ["--help", "--version"]
    var values = ""
    var words = ""
    for command in commands {
      for option in command.options where option.placeholder != nil {
        let (choices, completion) = offer(option)
        values += "    \"\(command.name.rawValue) \(option.name)\")"
        values += " COMPREPLY=(\(generator(choices, completion))); return ;;\n"
      }
      let options = command.options.map(\.name) + ["--help"]
      let choices = command.positional?.choices ?? []
      let completion = command.arguments.last?.completion ?? .nothing
      words += "    \(command.name.rawValue))\n"
      words += "      if [[ $current == -* ]]; then COMPREPLY=(\(generator(options, .nothing)))\n"
      words += "      else COMPREPLY=("
      words += generator(choices, completion) + "); fi ;;\n"
    }
    return """
      _repvgg() {
        # Words end at line ends: names of files may hold spaces.
        local IFS=$'\\n'
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
        COMPREPLY=()
        if [[ $COMP_CWORD -eq 1 ]]; then
          COMPREPLY=(\(generator(names, .nothing)))
          return
        fi
        case "${COMP_WORDS[1]} $previous" in
      \(values)  esac
        case "${COMP_WORDS[1]}" in
      \(words)  esac
      }
      complete -o filenames -F _repvgg repvgg

      """
  }

  private static func offer(_ option: OptionSpecification) -> ([String], ValueCompletion) {
    switch option.value {
    case .choice(_, let choices): (choices, .nothing)
    case .text(_, let completion): ([], completion)
    case .flag, .assignment, .integer: ([], .nothing)
    case .integerOr(let word, _, _): ([word], .nothing)
    }
  }

  private static func generator(_ choices: [String], _ completion: ValueCompletion) -> String {
    let words = choices.isEmpty ? "" : "-W $'\(choices.joined(separator: "\\n"))' "
    return switch completion {
    case .files: "$(compgen \(words)-f -- \"$current\")"
    case .directories: "$(compgen \(words)-d -- \"$current\")"
    case .nothing: words.isEmpty ? "" : "$(compgen \(words)-- \"$current\")"
    }
  }

  private static var fish: String {
    var lines = ["complete -c repvgg -f"]
    for command in commands {
      let name = command.name.rawValue
      lines.append(
        "complete -c repvgg -n __fish_use_subcommand -a \(name) -d \(fishQuoted(command.summary))")
      let when = "complete -c repvgg -n '__fish_seen_subcommand_from \(name)'"
      for option in command.options {
        let (choices, completion) = offer(option)
        var line = "\(when) -l \(option.name.dropFirst(2))"
        if option.placeholder != nil { line += " -r" }
        if !choices.isEmpty { line += " -a '\(choices.joined(separator: " "))'" }
        if completion != .nothing { line += " -F" }
        lines.append(line + " -d \(fishQuoted(option.help))")
      }
      for positional in command.arguments {
        if !positional.choices.isEmpty {
          lines.append("\(when) -a '\(positional.choices.joined(separator: " "))'")
        } else if positional.completion != .nothing {
          lines.append("\(when) -F")
        }
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  private static func fishQuoted(_ text: String) -> String {
    "'" + text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "'"
  }
}
