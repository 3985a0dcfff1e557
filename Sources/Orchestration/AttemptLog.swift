import Foundation
import RunPlanning
import Tensors

/// `attempts.json`: which step a run's process is in, so that the next one knows in which step the
/// last one died. Rank 0's matter; the run's lock is held. Belongs to one thread.
///
/// An attempt is a process's time with the run directory. What dies (a signal, a trap, a lost node)
/// leaves the record as it stood; what ends in order says so by `end()`. One record of fixed size,
/// written over itself: a system call a step, no allocation, no fsync, since what a process has
/// written outlives it. After a power loss an older record may be found, and a step is counted less.
package final class AttemptLog {
  /// Attempts in a row, each set up as this one, that died in the same step.
  package struct Deaths: Sendable, Equatable {
    /// Counts from 1; 0: before the first step. One more than the last: evaluation and delivery.
    package var step: Int
    package var count: Int
  }

  /// Deaths in one step after which a run is not tried again.
  package static let limit = 3

  package let path: String
  /// What the attempts before this one came to; nil where none died since the run last got beyond.
  package let deaths: Deaths?
  /// What a person should know: an unreadable record, and deaths so far.
  package let notes: [String]

  private let descriptor: Int32
  private let setup: String
  private let lastStep: Int
  private var step = 0
  private var record: [UInt8]

  /// Takes up the record at `path`, in the run's directory. Nothing is written before `start`.
  ///
  /// A record that cannot be read counts as none, and one that cannot be written counts nothing: both
  /// are said in `notes` and keep no run from training.
  ///
  /// - Parameter setup: a digest of what may have changed the outcome; deaths are counted while it
  ///   stays the same.
  /// - Parameter lastStep: of the run.
  package init(path: String, setup: String, lastStep: Int) {
    (self.path, self.setup, self.lastStep) = (path, setup, lastStep)
    // O_NONBLOCK: a FIFO in its place must not hold the run up.
    descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
    var notes: [String] = []
    var deaths: Deaths?
    if descriptor < 0 {
      notes.append("\(path): \(String(cString: strerror(errno))); crashes are not counted")
    } else {
      do {
        deaths = try Self.read(descriptor)?.deaths(setup: setup)
      } catch {
        notes.append("\(path): \(error); ignored and written anew")
      }
    }
    if let deaths {
      let times = deaths.count == 1 ? "the last attempt" : "\(deaths.count) attempts in a row"
      notes.append(
        "\(times) died \(Self.place(deaths.step, of: lastStep)); \(Self.limit) are the end of it")
    }
    (self.deaths, self.notes) = (deaths, notes)
    record = Record(setup: setup, running: true, step: 0, deaths: deaths).bytes
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Whether the run is not to be tried again as it stands.
  package var isRefused: Bool { (deaths?.count ?? 0) >= Self.limit }

  /// The attempt begins: a death from here on counts, before the first step too. One that is refused
  /// is none.
  package func start() {
    guard !isRefused else { return }
    write()
    if descriptor >= 0 { ftruncate(descriptor, off_t(record.count)) }
  }

  /// Step `step`, from 1, begins; one more than the last for the evaluation and delivery at the end.
  package func begin(step: Int) {
    self.step = step
    Record.set(step: step, in: &record)
    write()
  }

  /// The attempt ends in order: done, stopped, or with a failure that all ranks agreed on. Deaths stay
  /// counted unless the run got beyond their step.
  package func end() {
    let left = deaths.flatMap { $0.step >= step ? $0 : nil }
    record = Record(setup: setup, running: false, step: step, deaths: left).bytes
    write()
  }

  /// Starts the attempt and runs `body`, all that follows the opening of the run directory: an orderly
  /// return and a failure of all ranks end it; any other error is this rank's alone and counts as a
  /// death.
  package static func attempt<Value>(_ log: AttemptLog?, _ body: () throws -> Value) throws -> Value
  {
    log?.start()
    do {
      let value = try body()
      log?.end()
      return value
    } catch let failure as JobFailure {
      log?.end()
      throw failure
    }
  }

  /// Throws `.ownFault` where the run has died in the same step too often; names the step and its
  /// samples.
  ///
  /// - Parameter note: takes a line for people, with every sample of the step.
  package func requirePromise(_ samples: StepSamples, note: (String) -> Void) throws {
    guard isRefused, let deaths else { return }
    // Refused in order, and not died again: who starts it anew is to know.
    end()
    let mend =
      "find out what ended them (the system's log names processes killed for memory), take fewer "
      + "ranks or threads, or remove \(path) to try once more"
    let died =
      "\(path): \(deaths.count) attempts in a row died "
      + Self.place(deaths.step, of: lastStep)
    guard let epoch = samples.epoch(ofStep: deaths.step) else {
      throw JobFailure(.ownFault, "\(died); \(mend)")
    }
    note(
      "samples of step \(deaths.step): "
        + samples.names(ofStep: deaths.step).joined(separator: ", "))
    throw JobFailure(
      .ownFault,
      "\(died), epoch \(epoch): its samples are \(samples.text(ofStep: deaths.step)); look at them, "
        + mend)
  }

  private static func place(_ step: Int, of lastStep: Int) -> String {
    if step == 0 { return "before the first step" }
    return step > lastStep
      ? "in the evaluation and delivery at the end" : "in step \(step), or before the next began"
  }

  private func write() {
    guard descriptor >= 0 else { return }
    // Were it not written, a death would be counted for an earlier step: nothing to end a run for.
    _ = record.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  private struct Unreadable: Error, CustomStringConvertible {
    let description: String
  }

  /// Nil where the file has just been made.
  private static func read(_ descriptor: Int32) throws -> Record? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw Unreadable(description: "not a regular file")
    }
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count >= 0 else { throw Unreadable(description: String(cString: strerror(errno))) }
    if count == 0 { return nil }
    guard let record = Record(bytes.prefix(count)) else {
      throw Unreadable(description: "not a record of attempts")
    }
    return record
  }
}

