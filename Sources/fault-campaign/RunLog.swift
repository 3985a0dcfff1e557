import Foundation

/// What `metrics.jsonl` of a run says, also while it is being written.
struct RunLog {
  struct Line {
    let members: [String: Any]
    var event: String { members["event"] as? String ?? "" }
    var step: Int { members["step"] as? Int ?? -1 }
  }

  /// One start of the run and what came of it.
  struct Part {
    var start: Int
    var lines: [Line] = []
    /// The last step that was trained; where none was, the one it began after.
    var last: Int { lines.last { $0.event == "step" }?.step ?? start }
  }

  let parts: [Part]

  init(path: String) {
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    var parts: [Part] = []
    // What follows the last newline is being written, or torn.
    for line in text[..<(text.lastIndex(of: "\n") ?? text.startIndex)].split(separator: "\n") {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)),
        let members = object as? [String: Any]
      else { continue }
      let line = Line(members: members)
      if line.event == "start" {
        parts.append(Part(start: line.step))
      } else if !parts.isEmpty {
        parts[parts.count - 1].lines.append(line)
      }
    }
    self.parts = parts
  }

  var lines: [Line] { parts.flatMap(\.lines) }
}

extension CampaignJob {
  /// Waits until part `part` (from 1) has done step `step`, 0 being its start; false where `isRunning`
  /// says that it ended before, or after a minute.
  @discardableResult
  func await(step: Int, part: Int = 1, while isRunning: () -> Bool) -> Bool {
    for _ in 0..<12_000 {
      let parts = log.parts
      if parts.count >= part, parts[part - 1].last >= step || step == 0 { return true }
      if !isRunning() { return false }
      usleep(5_000)
    }
    return false
  }

  /// Waits until something of a name that begins so lies among the checkpoints.
  @discardableResult
  func await(entry prefix: String, while isRunning: () -> Bool) -> Bool {
    for _ in 0..<12_000 {
      let names = (try? Self.names("\(output)/checkpoints")) ?? []
      if names.contains(where: { $0.hasPrefix(prefix) }) { return true }
      if !isRunning() { return false }
      usleep(5_000)
    }
    return false
  }
}
