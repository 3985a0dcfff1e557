import Foundation
import _TestSupport

/// The mutants of one reader, read by processes that may die of them.
struct Campaign {
  var reader: String
  var seed: UInt64
  var numbers: Range<Int>
  var secondsLimit: Int

  /// After so many there is enough to look at.
  private static let mostFailures = 10

  private struct Failure {
    var number: Int
    var reason: String
  }

  /// Runs it and says how it went; whether nothing failed.
  func run() throws -> Bool {
    var (next, failures) = (numbers.lowerBound, [Failure]())
    var (read, refused, growth) = (0, 0, 0)
    while next < numbers.upperBound, failures.count < Self.mostFailures {
      let scratch = try ScratchDirectory()
      let progress = try TrialProgress(path: scratch.path("progress"))
      progress.number = next
      let result = try trial(from: next, scratch.path("progress"))
      read += progress.read
      refused += progress.refused
      growth = max(growth, progress.growth)
      if result.status == 0 { break }
      failures.append(Failure(number: progress.number, reason: Self.reason(result)))
      next = progress.number + 1
    }
    for failure in failures { try report(failure) }
    print(
      "\(reader): \(read + refused + failures.count) mutants from number \(numbers.lowerBound) of seed "
        + "\(seed): \(read) read, \(refused) refused, \(failures.count) failed; "
        + "memory grew by \((growth + 1 << 20 - 1) >> 20) MB at most")
    return failures.isEmpty
  }

  private func trial(from first: Int, _ progress: String) throws -> ProgramResult {
    try runExecutable(
      CommandLine.arguments[0],
      [
        "--reader", reader, "--seed", "\(seed)", "--first", "\(first)", "--count",
        "\(numbers.upperBound - first)", "--seconds", "\(secondsLimit)", "--trial", progress,
      ],
      environment: ["READER_FUZZ_FIRST": "\(first)", "SWIFT_BACKTRACE": "enable=no"],
      // What hangs ends by itself.
      timeout: 1e6)
  }

  private static func reason(_ result: ProgramResult) -> String {
    let line = result.stderr.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
    let last = line.hasPrefix("reader-fuzz: ") ? String(line.dropFirst(13)) : line
    switch Int32(result.status - 128) {
    case SIGPROF: return "took too much processor time"
    case SIGALRM: return "waited for what did not come"
    case 1...: return "ended by signal \(result.status - 128): \(last)"
    default: return last
    }
  }

  /// Keeps the mutant and says how to come back to it.
  private func report(_ failure: Failure) throws {
    let scratch = try ScratchDirectory()
    let bytes = try FuzzedReader(named: reader, directory: scratch.path)?
      .mutant(seed: seed, number: failure.number)
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("repvgg-mutant-\(reader)-\(seed)-\(failure.number)").path
    try write(bytes ?? [], to: path)
    print(
      "FAILED \(reader), seed \(seed), number \(failure.number): \(failure.reason)\n  the file: \(path)\n"
        + "  again: reader-fuzz --reader \(reader) --seed \(seed) --first \(failure.number) --count 1"
    )
  }
}
