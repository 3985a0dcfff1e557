import Foundation
import _TestSupport

// Spoils sound files and has the readers read them: each is read or refused by name, in less than a
// second and 64 MB beside the file. A mutant is a function of reader, seed and number.

let usage = """
  Usage: reader-fuzz [--reader NAME] [--count N] [--long] [--seed S] [--first NUMBER] [--seconds T]

    --reader NAME    \(FuzzedReader.names.joined(separator: ", "))
                     (default: all)
    --count N        mutants of each reader (default: 1000, and 10000 of safetensors)
    --long           a hundred times the default
    --seed S         another seed makes other mutants (default: 1)
    --first NUMBER   begin with this mutant (default: 0)
    --seconds T      of processor time that a mutant may take (default: 1)

  Exit 0 where every mutant was read or refused, 1 where one was not: its bytes are then kept in a
  file of the temporary directory.
  """

struct Options {
  var readers = FuzzedReader.names
  /// The same for every reader; nil for its own.
  var count: Int?
  var isLong = false
  var seed: UInt64 = 1
  var first = 0
  var seconds = 1
  /// The file of the progress, in the process that reads.
  var trial: String?

  /// Anybody's weights may be handed to the program, so their reader gets ten times as many.
  func numbers(of reader: String) -> Range<Int> {
    let own = (reader == "safetensors" ? 10_000 : 1000) * (isLong ? 100 : 1)
    return first..<first + (count ?? own)
  }

  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    func number(_ text: String, of option: String, _ range: ClosedRange<Int>) throws -> Int {
      guard let number = Int(text), range.contains(number) else {
        throw Unexpected("\(option): \(text) is not a number from \(range.lowerBound)")
      }
      return number
    }
    while let option = rest.popFirst() {
      if option == "--long" {
        isLong = true
        continue
      }
      guard let value = rest.popFirst() else { throw Unexpected("\(option) needs a value") }
      switch option {
      case "--reader":
        guard FuzzedReader.names.contains(value) || value == "faulty" else {
          throw Unexpected("--reader: no reader is called \(value)")
        }
        readers = [value]
      case "--count": count = try number(value, of: option, 1...1 << 40)
      case "--first": first = try number(value, of: option, 0...1 << 40)
      case "--seconds": seconds = try number(value, of: option, 1...3600)
      case "--seed": seed = UInt64(try number(value, of: option, 0...Int.max))
      case "--trial": trial = value
      default: throw Unexpected("unknown option \(option)")
      }
    }
  }
}

func run() throws -> Int32 {
  let options = try Options(Array(CommandLine.arguments.dropFirst()))
  if let path = options.trial {
    // Beside the progress, in a directory that is its campaign's to remove.
    let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
    // No index is to land in somebody's cache.
    setenv("XDG_CACHE_HOME", "\(directory)/cache", 1)
    try FileManager.default.createDirectory(
      atPath: "\(directory)/work", withIntermediateDirectories: true)
    guard
      let reader = try FuzzedReader(named: options.readers[0], directory: "\(directory)/work")
    else { return 64 }
    try Trial(
      reader: reader, seed: options.seed, progress: TrialProgress(path: path),
      secondsLimit: options.seconds
    ).run(options.numbers(of: options.readers[0]))
    return 0
  }
  var isSound = true
  for reader in options.readers {
    isSound =
      try Campaign(
        reader: reader, seed: options.seed, numbers: options.numbers(of: reader),
        secondsLimit: options.seconds
      ).run() && isSound
    // A long run is watched, also through a pipe.
    fflush(nil)
  }
  return isSound ? 0 : 1
}

if CommandLine.arguments.dropFirst().contains(where: { $0 == "--help" || $0 == "-h" }) {
  print(usage)
  exit(0)
}
do {
  exit(try run())
} catch {
  let line = "reader-fuzz: \(error)\n"
  _ = write(STDERR_FILENO, line, line.utf8.count)
  exit(CommandLine.arguments.contains("--trial") ? 1 : 64)
}
