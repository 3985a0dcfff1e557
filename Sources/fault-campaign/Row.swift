import Foundation
import _TestSupport

/// One row of the catalogue of faults: what is done to a job, and what must come of it.
struct Row: Sendable {
  /// What this machine must have for a row.
  enum Need: String, CaseIterable, Sendable {
    case mpirun, strace, faketime
    /// The right to mount file systems in a namespace of its own.
    case mount
    case root
  }

  enum Work: Sendable {
    /// Held by other tests: the files of them, below the project's directory.
    case covered([String])
    /// Trials, each a function of seed, row and its number in `0..<long`. The short form runs
    /// `short` of them.
    case trials(short: Int, long: Int, @Sendable (Trial) throws -> Void)
  }

  /// As the catalogue counts; 0 is what comes before all faults.
  let number: Int
  let title: String
  let needs: Set<Need>
  let work: Work

  init(_ number: Int, _ title: String, needs: Set<Need> = [], _ work: Work) {
    (self.number, self.title, self.needs, self.work) = (number, title, needs, work)
  }

  /// All rows, in their order.
  static let all = [
    undisturbed, kills, saves, signals, systemCalls, damage, places, ranks, surroundings, covered,
  ].flatMap { $0 }.sorted { $0.number < $1.number }
}

extension Row.Need {
  /// What is there on this machine; found out once, by trying.
  static let met: Set<Row.Need> = {
    var met = Set<Row.Need>()
    if MPIRun.isAvailable { met.insert(.mpirun) }
    if works("strace", ["-f", "-qq", "-o", "/dev/null", "true"]) { met.insert(.strace) }
    if works("faketime", ["-f", "-1d", "true"]) { met.insert(.faketime) }
    if works("unshare", ["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]) {
      met.insert(.mount)
    }
    if geteuid() == 0, works("setpriv", ["--version"]) { met.insert(.root) }
    return met
  }()

  private static func works(_ program: String, _ arguments: [String]) -> Bool {
    (try? runExecutable("/usr/bin/env", [program] + arguments, timeout: 20).status) == 0
  }
}
