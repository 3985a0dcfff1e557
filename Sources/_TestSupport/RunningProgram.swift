import Foundation

/// A program that has been started and has not been waited for yet. Belongs to one thread.
///
/// What it says goes to files: nothing blocks however much it is, and a grandchild that lives on
/// does not hold the reading up.
package final class RunningProgram {
  private let process = Process()
  private let ended = DispatchSemaphore(value: 0)
  private let scratch: ScratchDirectory

  /// Starts `executable`, a path; stdin is empty.
  ///
  /// - Parameter environment: changes to this process's environment; an empty value removes the
  ///   variable.
  package init(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:],
    directory: String? = nil
  ) throws {
    scratch = try ScratchDirectory()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .merging(environment) { $1 }.filter { !$0.value.isEmpty }
    if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try output("stdout")
    process.standardError = try output("stderr")
    process.terminationHandler = { [ended] _ in ended.signal() }
    // Threads of a pool block signals, and a program inherits what is blocked where it is started.
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
  }

  private func output(_ name: String) throws -> FileHandle {
    try FileHandle(forWritingTo: URL(fileURLWithPath: try scratch.write("", to: name)))
  }

  package var processID: Int32 { process.processIdentifier }
  package var isRunning: Bool { process.isRunning }

  /// Sends a signal, unless the program has ended.
  package func signal(_ number: Int32) {
    if process.isRunning { kill(process.processIdentifier, number) }
  }

  /// Whether the program has a handler of its own for a signal.
  package func catches(_ number: Int32) -> Bool { Self.catches(number, process: processID) }

  package static func catches(_ number: Int32, process: Int32) -> Bool {
    let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    let line = status?.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
    let mask = line.flatMap { UInt64($0.split(separator: "\t")[1], radix: 16) } ?? 0
    return mask >> UInt64(number - 1) & 1 == 1
  }

  /// Processes named `name` that this program has started, in the order of their numbers.
  package func children(named name: String) -> [Int32] {
    Self.children(of: processID, named: name)
  }

  /// Processes named `name` whose parent is `parent`, in the order of their numbers.
  package static func children(of parent: Int32, named name: String) -> [Int32] {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return processes.compactMap { Int32($0) }.sorted().filter { child in
      guard let process = ProcessState(of: child) else { return false }
      return process.name == name && process.parent == parent && !process.hasEnded
    }
  }

  /// Whether `parent` has children, and all of them have ended without its notice.
  package static func hasOnlyEndedChildren(_ parent: Int32) -> Bool {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    let children = processes.compactMap { Int32($0).flatMap(ProcessState.init(of:)) }
      .filter { $0.parent == parent }
    return !children.isEmpty && children.allSatisfy(\.hasEnded)
  }

  /// Waits for the end; call it once.
  ///
  /// - Parameter timeout: seconds after which it is sent SIGTERM, and five seconds later SIGKILL.
  package func wait(timeout: Double = 60) throws -> ProgramResult {
    let timedOut = ended.wait(timeout: .now() + timeout) == .timedOut
    if timedOut {
      signal(SIGTERM)
      if ended.wait(timeout: .now() + 5) == .timedOut {
        signal(SIGKILL)
        ended.wait()
      }
    }
    let status = Int(process.terminationStatus)
    return ProgramResult(
      status: process.terminationReason == .uncaughtSignal ? 128 + status : status,
      stdout: try scratch.text(of: "stdout"), stderr: try scratch.text(of: "stderr"),
      timedOut: timedOut)
  }
}

/// What the kernel says of a process.
struct ProcessState {
  var name: String
  var parent: Int32
  /// It runs no more, and waits for its parent to take notice.
  var hasEnded: Bool

  /// Nil where there is no such process.
  init?(of process: Int32) {
    // `123 (name) state parent …`; a name may hold anything, so its end is the last bracket.
    guard let line = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let open = line.firstIndex(of: "("), let close = line.lastIndex(of: ")")
    else { return nil }
    let fields = line[line.index(after: close)...].split(separator: " ")
    guard fields.count > 1, let parent = Int32(fields[1]) else { return nil }
    name = String(line[line.index(after: open)..<close])
    self.parent = parent
    hasEnded = ["Z", "X"].contains(fields[0])
  }
}
