/// Shows how far a known number of items has come: one line redrawn, or a plain line now and then.
/// Belongs to one thread.
package final class WorkProgress {
  private static let redrawInterval = 0.2
  private static let plainInterval = 10.0
  private static let barWidth = 20

  private let mode: ProgressMode
  private let title: String
  private let unit: String
  private let width: Int
  private let output: TextOutput
  private let clock: () -> Double
  private let start: Double
  private var lastDrawing: Double
  /// Characters of the live line on the screen.
  private var drawn = 0

  /// - Parameters:
  ///   - mode: resolved; `auto` counts as `plain`.
  ///   - title, unit: `packing`, `images`.
  ///   - width: columns of a live line.
  ///   - clock: seconds that never go back.
  package init(
    mode: ProgressMode, title: String, unit: String, width: Int = 80,
    output: TextOutput = .standardOutput(), clock: @escaping () -> Double
  ) {
    (self.mode, self.title, self.unit, self.width) = (mode, title, unit, width)
    (self.output, self.clock) = (output, clock)
    start = clock()
    lastDrawing = mode == .live ? start - Self.redrawInterval : start
  }

  /// Draws if it is time. What takes no ten seconds says nothing in plain mode.
  package func report(done: Int, of total: Int, bytes: Int) {
    let now = clock()
    let interval = mode == .live ? Self.redrawInterval : Self.plainInterval
    guard mode != .none, total > 0, now - lastDrawing >= interval || (done == total && drawn > 0)
    else { return }
    lastDrawing = now
    let line = line(done: done, total: total, bytes: bytes, seconds: now - start)
    guard mode == .live else { return output.write(line + "\n") }
    let text = String(line.prefix(width - 1))
    output.write("\r" + text + String(repeating: " ", count: max(0, drawn - text.count)))
    drawn = text.count
  }

  /// Takes the live line away.
  package func finish() {
    guard drawn > 0 else { return }
    output.write("\r" + String(repeating: " ", count: drawn) + "\r")
    drawn = 0
  }

  private func line(done: Int, total: Int, bytes: Int, seconds: Double) -> String {
    let share = Double(done) / Double(total)
    let rate = seconds > 0 ? Double(done) / seconds : 0
    var fields = [title]
    if mode == .live {
      let filled = Int(share * Double(Self.barWidth))
      let rest = String(repeating: "-", count: Self.barWidth - filled)
      fields.append("[" + String(repeating: "#", count: filled) + rest + "]")
    }
    fields += [
      Quantity.percent(share, decimals: 0),
      "\(Quantity.count(done))/\(Quantity.count(total)) \(unit)",
      Quantity.bytes(bytes), "\(Quantity.count(Int(exactly: rate.rounded()) ?? 0))/s",
    ]
    if rate > 0, done < total {
      fields.append("ETA \(Quantity.duration(seconds: Double(total - done) / rate))")
    }
    return fields.joined(separator: "  ")
  }
}