/// The content of `attempts.json`: JSON in a fixed number of bytes.
private struct Record: Codable {
  var setup: String
  var running: Bool
  var step: Int
  var deaths: Int
  var died_in: Int

  init(setup: String, running: Bool, step: Int, deaths: AttemptLog.Deaths?) {
    (self.setup, self.running, self.step) = (setup, running, step)
    (self.deaths, died_in) = (deaths?.count ?? 0, deaths?.step ?? 0)
  }

  init?(_ bytes: ArraySlice<UInt8>) {
    guard let record = try? JSONDecoder().decode(Record.self, from: Data(bytes)),
      [record.step, record.died_in].allSatisfy({ (0...Self.largest).contains($0) }),
      (0...9_999).contains(record.deaths)
    else { return nil }
    self = record
  }

  /// The tally for an attempt that is set up as `setup` says.
  func deaths(setup: String) -> AttemptLog.Deaths? {
    guard setup == self.setup else { return nil }
    let before = deaths > 0 ? AttemptLog.Deaths(step: died_in, count: deaths) : nil
    guard running else { return before }
    return .init(step: step, count: min((before?.step == step ? deaths : 0) + 1, 9_999))
  }

  var bytes: [UInt8] {
    let text =
      Self.beginning + Self.padded(step) + ", \"running\": \(running ? "true, " : "false,")"
      + " \"deaths\": \(String(Self.padded(deaths).suffix(4))), \"died_in\": \(Self.padded(died_in)),"
      + " \"setup\": \"\(setup)\"}\n"
    return Array(text.utf8)
  }

  private static let beginning = "{\"step\": "
  private static let digits = 12
  private static let largest = 999_999_999_999

  private static func padded(_ number: Int) -> String {
    let text = String(number)
    return String(repeating: " ", count: max(0, digits - text.utf8.count)) + text
  }

  /// Without allocating.
  static func set(step: Int, in bytes: inout [UInt8]) {
    precondition((1...largest).contains(step), "steps are counted from 1")
    var rest = step
    for place in (0..<digits).reversed() {
      bytes[beginning.utf8.count + place] =
        rest == 0 ? UInt8(ascii: " ") : UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
    }
  }
}
