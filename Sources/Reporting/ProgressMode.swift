import Glibc

/// How progress is asked to be shown (`--progress`).
package enum ProgressMode: String, Sendable, CaseIterable {
  /// As the surroundings allow.
  case auto
  /// One line, redrawn.
  case live
  /// A line now and then.
  case plain
  /// Nothing.
  case none

  /// The form that `auto` stands for, decided by the surroundings.
  ///
  /// Under mpirun a rank's stdout is always a pseudo-terminal, wherever its text ends up, so there
  /// isatty says nothing: lines are redrawn only if the launcher, who has seen its own stdout, says
  /// so by `REPVGG_PROGRESS=live`.
  package func resolved(
    environment: [String: String], stdoutIsTerminal: Bool
  ) -> ProgressMode {
    guard self == .auto else { return self }
    if let named = environment["REPVGG_PROGRESS"].flatMap(ProgressMode.init), named != .auto {
      return named
    }
    let isUnderLauncher = environment["OMPI_COMM_WORLD_SIZE"] != nil
    let canRedraw = !["", "dumb"].contains(environment["TERM"] ?? "")
    return !isUnderLauncher && stdoutIsTerminal && canRedraw ? .live : .plain
  }

  /// Columns of a line: `COLUMNS`, else what the terminal says, else 80.
  package static func lineWidth(environment: [String: String], terminalWidth: Int) -> Int {
    if let named = environment["COLUMNS"].flatMap({ Int($0) }), (20...1000).contains(named) {
      return named
    }
    return (20...1000).contains(terminalWidth) ? terminalWidth : 80
  }

  /// Whether stdout is a terminal. Always true for a rank under mpirun.
  package static var stdoutIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Columns of the terminal on stdout; 0 where it does not say.
  package static var terminalWidth: Int {
    var size = winsize()
    return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : 0
  }
}

/// Text for people, on a stream that may break.
///
/// A reader that goes away (`| head -1`) or a full disk must not stop a training run: after the
/// first failure everything is dropped. The program ignores SIGPIPE, so that writing fails instead
/// of killing.
package final class TextOutput {
  /// Takes the text; false when it cannot.
  private let take: (String) -> Bool
  package private(set) var isBroken = false

  package init(_ take: @escaping (String) -> Bool) { self.take = take }

  package func write(_ text: String) {
    guard !isBroken else { return }
    isBroken = !take(text)
  }

  /// An open file descriptor, unbuffered.
  package static func descriptor(_ descriptor: CInt) -> TextOutput {
    TextOutput { text in
      let bytes = Array(text.utf8)
      var written = 0
      while written < bytes.count {
        let count = bytes.withUnsafeBytes { bytes in
          Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
        }
        if count > 0 { written += count } else if count == 0 || errno != EINTR { return false }
      }
      return true
    }
  }

  package static func standardOutput() -> TextOutput { .descriptor(STDOUT_FILENO) }
}
