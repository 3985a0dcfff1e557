import Foundation
import _TestSupport

/// What a campaign has found.
final class Figures {
  private struct Count {
    var row: Row
    var done: Int
    var failed: Int
    var seconds: Double
  }

  var failures: [String] = []
  var covered = 0
  /// What is being struck: hours later the directory may hold another.
  private let commit =
    (try? runExecutable(
      "/usr/bin/env", ["git", "rev-parse", "--short=12", "HEAD"], timeout: 10))?.stdout
    .trimmingCharacters(in: .whitespacesAndNewlines)
  private var counts: [Count] = []
  private var skipped: [(row: Row, reason: String)] = []
  private var tallies: [Int: [String: Int]] = [:]
  private var worst: [String: Double] = [:]

  func count(_ row: Row, done: Int, failed: Int, seconds: Double) {
    counts.append(Count(row: row, done: done, failed: failed, seconds: seconds))
  }

  func skip(_ row: Row, because reason: String) { skipped.append((row, reason)) }

  /// Counts what a row did: `tally("kills", of: 1)`.
  func tally(_ what: String, of row: Int, _ count: Int = 1) {
    tallies[row, default: [:]][what, default: 0] += count
  }

  /// Keeps the largest value of a kind.
  func measure(_ what: String, _ value: Double, of row: Int) {
    worst[what] = max(worst[what] ?? value, value)
  }

  /// For the terminal, at the end.
  func summary(seconds: Double) -> String {
    var lines = [
      "", "rows run: \(counts.count), trials: \(counts.map(\.done).reduce(0, +)) passed",
    ]
    lines[1] += ", \(failures.count) failed; rows held by other tests: \(covered)"
    for (reason, rows) in Dictionary(grouping: skipped, by: \.reason).sorted(by: { $0.key < $1.key }
    ) {
      let numbers = rows.map { "\($0.row.number)" }.joined(separator: ", ")
      lines.append("skipped, \(reason): rows \(numbers)")
    }
    lines += measured.map { "\($0): \($1)" }
    lines += failures.map { "FAILED \($0)" }
    lines.append("time: \(Int(seconds)) s")
    return lines.joined(separator: "\n")
  }

  private var measured: [(String, String)] {
    worst.sorted { $0.key < $1.key }.map { ($0, String(format: "%.4g", $1)) }
  }

  /// For docs/reliability.md.
  func markdown(_ options: Options, hash: String, seconds: Double) throws -> String {
    let date = Date().formatted(.iso8601.year().month().day())
    var lines = [
      "Campaign of \(date), \(options.form.rawValue) form, seed \(options.seed), commit "
        + "\(commit ?? "unknown"), "
        + "\(Int(seconds / 60)) minutes; the hash of the undisturbed run is `\(hash.prefix(16))`.",
      "", "| row | fault | trials | failed | what was done |", "|---|---|---|---|---|",
    ]
    for count in counts {
      let done = (tallies[count.row.number] ?? [:]).sorted { $0.key < $1.key }
        .map { "\($1) \($0)" }.joined(separator: ", ")
      lines.append(
        "| \(count.row.number) | \(count.row.title) | \(count.done + count.failed) | "
          + "\(count.failed) | \(done) |")
    }
    for (row, reason) in skipped {
      lines.append("| \(row.number) | \(row.title) | 0 | | not run: \(reason) |")
    }
    lines += ["", "| the most that was seen | |", "|---|---|"]
    lines += measured.map { "| \($0) | \($1) |" }
    return lines.joined(separator: "\n") + "\n"
  }
}

private let firstMark = "<!-- campaign: begin -->"
private let lastMark = "<!-- campaign: end -->"

/// Puts `text` between the marks of the file, or makes the file where it is not there.
func fill(_ path: String, with text: String) throws {
  guard let old = try? String(contentsOfFile: path, encoding: .utf8),
    let first = old.range(of: firstMark), let last = old.range(of: lastMark),
    first.upperBound <= last.lowerBound
  else {
    try require(
      !FileManager.default.fileExists(atPath: path),
      "\(path): has no place for figures (\(firstMark)); it stays as it is")
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return
  }
  let new = old[..<first.upperBound] + "\n\n" + text + "\n" + old[last.lowerBound...]
  try String(new).write(toFile: path, atomically: true, encoding: .utf8)
}

/// Prints a line at once: a long run is watched, also through a pipe.
func say(_ line: String) {
  print(line)
  fflush(nil)
}
