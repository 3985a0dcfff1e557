import Glibc

/// Shows on rank 0 how training goes: one line redrawn, or a plain line now and then, or nothing.
///
/// Rates, shares, loss and accuracy are means over about the last ten seconds of steps. Belongs to
/// one thread.
package final class Progress {
  /// What one step did.
  package struct Step: Sendable {
    /// Epochs and steps as people count them: the first is 1, and steps go on over epochs.
    package var epoch: Int
    package var step: Int
    /// Samples of all ranks.
    package var samples: Int
    /// Mean over the step's samples.
    package var loss: Double
    /// Of the step's samples, those whose class came first.
    package var correct: Int
    /// From the step's begin to its end.
    package var seconds: Double
    /// Of these, spent in collectives and in waiting for the loader.
    package var collectiveSeconds: Double
    package var waitingSeconds: Double
    /// Steps to come, as many as if each took as long as this one; nil: as the numbers of the steps
    /// say.
    package var stepsLeft: Double?

    package init(
      epoch: Int, step: Int, samples: Int, loss: Double, correct: Int, seconds: Double,
      collectiveSeconds: Double, waitingSeconds: Double, stepsLeft: Double? = nil
    ) {
      (self.epoch, self.step, self.samples) = (epoch, step, samples)
      (self.loss, self.correct, self.seconds) = (loss, correct, seconds)
      (self.collectiveSeconds, self.waitingSeconds) = (collectiveSeconds, waitingSeconds)
      self.stepsLeft = stepsLeft
    }
  }

  /// Seconds between two drawings of the live line: at most five a second.
  private static let redrawInterval = 0.2
  /// Seconds after which a step's weight in the shown means has fallen to 1/e.
  private static let memory = 10.0

  private let mode: ProgressMode
  private let epochs: Int
  private let totalSteps: Int
  private let width: Int
  private let plainInterval: Double
  private let output: TextOutput
  private let clock: () -> Double

  private var recent = RecentSteps()
  private var lastDrawing: Double?
  /// Characters of the live line on the screen.
  private var drawn = 0

  /// - Parameters:
  ///   - mode: resolved; `auto` counts as `plain`.
  ///   - epochs, totalSteps: of the whole run, steps done before a resume included.
  ///   - width: columns of a live line.
  ///   - plainInterval: seconds between plain lines.
  ///   - clock: seconds that never go back.
  package init(
    mode: ProgressMode, epochs: Int, totalSteps: Int, width: Int = 80, plainInterval: Double = 10,
    output: TextOutput = .standardOutput(),
    clock: @escaping () -> Double
  ) {
    (self.mode, self.epochs, self.totalSteps) = (mode, epochs, totalSteps)
    (self.width, self.plainInterval) = (width, plainInterval)
    (self.output, self.clock) = (output, clock)
  }

  /// Takes a finished step into account and draws if it is time: in plain mode at the first step,
  /// every `plainInterval` seconds, and at the last step.
  package func report(_ step: Step) {
    recent.add(step, memory: Self.memory)
    guard mode != .none else { return }
    let now = clock()
    let interval = mode == .live ? Self.redrawInterval : plainInterval
    let isDue = lastDrawing.map { now - $0 >= interval } ?? true
    guard isDue || step.step == totalSteps else { return }
    lastDrawing = now
    if mode == .live {
      draw(line(for: step, width: width - 1))
    } else {
      output.write(line(for: step, width: .max) + "\n")
    }
  }

  /// A line that stays: an evaluation's result, a checkpoint, a warning. Not in mode `none`.
  package func note(_ text: String) {
    guard mode != .none else { return }
    let rest = String(repeating: " ", count: max(0, drawn - text.count))
    output.write((drawn > 0 ? "\r" : "") + text + rest + "\n")
    drawn = 0
  }

  /// Leaves the live line as it is and goes to the next one.
  package func finish() {
    if drawn > 0 { output.write("\n") }
    drawn = 0
  }

  /// Overwrites the live line. Spaces instead of an escape sequence: any terminal knows them.
  private func draw(_ line: String) {
    let rest = String(repeating: " ", count: max(0, drawn - line.count))
    output.write("\r" + line + rest)
    drawn = line.count
  }

  /// As many fields as fit, the most telling ones first. ASCII alone: a character is a column.
  private func line(for step: Step, width: Int) -> String {
    let stepsLeft = step.stepsLeft ?? Double(totalSteps - step.step)
    let remaining = max(0, stepsLeft) * recent.secondsPerStep
    let timeLeft =
      remaining < 59.5 ? "\(Int(remaining.rounded())) s" : Quantity.duration(seconds: remaining)
    let fields = [
      "epoch \(step.epoch)/\(epochs)",
      "step \(step.step)/\(totalSteps)",
      "loss \(Quantity.fixed(recent.meanLoss, decimals: 4))",
      "top-1 \(Quantity.percent(recent.accuracy))",
      "\(Quantity.count(Int(exactly: recent.samplesPerSecond.rounded()) ?? 0)) img/s",
      "ETA \(timeLeft)",
      "collectives \(Quantity.percent(recent.collectiveShare, decimals: 0))",
      "data wait \(Quantity.percent(recent.waitingShare, decimals: 0))",
    ]
    var line = ""
    for field in fields {
      let next = line.isEmpty ? field : line + "  " + field
      guard next.count <= width else { break }
      line = next
    }
    return line
  }
}

/// Sums over steps in which older steps weigh less and less.
private struct RecentSteps {
  private var steps = 0.0
  private var samples = 0.0
  private var loss = 0.0
  private var correct = 0.0
  private var seconds = 0.0
  private var collectiveSeconds = 0.0
  private var waitingSeconds = 0.0

  mutating func add(_ step: Progress.Step, memory: Double) {
    let kept = exp(-max(0, step.seconds) / memory)
    func sum(_ old: Double, _ new: Double) -> Double { old * kept + new }
    steps = sum(steps, 1)
    samples = sum(samples, Double(step.samples))
    loss = sum(loss, step.loss * Double(step.samples))
    correct = sum(correct, Double(step.correct))
    seconds = sum(seconds, step.seconds)
    collectiveSeconds = sum(collectiveSeconds, step.collectiveSeconds)
    waitingSeconds = sum(waitingSeconds, step.waitingSeconds)
  }

  var secondsPerStep: Double { ratio(seconds, steps) }
  var samplesPerSecond: Double { ratio(samples, seconds) }
  var meanLoss: Double { ratio(loss, samples) }
  var accuracy: Double { ratio(correct, samples) }
  var collectiveShare: Double { ratio(collectiveSeconds, seconds) }
  var waitingShare: Double { ratio(waitingSeconds, seconds) }

  private func ratio(_ value: Double, _ whole: Double) -> Double { whole > 0 ? value / whole : 0 }
}
