import Foundation
import Testing
import _TestSupport

/// Files spoilt at random are read or refused by name; `launch/fuzz` does the same for longer. Each
/// reader runs in a process of its own, which may die of what it reads.
@Suite(.timeLimit(.minutes(10))) struct FuzzTests {
  private static let seed = ProcessInfo.processInfo.environment["REPVGG_SEED"] ?? "1"

  @Test(arguments: [
    "jpeg", "png", "tar", "tar-index", "folder-index", "idx", "cifar", "safetensors",
    "pytorch", "yaml", "curves",
  ])
  func mutantsAreReadOrRefused(_ reader: String) throws {
    let result = try fuzz(["--reader", reader, "--seed", Self.seed])
    #expect(result.status == 0, "REPVGG_SEED=\(Self.seed): \(result.stdout)\(result.stderr)")
    // Some are still sound, and not all: otherwise it would look at nothing but the first bytes.
    let words = result.stdout.split(separator: " ")
    for outcome in ["read,", "refused,"] {
      let place = try #require(words.firstIndex { $0 == outcome }, "\(result.stdout)")
      #expect(try #require(Int(words[place - 1])) > 20, "\(result.stdout)")
    }
    print(result.stdout, terminator: "")
  }

  @Test func whatMustNotHappenIsNoticed() throws {
    let result = try fuzz(["--reader", "faulty", "--count", "10"])
    #expect(result.status == 1)
    #expect(result.stdout.contains("6 refused, 4 failed"), "\(result.stdout)")
    for failure in [
      "number 2: ended by signal", "number 4: took too much processor time",
      "number 6: grew by 1", "number 8: has read what is not there",
    ] {
      #expect(result.stdout.contains(failure), "\(result.stdout)")
    }
    let kept = result.stdout.split(separator: "\n").compactMap { line in
      line.hasPrefix("  the file: ") ? String(line.dropFirst(12)) : nil
    }
    #expect(kept.count == 4)
    for path in kept {
      #expect(FileManager.default.contents(atPath: path) != nil)
      try FileManager.default.removeItem(atPath: path)
    }
  }

  @Test(arguments: [
    ["--reader", "gif"], ["--count", "0"], ["--count"], ["--seed", "x"], ["--mutants", "3"],
  ])
  func wrongArgumentsAreNamed(_ arguments: [String]) throws {
    let result = try fuzz(arguments)
    #expect(result.status == 64 && result.stderr.contains(arguments[0]), "\(result.stderr)")
  }

  private func fuzz(_ arguments: [String]) throws -> ProgramResult {
    try runExecutable(builtProgram("reader-fuzz"), arguments, timeout: 500)
  }
}
