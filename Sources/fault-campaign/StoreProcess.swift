import Checkpoints
import Foundation
import Tensors
import _TestSupport

/// A process that makes one save as the program does, and nothing else: commit, mark of the best,
/// prune. What it asks of the system is recorded, and made to fail, call by call.
enum StoreProcess {
  static let option = "--save-once"
  static let keep = 2
  /// Checkpoints that lie there already, and the one that is made.
  static let older = [10, 20]
  static let step = 30

  /// Calls of no effect, by which a record shows where the save begins and ends.
  static let firstMark = "/no-such-place/save-begins"
  static let lastMark = "/no-such-place/save-ends"

  /// A store with the older checkpoints, in `directory`.
  static func prepare(_ directory: String) throws -> CheckpointStore {
    let store = CheckpointStore(directory: directory, keep: keep)
    try store.prepare()
    for step in older { try store.commit(step: step, files: files(of: step)) }
    return store
  }

  /// What the checkpoint of `step` holds; more than one write each.
  static func files(of step: Int) -> [(name: String, bytes: [UInt8])] {
    var random = CounterRandom(seed: 1, epoch: 0, sample: step, purpose: .test)
    return [("model.safetensors", 20_000), ("optimizer.safetensors", 9_000), ("state.json", 700)]
      .map { name, count in
        (name, (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
      }
  }

  /// The hidden command: exit 0 where the save says that it is done, 74 and a line where it failed.
  static func run(_ arguments: [String]) -> Int32 {
    guard let directory = arguments.first else { return 64 }
    let files = files(of: step)
    let store = CheckpointStore(directory: directory, keep: keep)
    rmdir(firstMark)
    let result = Result {
      try store.commit(step: step, files: files)
      try store.setBest(step: step)
      try store.prune()
    }
    rmdir(lastMark)
    guard case .failure(let error) = result else { return 0 }
    // By another call than those that are made to fail.
    var line = Array("\(error)\n".utf8)
    let count = line.count
    line.withUnsafeMutableBytes { bytes in
      var part = iovec(iov_base: bytes.baseAddress, iov_len: count)
      _ = writev(STDERR_FILENO, &part, 1)
    }
    return 74
  }

  /// Runs it under strace with these options.
  static func trace(_ directory: String, _ options: [String]) throws -> ProgramResult {
    try runExecutable(
      "/usr/bin/env",
      ["strace", "-f", "-qq"] + options + [CommandLine.arguments[0], option, directory],
      environment: ["SWIFT_BACKTRACE": "enable=no"], timeout: 20)
  }
}

/// One call of a process that strace has recorded.
struct SystemCall {
  var name: String
  /// Between the brackets.
  var arguments: String
  /// As printed: `3</some/place>`, `-1 ENOENT (…)`.
  var result: String

  /// Nil for a line that is none: signals, exits.
  init?(_ line: Substring) {
    let text = line.drop { $0.isNumber || $0 == " " }
    guard let open = text.firstIndex(of: "("),
      let equals = text.range(of: " = ", options: .backwards)
    else { return nil }
    name = String(text[..<open])
    guard name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else { return nil }
    let inner = text[text.index(after: open)..<equals.lowerBound]
    arguments = String(inner.reversed().drop { $0 == " " || $0 == ")" }.reversed())
    result = String(text[equals.upperBound...])
  }

  var succeeded: Bool { !result.hasPrefix("-") && !result.hasPrefix("?") }

  /// Places of descriptors among the arguments, `5</some/place>`, in order.
  var descriptorPaths: [String] {
    arguments.components(separatedBy: "<").dropFirst().compactMap {
      $0.components(separatedBy: ">").first
    }
  }

  /// Texts among the arguments, in order.
  var strings: [String] {
    arguments.components(separatedBy: "\"").enumerated().filter { $0.offset % 2 == 1 }.map(
      \.element)
  }

  /// The calls of one save, and how many of each kind the process makes before it.
  static func ofSave(
    _ directory: String
  ) throws -> (calls: [SystemCall], before: [String: Int]) {
    let record = "\(directory).record"
    let result = try StoreProcess.trace(
      directory, ["-y", "-s", "128", "-e", "trace=%file,%desc", "-o", record])
    try require(result.status == 0, "the recorded save: \(result.stderr)")
    let calls = try String(contentsOfFile: record, encoding: .utf8)
      .split(separator: "\n").compactMap { SystemCall($0) }
    guard let first = calls.firstIndex(where: { $0.arguments.contains(StoreProcess.firstMark) }),
      let last = calls.firstIndex(where: { $0.arguments.contains(StoreProcess.lastMark) })
    else { throw Unexpected("the record of a save has no marks") }
    let before = Dictionary(grouping: calls[..<first], by: \.name).mapValues(\.count)
    return (Array(calls[(first + 1)..<last]), before)
  }
}
