import Reporting
import Testing

@Suite struct WorkProgressTests {
  /// What is written, with the clock at each of `seconds` and that many of 200 items done.
  private func text(_ mode: ProgressMode, width: Int = 80, _ steps: [(seconds: Double, done: Int)])
    -> String
  {
    var (written, now) = ("", 0.0)
    let output = TextOutput {
      written += $0
      return true
    }
    let progress = WorkProgress(
      mode: mode, title: "packing", unit: "images", width: width, output: output, clock: { now })
    for step in steps {
      now = step.seconds
      progress.report(done: step.done, of: 200, bytes: step.done * 1000)
    }
    progress.finish()
    return written
  }

  @Test func plainLinesComeNowAndThen() {
    #expect(text(.plain, [(0.5, 20), (9, 90), (9.5, 200)]).isEmpty)
    #expect(
      text(.plain, [(5, 20), (10, 50), (15, 60), (20, 150)])
        == """
        packing  25 %  50/200 images  50.0 kB  5/s  ETA 30.0 s
        packing  75 %  150/200 images  150.0 kB  8/s  ETA 6.67 s

        """)
  }

  @Test func theLiveLineIsRedrawnAndTakenAway() {
    let text = text(.live, width: 60, [(0, 0), (0.1, 10), (1, 100), (1.05, 150), (1.1, 200)])
    let lines = text.split(separator: "\r").map(String.init)
    #expect(lines[0].hasPrefix("packing  [--------------------]  0 %  0/200 images"))
    #expect(lines[1].hasPrefix("packing  [##########----------]  50 %  100/200 images"))
    #expect(lines[2].hasPrefix("packing  [####################]  100 %  200/200 images"))
    #expect(lines.count == 4 && lines[3].allSatisfy { $0 == " " })
    #expect(lines.allSatisfy { $0.count < 60 } && !text.contains("\n"))
  }

  @Test func noneSaysNothing() { #expect(text(.none, [(30, 20), (60, 200)]).isEmpty) }
}
