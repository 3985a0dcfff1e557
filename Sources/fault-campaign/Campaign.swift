import Foundation
import Tensors
import _TestSupport

/// All rows that are asked for, one trial after the other.
final class Campaign {
  let options: Options
  let seed: UInt64
  /// The build with failpoints.
  let program: String
  let figures = Figures()
  /// Images of the job, written once.
  private let data: ScratchDirectory
  /// Hash of the undisturbed run, and how long it takes.
  private(set) var hash = ""
  private(set) var seconds = 0.0
  /// Made by the first row that wants it.
  var interrupted: CampaignJob?
  private let begin = monotonicSeconds()

  init(_ options: Options) throws {
    self.options = options
    seed = options.seed
    program = try Self.resolved(options.program)
    data = try ScratchDirectory()
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: data.path)
    try IDXFiles.write(to: data, directory: "data", trainCount: 400, testCount: 50, side: 32)
  }

  var dataDirectory: String { data.path("data") }

  private static func resolved(_ path: String) throws -> String {
    guard let real = realpath(path, nil) else {
      throw Unexpected("\(path): not built; run launch/campaign")
    }
    defer { free(real) }
    return String(cString: real)
  }

  /// Runs it; whether nothing failed.
  func run() throws -> Bool {
    try requireFailpoints()
    let rows = Row.all.filter { options.rows?.contains($0.number) ?? true }
    try prepare()
    for row in ordered(rows) { run(row) }
    say(figures.summary(seconds: monotonicSeconds() - begin))
    if let path = options.output {
      let text = try figures.markdown(
        options, hash: hash, seconds: monotonicSeconds() - begin)
      try fill(path, with: text)
    }
    return figures.failures.isEmpty
  }

  /// The hash that everything is compared with: of three undisturbed runs, which must agree.
  private func prepare() throws {
    var hashes = Set<String>()
    for _ in 1...3 {
      let job = try CampaignJob(self)
      let start = monotonicSeconds()
      let result = try job.run()
      seconds = monotonicSeconds() - start
      try require(
        result.status == 0, "the undisturbed job: exit \(result.status): \(result.stderr)")
      hashes.insert(try job.hash())
    }
    try require(hashes.count == 1, "the undisturbed job ends with different bits: \(hashes)")
    hash = hashes.first ?? ""
    say("undisturbed: \(String(format: "%.1f", seconds)) s, hash \(hash.prefix(16))")
  }

  /// The short form begins with row 1 and goes on from a place that the rotation gives.
  private func ordered(_ rows: [Row]) -> [Row] {
    guard options.form == .short, options.rows == nil else { return rows }
    let first = rows.filter { $0.number <= 1 }
    let others = rows.filter { $0.number > 1 }
    let start = Int(options.rotation % UInt64(others.count))
    return first + others[start...] + others[..<start]
  }

  private func run(_ row: Row) {
    guard case .trials(let short, let long, let body) = row.work else {
      figures.covered += 1
      return
    }
    let missing = row.needs.subtracting(Row.Need.met).map(\.rawValue).sorted()
    guard missing.isEmpty else {
      figures.skip(row, because: "needs \(missing.joined(separator: ", "))")
      return
    }
    let start = monotonicSeconds()
    var failed = 0
    var done = 0
    for number in numbers(short: short, long: long) where failed < 5 {
      if let limit = options.seconds, monotonicSeconds() - begin > limit { break }
      if attempt(row, number, body) { done += 1 } else { failed += 1 }
      if done % 50 == 49 { say("row \(row.number): \(done + failed) of \(long) done") }
    }
    guard done + failed > 0 else {
      figures.skip(row, because: "its turn did not come")
      return
    }
    figures.count(row, done: done, failed: failed, seconds: monotonicSeconds() - start)
    say(
      "row \(row.number), \(row.title): \(done) passed"
        + (failed > 0 ? ", \(failed) FAILED" : "")
        + String(format: " (%.1f s)", monotonicSeconds() - start))
  }

  /// Trials of the short form are other ones in each rotation.
  private func numbers(short: Int, long: Int) -> [Int] {
    if let trial = options.trial { return [trial] }
    guard options.form == .short else { return Array(0..<long) }
    let first = Int((options.rotation / 64) % UInt64(long)) * short
    return (0..<min(short, long)).map { (first + $0) % long }
  }

  private func attempt(_ row: Row, _ number: Int, _ body: (Trial) throws -> Void) -> Bool {
    let trial = Trial(self, row: row.number, number: number)
    do {
      try body(trial)
      return true
    } catch {
      let again = "--rows \(row.number) --trial \(number) --seed \(seed)"
      let deeds = trial.deeds.joined(separator: "; ")
      say("FAILED row \(row.number), \(row.title): \(error)\n  \(deeds)\n  again: \(again)")
      figures.failures.append("row \(row.number), \(again): \(error)")
      for job in trial.jobs {
        requireNothingOf(job)
        keep(job, row, number)
      }
      return false
    }
  }

  private func requireNothingOf(_ job: CampaignJob) {
    for process in job.processes { kill(process, SIGKILL) }
  }

  /// What a failed trial leaves, for a look at it.
  private func keep(_ job: CampaignJob, _ row: Row, _ number: Int) {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("repvgg-campaign-\(seed)-\(row.number)-\(number)").path
    try? FileManager.default.removeItem(atPath: path)
    if (try? FileManager.default.copyItem(atPath: job.scratch.path, toPath: path)) != nil {
      say("  its directory: \(path)")
    }
  }
}
