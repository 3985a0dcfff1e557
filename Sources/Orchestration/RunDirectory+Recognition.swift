import Foundation

// Whether what lies in a directory is a run's, by what it says and not by its names.

extension RunDirectory {
  /// Names that a run makes before it writes its plan; the lock is the first of them.
  private static let earlyEntries: Set<String> = [
    ".lock", "artifacts", "attempts.json", "checkpoints", "log.txt", "metrics.jsonl",
  ]

  /// Throws `.cannotCreate` unless the directory is empty, holds a plan that this program wrote, or
  /// what a job leaves that ended before it came to write one.
  static func requireOwn(_ path: String, entries: [String]) throws {
    if entries.isEmpty { return }
    let isOwn =
      entries.contains("plan.json")
      ? isPlan(contents(of: "\(path)/plan.json"))
      : entries.allSatisfy { earlyEntries.contains($0) || isTemporary($0) }
        && isLock(contents(of: "\(path)/.lock"))
    guard isOwn else {
      throw JobFailure(
        .cannotCreate,
        "\(path): not empty and not the directory of a run (no plan.json of this program); choose "
          + "another with --output")
    }
  }

  private static func isPlan(_ data: Data?) -> Bool {
    struct Plan: Decodable {
      struct Machine: Decodable { var program_version: String }
      /// Not in plans of the first version.
      var program: String?
      var machine: Machine
    }
    guard let plan = data.flatMap({ try? JSONDecoder().decode(Plan.self, from: $0) }) else {
      return false
    }
    return plan.program == nil || plan.program == "repvgg"
  }

  /// A plan on its way to its name, by a job that was killed at that moment.
  private static func isTemporary(_ name: String) -> Bool {
    name.hasPrefix(".plan.json.") && name.hasSuffix(".tmp")
  }

  /// Host and process, or nothing where the job did not come to write them.
  private static func isLock(_ data: Data?) -> Bool {
    guard let data, data.count <= 300 else { return false }
    let words = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    return words.isEmpty || (words.count == 2 && Int32(words[1]) != nil)
  }

  /// A regular file of at most 16 MiB; nil for anything else.
  private static func contents(of path: String) -> Data? {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer that never comes.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_size <= 16_777_216
    else { return nil }
    return try? file.read(upToCount: Int(status.st_size)) ?? Data()
  }
}
