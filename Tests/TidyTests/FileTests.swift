import Foundation
import Testing

/// What every file of the project keeps to.
struct FileTests {
  private static let longestFile = 400
  private static let longestFunction = 70

  // Put together here, so that this file does not hold what it forbids.
  private static let unfinished = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
  private static let machinePlaces = ["/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/", "/ho" + "me/"]

  @Test(arguments: Project.everything.filter { !$0.path.hasPrefix("docs/") })
  func filesAreShort(_ file: Project.File) {
    guard !file.path.hasSuffix(".txt") else { return }
    #expect(
      file.lines.count <= Self.longestFile,
      "\(file): \(file.lines.count) lines; split it by concern")
  }

  @Test(arguments: (Project.sources + Project.tests).filter(\.isSwift))
  func functionsFitOnAScreen(_ file: Project.File) {
    for function in Self.functions(in: file.lines) {
      #expect(
        function.count <= Self.longestFunction,
        "\(file):\(function.lowerBound + 1): a function of \(function.count) lines")
    }
  }

  @Test(arguments: Project.everything)
  func nothingIsLeftUnfinished(_ file: Project.File) {
    for (number, line) in file.lines.enumerated() {
      for word in Self.unfinished + ["fatalError(\"unimpl" + "emented"] {
        #expect(!String(line).containsWord(word), "\(file):\(number + 1): \(word)")
      }
    }
  }

  @Test(arguments: Project.everything)
  func noFileKnowsAMachine(_ file: Project.File) {
    for (number, line) in file.lines.enumerated() {
      for place in Self.machinePlaces {
        #expect(!line.contains(place), "\(file):\(number + 1): \(place)")
      }
    }
  }

  @Test(arguments: Project.sources.filter(\.isSwift))
  func sourcesKeepTheirDoorsShut(_ file: Project.File) {
    for (number, line) in file.lines.enumerated() {
      let code = String(line.withoutComment)
      #expect(!code.containsWord("public"), "\(file):\(number + 1): rooms talk by `package`")
      #expect(!code.contains("try!"), "\(file):\(number + 1): throw instead")
      #expect(!code.contains("as!"), "\(file):\(number + 1): check the type instead")
      if code.contains("@unchecked Sendable") {
        #expect(
          Self.threadedFiles.contains(file.path),
          "\(file):\(number + 1): let the compiler check it, or add the file to the list")
      }
    }
  }

  /// Files that may promise the compiler what it cannot see: each shares memory among threads of
  /// its own under its own lock.
  private static let threadedFiles: Set<String> = [
    "Sources/Kernels/WorkerPool.swift", "Sources/ImageData/BatchRing.swift",
    "Sources/Collectives/Rendezvous.swift",
  ]

  @Test func theTopLevelIsTheHouse() throws {
    let expected: Set<String> = [
      "Package.swift", "Sources", "Tests", "launch", "configs", "docs", "README.md", "LICENSE",
      "CHANGELOG.md", "CONTRIBUTING.md",
    ]
    let entries = Set(try FileManager.default.contentsOfDirectory(atPath: Project.root))
    #expect(expected.subtracting(entries).isEmpty)
    // Runs lie there by default and are not part of the project.
    let others = entries.subtracting(expected).subtracting(["runs"]).filter { !$0.hasPrefix(".") }
    #expect(others.isEmpty)
    #expect(Project.exists(".ci/run"))
  }

  /// The lines of each function, found by the indentation that formatted code has: from its first
  /// line to the closing brace below it.
  static func functions(in lines: [Substring]) -> [Range<Int>] {
    lines.indices.compactMap { start in
      let code = lines[start].drop { $0 == " " }
      let indentation = lines[start].count - code.count
      let head = code.split(separator: "{").first.map(String.init) ?? ""
      let name = head.split(separator: "(").first.map(String.init) ?? ""
      guard !code.hasPrefix("//"),
        name.containsWord("func") || name.split(separator: " ").last?.hasPrefix("init") == true
          || code.hasPrefix("deinit")
      else { return nil }
      let closing = String(repeating: " ", count: indentation) + "}"
      // A requirement of a protocol or a function of one line ends before anything is deeper.
      guard
        let end = lines[(start + 1)...].firstIndex(where: { line in
          let depth = line.prefix { $0 == " " }.count
          return depth <= indentation && !line.isEmpty && !line.dropFirst(depth).hasPrefix(")")
            && line.dropFirst(depth) != "{" && !line.dropFirst(depth).hasPrefix("where ")
            && !line.dropFirst(depth).hasPrefix("-> ")
        }), lines[end].hasPrefix(closing)
      else { return start..<(start + 1) }
      return start..<(end + 1)
    }
  }

  @Test func functionsAreFoundByTheirIndentation() {
    let lines = """
      struct A {
        init() {
          x = 1
        }
        func short() -> Int { 3 }
        func long(
          _ a: Int
        ) -> Int
        {
          a

        }
      }
      """.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(Self.functions(in: lines) == [1..<4, 4..<5, 5..<12])
  }
}
