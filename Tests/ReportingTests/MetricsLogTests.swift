import Glibc
import Reporting
import Testing
import _TestSupport

@Suite struct JSONValueTests {
  @Test func oneLine() {
    let value: JSONValue = [
      "event": "step", "step": 3, "loss": 0.25, "best": true, "none": .null,
      "shares": [0.5, 1e-7], "empty": [], "nothing": [:], "inner": ["a": 1],
    ]
    #expect(
      value.text()
        == #"{"event":"step","step":3,"loss":0.25,"best":true,"none":null,"shares":[0.5,1e-07],"#
        + #""empty":[],"nothing":{},"inner":{"a":1}}"#)
  }

  @Test func indented() {
    let value: JSONValue = ["name": "A0", "sizes": [1, 2], "empty": [:]]
    #expect(
      value.text(indented: true) == """
        {
          "name": "A0",
          "sizes": [
            1,
            2
          ],
          "empty": {}
        }
        """)
  }

  @Test func numbers() {
    #expect(JSONValue.double(.nan).text() == "null")
    #expect(JSONValue.double(-.infinity).text() == "null")
    #expect(JSONValue.double(0.1).text() == "0.1")
    #expect(JSONValue.double(-0.0).text() == "-0.0")
    #expect(JSONValue.double(.leastNonzeroMagnitude).text() == "5e-324")
    #expect(JSONValue.double(.greatestFiniteMagnitude).text() == "1.7976931348623157e+308")
    #expect(JSONValue.int(.min).text() == "-9223372036854775808")
  }

  @Test func strings() {
    #expect(
      JSONValue.string("a\"b\\c\n\r\t\u{1}\u{1F}é").text() == #""a\"b\\c\n\r\t\u0001\u001fé""#)
    // One Character of two scalars must be escaped scalar by scalar.
    #expect(JSONValue.string("\r\n").text() == #""\r\n""#)
  }
}

@Suite struct MetricsLogTests {
  @Test func appendsWholeLines() throws {
    let directory = try ScratchDirectory()
    let path = directory.path("metrics.jsonl")
    do {
      let log = try MetricsLog(path: path)
      try log.append([("event", "start"), ("step", 0)])
      try log.append([("event", "step"), ("step", 1), ("loss", .double(.nan))])
    }
    let again = try MetricsLog(path: path)
    try again.append([("event", "start"), ("step", 1)])
    #expect(
      try directory.text(of: "metrics.jsonl") == """
        {"event":"start","step":0}
        {"event":"step","step":1,"loss":null}
        {"event":"start","step":1}

        """)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o600 == 0o600)
  }

  @Test(arguments: [0, 1, 100, 4095, 4096, 4097, 20_000])
  func cutsATornLastLine(length: Int) throws {
    let directory = try ScratchDirectory()
    let torn = String(repeating: "x", count: length)
    for whole in ["", "{\"step\":1}\n", String(repeating: "{}\n", count: 3000)] {
      try directory.write(whole + torn, to: "log")
      try MetricsLog(path: directory.path("log")).append([("step", 2)])
      #expect(try directory.text(of: "log") == whole + "{\"step\":2}\n")
    }
  }

  @Test(.timeLimit(.minutes(1))) func refusals() throws {
    let directory = try ScratchDirectory()
    func kind(_ path: String) throws -> MetricsLogError.Kind {
      let error = try #require(throws: MetricsLogError.self) { try MetricsLog(path: path) }
      #expect(error.message.hasPrefix(path + ": "))
      return error.kind
    }
    #expect(try kind(directory.path) == .cannotCreate)
    #expect(try kind(directory.path("absent/metrics.jsonl")) == .cannotCreate)
    #expect(mkfifo(directory.path("fifo"), 0o600) == 0)
    #expect(try kind(directory.path("fifo")) == .cannotCreate)
    #expect(try kind("/dev/full") == .cannotCreate)
    if geteuid() != 0 {
      #expect(chmod(directory.path, 0o500) == 0)
      #expect(try kind(directory.path("metrics.jsonl")) == .permission)
      #expect(chmod(directory.path, 0o700) == 0)
    }
  }
}
