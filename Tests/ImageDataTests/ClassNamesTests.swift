import ImageData
import Testing
import _TestSupport

@Suite struct ClassNamesTests {
  @Test func aFileGivesWhatWasWritten() throws {
    let directory = try ScratchDirectory()
    let names = ["b", " a ", "e\u{301}", "\u{e9}", "-x"]
    let path = try directory.write(ClassNames.text(names), to: "classes.txt")
    #expect(try ClassNames.read(path: path).map { Array($0.utf8) } == names.map { Array($0.utf8) })
    #expect(ClassNames.text([]).isEmpty)
    // From elsewhere.
    try directory.write("a\r\nb\r\nc", to: "classes.txt")
    #expect(try ClassNames.read(path: path) == ["a", "b", "c"])
  }

  @Test(arguments: [("a\n\nb\n", "line 2 is empty"), ("a\nb\na\n", "lines 1 and 3 are both 'a'")])
  func labelsAreNotShifted(text: String, says: String) throws {
    let directory = try ScratchDirectory()
    let path = try directory.write(text, to: "classes.txt")
    let error = try #require(throws: DataError.self) { try ClassNames.read(path: path) }
    #expect(error.kind == .malformed && error.message.hasPrefix("\(path): "))
    #expect(error.message.contains(says))
  }

  @Test func theFirstDifferenceIsNamed() {
    func difference(_ first: [String], _ second: [String]) -> String? {
      ClassNames.difference(first, second).map { "\($0.label) \($0.first) \($0.second)" }
    }
    #expect(difference(["a", "b"], ["a", "b"]) == nil)
    #expect(difference([], ["a"]) == nil && difference(["a"], []) == nil)
    #expect(difference(["a", "b", "c"], ["a", "c", "b"]) == "1 'b' 'c'")
    #expect(difference(["a"], ["a", "b"]) == "1 none 'b'")
    #expect(difference(["a", "b"], ["a"]) == "1 'b' none")
    // Swift takes these two for the same text.
    #expect(difference(["e\u{301}"], ["\u{e9}"])?.hasPrefix("0 ") == true)
  }

  /// A name may hold what ends a line or moves a cursor; a message does not.
  @Test func messagesAreOneLine() {
    let error = DataError(.malformed, "a\nb\u{1b}[2J\u{85}\u{2028}é.jpg: is empty")
    #expect(error.message == "a\\u{a}b\\u{1b}[2J\\u{85}\\u{2028}é.jpg: is empty")
  }
}
