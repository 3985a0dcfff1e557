import Glibc
import Reporting
import Testing

/// A clock that the test turns, and what was written.
private final class Screen {
  var now = 0.0
  var text = ""

  func progress(
    _ mode: ProgressMode, totalSteps: Int = 100, width: Int = 120, plainInterval: Double = 10
  ) -> Progress {
    Progress(
      mode: mode, epochs: 5, totalSteps: totalSteps, width: width, plainInterval: plainInterval,
      output: TextOutput { [self] in
        text += $0
        return true
      }, clock: { [self] in now })
  }
}

/// A step of 256 samples that took half a second.
private func step(_ number: Int, loss: Double = 0.5, correct: Int = 192) -> Progress.Step {
  Progress.Step(
    epoch: 1 + number / 20, step: number, samples: 256, loss: loss, correct: correct,
    seconds: 0.5, collectiveSeconds: 0.06, waitingSeconds: 0.005)
}

@Suite struct ProgressTests {
  @Test func plainLines() {
    let screen = Screen()
    let progress = screen.progress(.plain)
    for number in 1...45 {
      screen.now += 0.5
      progress.report(step(number))
    }
    progress.finish()
    #expect(
      screen.text == """
        epoch 1/5  step 1/100  loss 0.5000  top-1 75.0 %  512 img/s  ETA 50 s  collectives 12 %  data wait 1 %
        epoch 2/5  step 21/100  loss 0.5000  top-1 75.0 %  512 img/s  ETA 40 s  collectives 12 %  data wait 1 %
        epoch 3/5  step 41/100  loss 0.5000  top-1 75.0 %  512 img/s  ETA 30 s  collectives 12 %  data wait 1 %

        """)
  }

  @Test func lastStepIsAlwaysShown() {
    let screen = Screen()
    let progress = screen.progress(.plain, totalSteps: 3)
    for number in 1...3 { progress.report(step(number)) }
    #expect(screen.text.split(separator: "\n").count == 2)
    #expect(screen.text.contains("step 3/3") && screen.text.contains("ETA 0 s"))
  }

  @Test func stepsToComeMayCostMore() {
    let screen = Screen()
    var dearer = step(50)
    dearer.stepsLeft = 200
    screen.progress(.plain).report(dearer)
    #expect(screen.text.contains("ETA 1 m 40 s"), "\(screen.text)")
  }

  @Test func liveLineIsRedrawnAtMostFiveTimesASecond() {
    let screen = Screen()
    let progress = screen.progress(.live, totalSteps: 10_000)
    for number in 1...1000 {
      screen.now += 1 / 64
      progress.report(step(number))
    }
    // 0.2 s are reached with every 13th step.
    #expect(screen.text.split(separator: "\r").count == 77)
    #expect(!screen.text.contains("\n"))
    progress.finish()
    #expect(screen.text.hasSuffix("\n"))
  }

  @Test func liveLineCoversTheOneBefore() {
    let screen = Screen()
    let progress = screen.progress(.live, width: 31)
    progress.report(step(9, loss: 12))
    #expect(screen.text == "\repoch 1/5  step 9/100")
    progress.note("saved")
    #expect(screen.text == "\repoch 1/5  step 9/100\rsaved                \n")
    screen.text = ""
    progress.note("evaluated")
    screen.now = 1
    progress.report(step(10))
    #expect(screen.text == "evaluated\n\repoch 1/5  step 10/100")
  }

  @Test(arguments: 20...110) func liveLineFitsItsWidth(width: Int) {
    let screen = Screen()
    screen.progress(.live, width: width).report(step(50))
    #expect(screen.text.count - 1 < width)
    #expect(screen.text.hasPrefix("\repoch 3/5"))
  }

  @Test func meansForgetOldSteps() {
    let screen = Screen()
    let progress = screen.progress(.live, totalSteps: 1000)
    for number in 1...200 {
      screen.now += 0.5
      progress.report(step(number, loss: number <= 100 ? 8 : 1, correct: number <= 100 ? 0 : 256))
    }
    // 50 s or five memories later: 1 + 7 · (e⁻⁵ − e⁻¹⁰) / (1 − e⁻¹⁰) = 1.0468.
    let last = screen.text.split(separator: "\r").last ?? ""
    #expect(last.contains("step 200/1000  loss 1.0468  top-1 99.3 %"), "\(last)")
  }

  @Test func noneIsSilent() {
    let screen = Screen()
    let progress = screen.progress(.none)
    progress.report(step(100))
    progress.note("saved")
    progress.finish()
    #expect(screen.text.isEmpty)
  }

  @Test func brokenOutputIsLeftAlone() {
    var tries = 0
    let output = TextOutput { _ in
      tries += 1
      return tries < 2
    }
    for _ in 0..<5 { output.write("line\n") }
    #expect(tries == 2 && output.isBroken)

    let full = open("/dev/full", O_WRONLY)
    defer { close(full) }
    let toFull = TextOutput.descriptor(full)
    toFull.write("line\n")
    #expect(toFull.isBroken)
  }
}

@Suite struct ProgressModeTests {
  @Test func askedForIsGiven() {
    for mode in [ProgressMode.live, .plain, .none] {
      let environment = ["OMPI_COMM_WORLD_SIZE": "8", "REPVGG_PROGRESS": "plain"]
      #expect(mode.resolved(environment: environment, stdoutIsTerminal: false) == mode)
    }
  }

  @Test func automatic() {
    func resolve(_ environment: [String: String], terminal: Bool = true) -> ProgressMode {
      ProgressMode.auto.resolved(environment: environment, stdoutIsTerminal: terminal)
    }
    #expect(resolve(["TERM": "xterm"]) == .live)
    #expect(resolve(["TERM": "xterm"], terminal: false) == .plain)
    #expect(resolve(["TERM": "dumb"]) == .plain)
    #expect(resolve([:]) == .plain)
    #expect(resolve(["TERM": "xterm", "OMPI_COMM_WORLD_SIZE": "1"]) == .plain)
    #expect(resolve(["OMPI_COMM_WORLD_SIZE": "8", "REPVGG_PROGRESS": "live"]) == .live)
    #expect(resolve(["TERM": "xterm", "REPVGG_PROGRESS": "none"]) == ProgressMode.none)
    #expect(resolve(["TERM": "xterm", "REPVGG_PROGRESS": "nonsense"]) == .live)
  }

  @Test func widths() {
    #expect(ProgressMode.lineWidth(environment: ["COLUMNS": "132"], terminalWidth: 90) == 132)
    #expect(ProgressMode.lineWidth(environment: ["COLUMNS": "x"], terminalWidth: 90) == 90)
    #expect(ProgressMode.lineWidth(environment: ["COLUMNS": "-5"], terminalWidth: 0) == 80)
  }
}
