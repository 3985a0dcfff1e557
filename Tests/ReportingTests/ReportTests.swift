import Reporting
import Testing

@Suite struct ReportTests {
  @Test func table() {
    var table = TextTable([.left("model"), .right("parameters"), .left("note")])
    table.append(["RepVGG-A0", "8,309,384", ""])
    table.append(["é", "1", "small"])
    #expect(
      table.text == """
        model      parameters  note
        ---------  ----------  -----
        RepVGG-A0   8,309,384
        é                   1  small

        """)
  }

  @Test func summary() {
    var summary = Summary(title: "Done", rows: [("top-1", "91.87 %")])
    summary.append("deploy weights", "runs/x/artifacts/x-deploy.safetensors")
    summary.append("note", "")
    #expect(
      summary.text == """
        Done
          top-1           91.87 %
          deploy weights  runs/x/artifacts/x-deploy.safetensors
          note

        """)
    #expect(Summary(title: "Nothing").text == "Nothing\n")
  }

  @Test(arguments: [
    (0, "0.00 s"), (0.004, "0.00 s"), (0.42, "0.42 s"), (9.99, "9.99 s"), (9.996, "10.0 s"),
    (59.94, "59.9 s"), (59.96, "1 m 00 s"), (192, "3 m 12 s"), (3599.4, "59 m 59 s"),
    (3599.6, "1 h 00 m"), (7500, "2 h 05 m"), (86_400, "1 d 00 h"), (273_600, "3 d 04 h"),
    (-1, "-"), (Double.nan, "-"), (Double.infinity, "-"), (1e300, "-"),
  ])
  func durations(seconds: Double, text: String) {
    #expect(Quantity.duration(seconds: seconds) == text)
  }

  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
    (4_194_304, "4.2 MB"), (7_700_000_000, "7.7 GB"), (Int.max, "9223.4 PB"), (-5, "-5 B"),
  ])
  func bytes(value: Int, text: String) {
    #expect(Quantity.bytes(value) == text)
  }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (60_000, "60,000"), (123_085_288, "123,085,288"),
    (-1234, "-1,234"), (Int.min, "-9,223,372,036,854,775,808"),
  ])
  func counts(value: Int, text: String) {
    #expect(Quantity.count(value) == text)
  }

  @Test(arguments: [
    (1.005, 1, "1.0"), (-0.04, 1, "0.0"), (-0.06, 1, "-0.1"), (12.345, 2, "12.35"), (7, 0, "7"),
    (0.999_96, 4, "1.0000"), (3.000_7, 4, "3.0007"), (.nan, 2, "nan"), (-.infinity, 2, "-inf"),
    (1e20, 2, "1e+20"),
  ])
  func fixed(value: Double, decimals: Int, text: String) {
    #expect(Quantity.fixed(value, decimals: decimals) == text)
  }

  @Test func percent() {
    #expect(Quantity.percent(0.9187) == "91.9 %")
    #expect(Quantity.percent(0.12, decimals: 0) == "12 %")
  }
}
